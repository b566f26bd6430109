//! Reports come in: verified, placed in their stream, committed in batches, acknowledged.
//!
//! One batch is one transaction: what its reports tell, the changes that follow from it and the agents'
//! progress stand or fall together, and an ack leaves only after the commit. Neighbours: the broker hands
//! over bytes, the workflow turns findings into changes.

mod apply;
mod contact;
mod parking;
mod verify;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use sqlx::AnyConnection;
use tokio::sync::{mpsc, watch};
use wardwatch_policies::finding::Finding;
use wardwatch_policies::ids::AgentId;
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::downlink::{Ack, Downlink, Witness};
use wardwatch_wire::envelope::{self, Envelope, Kind};
use wardwatch_wire::report::{Body, Heartbeat, Nonce, StreamId};
use wardwatch_wire::stream::{Placement, Progress};

use self::contact::Contact;
use self::parking::Parking;
use self::verify::{Message, SignedReport};
use crate::broker::{Broker, Inbound};
use crate::clock;
use crate::registry::Registry;
use crate::stopping::until;
use crate::store::endpoints::{Endpoint, State};
use crate::store::reports::{self, Link, Standing};
use crate::store::{Store, log};
use crate::workflow::{Event, Workflow};

/// Messages of one transaction.
const BATCH: usize = 256;
/// How long a failing database is left in peace before the next batch.
const PAUSE: Duration = Duration::from_secs(1);

/// Takes what agents send.
pub struct Ingest {
    store: Store,
    registry: Registry,
    workflow: Workflow,
    key: SigningKey,
    broker: Arc<Broker>,
    parking: Parking,
}

/// One endpoint's part of a batch.
struct Part {
    endpoint: Arc<Endpoint>,
    standing: Standing,
    nonce: Option<Nonce>,
    /// The stream that the agent speaks of, to answer about while none of its reports is committed.
    asked: Option<StreamId>,
    resend_from: Option<u64>,
    forked: bool,
}

impl Ingest {
    #[must_use]
    pub fn new(
        store: Store,
        registry: Registry,
        workflow: Workflow,
        key: SigningKey,
        broker: Arc<Broker>,
    ) -> Self {
        Self { store, registry, workflow, key, broker, parking: Parking::default() }
    }

