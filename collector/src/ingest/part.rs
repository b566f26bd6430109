//! One endpoint's part of a batch: its messages are placed and applied in memory, and written at the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::AnyConnection;
use wardwatch_policies::digest::Digest;
use wardwatch_policies::finding::Finding;
use wardwatch_policies::ids::AgentId;
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::downlink::{Ack, CommandId, DownlinkPosition, Witness};
use wardwatch_wire::report::{Body, Heartbeat, Nonce, Position, StreamId};
use wardwatch_wire::stream::{Placement, Progress};

use super::apply;
use super::contact::{self, Contact};
use super::inventory::Inventory;
use super::parking::Parking;
use super::refused;
use super::verify::{Message, SignedReport};
use crate::store::endpoints::Endpoint;
use crate::store::reports::{self, Committed, Link, Standing, Told};

/// What became of an endpoint's messages so far.
pub(super) struct Part {
    endpoint: Arc<Endpoint>,
    standing: Standing,
    told: Told,
    inventory: Inventory,
    /// What is committed under the numbers that the messages bear, this batch's reports included.
    known: BTreeMap<(StreamId, u64), Digest>,
    committed: Vec<Committed>,
    /// The last heartbeat that counts.
    heartbeat: Option<Answer>,
    /// The stream that the agent speaks of, to answer about while none of its reports is committed.
    asked: Option<StreamId>,
    resend_from: Option<u64>,
    forked: bool,
    counted: bool,
}

/// What a heartbeat asks for.
#[derive(Debug)]
struct Answer {
    nonce: Nonce,
    commands: Vec<CommandId>,
}

impl Part {
    /// Reads what the messages will be compared with.
    ///
    /// # Errors
    /// The database fails, or holds what this program did not write.
    pub(super) async fn begin(
        db: &mut AnyConnection,
        endpoint: Arc<Endpoint>,
        standing: Standing,
        messages: &[Message],
    ) -> Result<Self, sqlx::Error> {
        let (mut places, mut paths) = (Vec::new(), Vec::new());
        for SignedReport { report, .. } in messages.iter().filter_map(Message::report) {
            let Position { stream, seq, .. } = report.position;
            let current = standing.progress.current.filter(|current| current.stream == stream);
            // What is beyond the end of the stream that is followed is not known yet.
            if current.is_none_or(|current| seq <= current.committed) {
                places.push((stream, seq));
            }
            if let Body::Files(seen) = &report.body {
                paths.extend(seen.iter().map(|seen| &seen.path));
            }
        }
        let known = reports::digests(db, &endpoint.id, &places).await?;
        let mut inventory = Inventory::default();
        inventory.load(db, &endpoint.id, paths).await?;
        Ok(Self {
            endpoint,
            standing,
            told: Told::default(),
            inventory,
            known,
            committed: Vec::new(),
            heartbeat: None,
            asked: None,
            resend_from: None,
            forked: false,
            counted: false,
        })
    }

    pub(super) const fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Whether the agent asked for an answer.
    pub(super) const fn asks(&self) -> bool {
        self.heartbeat.is_some()
    }

    /// Whether it told what came of an upgrade, and that counts for a roll-out.
    pub(super) const fn has_counted(&self) -> bool {
        self.counted
    }

    /// Whether the agent says that it has taken this command.
    pub(super) fn has_taken(&self, command: CommandId) -> bool {
        self.heartbeat.as_ref().is_some_and(|answer| answer.commands.contains(&command))
    }

    /// Takes in a message, and the waiting reports that it makes way for.
    ///
    /// # Errors
    /// The database fails, or holds what this program did not write.
    pub(super) async fn take(
        &mut self,
        db: &mut AnyConnection,
        parking: &mut Parking,
        message: Message,
        now: UnixMillis,
    ) -> Result<Vec<Finding>, sqlx::Error> {
        match message {
            Message::Heartbeat(heartbeat) => Ok(self.heartbeat(&heartbeat, now)),
            Message::Report(report) => self.report(db, parking, report, now).await,
        }
    }

    fn heartbeat(&mut self, heartbeat: &Heartbeat, now: UnixMillis) -> Vec<Finding> {
        let contact =
            contact::note(&mut self.standing.instances, heartbeat.instance, heartbeat.time.uptime_ms);
        if contact == Contact::Replayed {
            refused(&self.endpoint.id, "replay", "an old heartbeat was sent again");
            return Vec::new();
        }
        self.told = Told { time: Some(heartbeat.time), outbox_reports: Some(heartbeat.outbox_reports) };
        self.heartbeat = Some(Answer { nonce: heartbeat.nonce, commands: heartbeat.commands.clone() });
        self.asked = Some(heartbeat.stream);
        let mut findings = self.heard(now);
        if contact == Contact::Returned {
            refused(&self.endpoint.id, "cloned", "two agents run with one identity");
            findings.push(Finding::IdentityCloned);
        }
        findings
    }