    /// Works until the collector stops. What is then still in the queue was not acknowledged.
    pub async fn run(mut self, mut inbound: mpsc::Receiver<Inbound>, stopped: watch::Receiver<bool>) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let received = tokio::select! {
                received = inbound.recv_many(&mut batch, BATCH) => received,
                () = until(stopped.clone()) => 0,
            };
            if received == 0 {
                return;
            }
            let messages: Vec<_> = batch.drain(..).filter_map(|message| self.believed(message)).collect();
            if messages.is_empty() {
                continue;
            }
            match self.commit(messages, clock::now()).await {
                Ok((acks, events)) => {
                    for (agent, ack) in acks {
                        self.broker.publish(&agent, ack.into_bytes().into()).await;
                    }
                    self.workflow.announce(events);
                }
                Err(error) => {
                    // Nothing was acknowledged, so the agents send all of it again.
                    tracing::error!(error = &error as &dyn std::error::Error, "a batch was not committed");
                    metrics::counter!("wardwatch_batches_failed_total").increment(1);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// The message, if its signature holds and its endpoint may report.
    fn believed(&self, inbound: Inbound) -> Option<(Arc<Endpoint>, Message)> {
        let Some(endpoint) = self.registry.get(&inbound.agent).filter(|e| e.state == State::Active) else {
            refused(&inbound.agent, "not-active", "the endpoint may not report");
            return None;
        };
        match verify::verify(&inbound.agent, &endpoint.report_key, &inbound.payload) {
            Ok(message) => Some((endpoint, message)),
            Err(error) => {
                refused(&inbound.agent, "envelope", &error.to_string());
                None
            }
        }
    }

    async fn commit(
        &mut self,
        messages: Vec<(Arc<Endpoint>, Message)>,
        now: UnixMillis,
    ) -> Result<(Vec<(AgentId, Envelope)>, Vec<Event>), sqlx::Error> {
        let mut tx = self.store.write().await?;
        let mut parts: BTreeMap<AgentId, Part> = BTreeMap::new();
        let mut events = Vec::new();
        for (endpoint, message) in messages {
            let agent = endpoint.id.clone();
            if !parts.contains_key(&agent) {
                // Removed between the registry's answer and this transaction: nothing of it counts.
                let Some(standing) = reports::standing(&mut tx, &agent).await? else {
                    refused(&agent, "not-active", "the endpoint may not report any more");
                    continue;
                };
                parts.insert(
                    agent.clone(),
                    Part { endpoint, standing, nonce: None, asked: None, resend_from: None, forked: false },
                );
            }
            let Some(part) = parts.get_mut(&agent) else { continue };
            let findings = match message {
                Message::Heartbeat(heartbeat) => heartbeat_heard(&mut tx, part, &heartbeat, now).await?,
                Message::Report(report) => self.report_heard(&mut tx, part, *report, now).await?,
            };
            for finding in findings {
                events.extend(self.workflow.observe(&mut tx, &part.endpoint, &finding, now).await?);
            }
        }
        let head = log::head(&mut tx).await?;
        let witness = Witness { length: head.length, head: head.digest };
        let mut acks = Vec::with_capacity(parts.len());
        for (agent, mut part) in parts {
            part.standing.downlink.seq += 1;
            reports::keep_standing(&mut tx, &agent, &part.standing).await?;
            events.push(Event::Endpoint(agent.clone()));
            if let Some(ack) = self.ack(&agent, &part, witness, now) {
                acks.push((agent, ack));
            }
        }
        tx.commit().await?;
        Ok((acks, events))
    }

    fn ack(&self, agent: &AgentId, part: &Part, witness: Witness, now: UnixMillis) -> Option<Envelope> {
        let current = part.standing.progress.current;
        let body = Ack {
            stream: current.map(|c| c.stream).or(part.asked)?,
            committed: current.map_or(0, |c| c.committed),
            resend_from: part.resend_from,
            nonce: part.nonce,
            witness,
        };
        let message = Downlink { agent: agent.clone(), position: part.standing.downlink, sent: now, body };
        envelope::seal(Kind::Ack, agent, &self.key, &message)
            .inspect_err(|error| tracing::error!(%agent, %error, "an ack cannot be sealed"))
            .ok()
    }

    async fn report_heard(
        &mut self,
        db: &mut AnyConnection,
        part: &mut Part,
        first: SignedReport,
        now: UnixMillis,
    ) -> Result<Vec<Finding>, sqlx::Error> {
        let agent = part.endpoint.id.clone();
        let mut findings = Vec::new();
        let mut next = Some(first);
        while let Some(signed) = next.take() {
            let SignedReport { report, digest, size } = &signed;
            let position = report.position;
            let known = reports::committed_digest(db, &agent, &position).await?;
            let opens = matches!(report.body, Body::StreamOpened { .. });
            match part.standing.progress.place(&position, *digest, known, opens) {
                Placement::Next | Placement::Opens => {
                    findings.extend(heard(part, now));
                    reports::commit(db, &agent, &position, *digest, *size, now).await?;
                    reports::keep_clocks(db, &agent, &report.time, None).await?;
                    findings.extend(apply::apply(db, &agent, &mut part.standing, report, now).await?);
                    part.standing.progress = Progress::after(&position, *digest);
                    metrics::counter!("wardwatch_reports_committed_total").increment(1);
                    next = self.parking.take_next(&agent, position.stream, position.seq + 1);
                    let waits = next.is_none() && self.parking.has_waiting(&agent);
                    part.resend_from = waits.then_some(position.seq + 1);
                }
                Placement::Repeated => {
                    metrics::counter!("wardwatch_reports_repeated_total").increment(1);
                }
                Placement::Ahead { resend_from } => {
                    part.resend_from = Some(resend_from);
                    part.asked = Some(position.stream);
                    self.parking.park(&agent, signed);
                }
                Placement::Fork => {
                    refused(&agent, "fork", "another report was committed under this number");
                    if !std::mem::replace(&mut part.forked, true) {
                        findings.push(Finding::Fork { seq: position.seq });
                    }
                }
                Placement::Stale => {
                    refused(&agent, "stale-stream", "the report belongs to a stream that was left behind");
                }
            }
        }
        Ok(findings)
    }
}

async fn heartbeat_heard(
    db: &mut AnyConnection,
    part: &mut Part,
    heartbeat: &Heartbeat,
    now: UnixMillis,
) -> Result<Vec<Finding>, sqlx::Error> {
    let agent = &part.endpoint.id;
    let contact = contact::note(&mut part.standing.instances, heartbeat.instance, heartbeat.time.uptime_ms);
    if contact == Contact::Replayed {
        refused(agent, "replay", "an old heartbeat was sent again");
        return Ok(Vec::new());
    }
    reports::keep_clocks(db, agent, &heartbeat.time, Some(heartbeat.outbox_reports)).await?;
    let mut findings = heard(part, now);
    part.nonce = Some(heartbeat.nonce);
    part.asked = Some(heartbeat.stream);
    if contact == Contact::Returned {
        refused(&part.endpoint.id, "cloned", "two agents run with one identity");
        findings.push(Finding::IdentityCloned);
    }
    Ok(findings)
}

/// Notes the contact; tells when it ends a silence.
fn heard(part: &mut Part, now: UnixMillis) -> Vec<Finding> {
    let was = std::mem::replace(&mut part.standing.link, Link::Heard);
    part.standing.last_seen = Some(now);
    if was == Link::Silent { vec![Finding::Heard] } else { Vec::new() }
}

fn refused(agent: &AgentId, reason: &'static str, problem: &str) {
    tracing::warn!(%agent, reason, problem, "refused a message");
    metrics::counter!("wardwatch_refused_total", "door" => "ingest", "reason" => reason).increment(1);
}