    async fn report(
        &mut self,
        db: &mut AnyConnection,
        parking: &mut Parking,
        first: Arc<SignedReport>,
        now: UnixMillis,
    ) -> Result<Vec<Finding>, sqlx::Error> {
        let mut findings = Vec::new();
        let mut next = Some(first);
        while let Some(signed) = next.take() {
            let position = signed.report.position;
            let known = self.known.get(&(position.stream, position.seq)).copied();
            let opens = matches!(signed.report.body, Body::StreamOpened { .. });
            match self.standing.progress.place(&position, signed.digest, known, opens) {
                Placement::Next | Placement::Opens => {
                    findings.extend(self.commit(db, &signed, now).await?);
                    let agent = &self.endpoint.id;
                    next = parking.take_next(agent, position.stream, position.seq + 1);
                    let waits = next.is_none() && parking.has_waiting(agent);
                    self.resend_from = waits.then_some(position.seq + 1);
                }
                Placement::Repeated => {
                    metrics::counter!("wardwatch_reports_repeated_total").increment(1);
                }
                Placement::Ahead { resend_from } => {
                    self.resend_from = Some(resend_from);
                    self.asked = Some(position.stream);
                    parking.park(&self.endpoint.id, signed);
                }
                Placement::Fork => {
                    refused(&self.endpoint.id, "fork", "another report was committed under this number");
                    if !std::mem::replace(&mut self.forked, true) {
                        findings.push(Finding::Fork { seq: position.seq });
                    }
                }
                Placement::Stale => {
                    let problem = "the report belongs to a stream that was left behind";
                    refused(&self.endpoint.id, "stale-stream", problem);
                }
            }
        }
        Ok(findings)
    }

    async fn commit(
        &mut self,
        db: &mut AnyConnection,
        SignedReport { report, digest, size }: &SignedReport,
        now: UnixMillis,
    ) -> Result<Vec<Finding>, sqlx::Error> {
        let (position, digest, size) = (report.position, *digest, *size);
        let endpoint = self.endpoint.id.clone();
        self.known.insert((position.stream, position.seq), digest);
        self.told.time = Some(report.time);
        let mut findings = self.heard(now);
        let (standing, inventory) = (&mut self.standing, &mut self.inventory);
        let applied = apply::apply(db, &endpoint, standing, inventory, report, now).await?;
        findings.extend(applied.findings);
        self.counted |= applied.counted;
        self.standing.progress = Progress::after(&position, digest);
        self.committed.push(Committed { endpoint, position, digest, size });
        Ok(findings)
    }

    /// Notes the contact; tells when it ends a silence.
    fn heard(&mut self, now: UnixMillis) -> Vec<Finding> {
        let was = std::mem::replace(&mut self.standing.link, Link::Heard);
        self.standing.last_seen = Some(now);
        if was == Link::Silent { vec![Finding::Heard] } else { Vec::new() }
    }

    /// The next position of the downlink.
    pub(super) fn advance(&mut self) -> DownlinkPosition {
        self.standing.downlink.seq += 1;
        self.standing.downlink
    }

    /// What to tell the agent, if there is a stream to tell of.
    pub(super) fn ack(&self, witness: Witness) -> Option<Ack> {
        let current = self.standing.progress.current;
        Some(Ack {
            stream: current.map(|c| c.stream).or(self.asked)?,
            committed: current.map_or(0, |c| c.committed),
            resend_from: self.resend_from,
            nonce: self.heartbeat.as_ref().map(|answer| answer.nonce),
            witness,
        })
    }

    /// Writes what is left to write of this endpoint; returns the reports to be noted as committed.
    ///
    /// # Errors
    /// The database fails.
    pub(super) async fn finish(
        mut self,
        db: &mut AnyConnection,
        now: UnixMillis,
    ) -> Result<Vec<Committed>, sqlx::Error> {
        let id: &AgentId = &self.endpoint.id;
        self.inventory.write(db, id, now).await?;
        reports::keep_standing(db, id, &self.standing, self.told).await?;
        Ok(self.committed)
    }
}
