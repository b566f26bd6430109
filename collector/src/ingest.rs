//! Reports come in: verified, placed in their stream, committed in batches, acknowledged.
//!
//! One batch is one transaction: what its reports tell, the changes that follow from it and the agents'
//! progress stand or fall together, and an ack leaves only after the commit. Neighbours: the broker hands
//! over bytes, the workflow turns findings into changes.

mod apply;
mod contact;
mod inventory;
mod parking;
mod part;
mod upgrade;
mod verify;
mod waiting;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use serde::Serialize;
use sqlx::AnyConnection;
use tokio::sync::{mpsc, watch};
use wardwatch_policies::ids::AgentId;
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::downlink::{Command, Downlink, DownlinkPosition, Witness};
use wardwatch_wire::envelope::{self, Envelope, Kind};
use wardwatch_wire::report::MAX_COMMANDS;

use self::parking::Parking;
use self::part::Part;
use self::verify::Message;
use self::waiting::Waiting;
use crate::broker::{Broker, Inbound};
use crate::clock;
use crate::registry::Registry;
use crate::store::endpoints::{Endpoint, State};
use crate::store::{Store, commands, reports};
use crate::workflow::{Event, Workflow};

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

/// One endpoint's messages, each with a signature that holds.
struct Incoming {
    endpoint: Arc<Endpoint>,
    messages: Vec<Message>,
}

/// What a committed batch tells others.
#[derive(Default)]
struct Outcome {
    /// In the order in which to send them.
    downlink: Vec<(AgentId, Envelope)>,
    events: Vec<Event>,
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
        let mut waiting = Waiting::default();
        while waiting.fill(&mut inbound, &stopped).await {
            let mut batch: BTreeMap<AgentId, Incoming> = BTreeMap::new();
            for (endpoint, message) in waiting.take().into_iter().filter_map(|m| self.believed(m)) {
                batch
                    .entry(endpoint.id.clone())
                    .or_insert_with(|| Incoming { endpoint, messages: Vec::new() })
                    .messages
                    .push(message);
            }
            if !batch.is_empty() {
                self.work(&batch.into_values().collect::<Vec<_>>()).await;
            }
        }
    }

    /// Commits a batch and tells of it. Nothing that fails is acknowledged, so the agents send it again.
    async fn work(&mut self, batch: &[Incoming]) {
        match self.commit(batch, clock::now()).await {
            Ok(outcome) => self.tell(outcome).await,
            // One endpoint's data must not hold up the others: each is tried by itself.
            Err(error) if batch.len() > 1 && is_about_data(&error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a batch was not committed; each endpoint's part is tried by itself"
                );
                for incoming in batch {
                    match self.commit(std::slice::from_ref(incoming), clock::now()).await {
                        Ok(outcome) => self.tell(outcome).await,
                        Err(error) => failed(&error, Some(&incoming.endpoint.id)),
                    }
                }
            }
            Err(error) => {
                failed(&error, None);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn tell(&self, outcome: Outcome) {
        for (agent, message) in outcome.downlink {
            self.broker.publish(&agent, message.into_bytes().into()).await;
        }
        self.workflow.announce(outcome.events);
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

    async fn commit(&mut self, batch: &[Incoming], now: UnixMillis) -> Result<Outcome, sqlx::Error> {
        let mut tx = self.store.write().await?;
        let ids: Vec<&AgentId> = batch.iter().map(|incoming| &incoming.endpoint.id).collect();
        let mut standings = reports::standings(&mut tx, &ids).await?;
        let mut recording = self.workflow.begin(&mut tx, now).await?;
        let mut parts = Vec::with_capacity(batch.len());
        let mut upgraded = Vec::new();
        for Incoming { endpoint, messages } in batch {
            // Removed between the registry's answer and this transaction: nothing of it counts.
            let Some(standing) = standings.remove(&endpoint.id) else {
                for _ in messages {
                    refused(&endpoint.id, "not-active", "the endpoint may not report any more");
                }
                continue;
            };
            let mut part = Part::begin(&mut tx, endpoint.clone(), standing, messages).await?;
            let mut findings = Vec::new();
            for message in messages {
                findings.extend(part.take(&mut tx, &mut self.parking, message.clone(), now).await?);
            }
            // Of any other word nobody need hear: whoever holds an endpoint may say as many as it likes.
            if part.has_counted() {
                upgraded.push(Event::Upgrade(endpoint.id.clone()));
            }
            recording.observe(&mut tx, endpoint, &findings).await?;
            parts.push(part);
        }
        let head = recording.head();
        let witness = Witness { length: head.length, head: head.digest };
        let mut outcome = Outcome { downlink: Vec::new(), events: recording.finish(&mut tx).await? };
        outcome.downlink = self.answer(&mut tx, &mut parts, witness, now).await?;
        outcome.events.append(&mut upgraded);
        let mut committed = Vec::new();
        for part in parts {
            outcome.events.push(Event::Endpoint(part.endpoint().id.clone()));
            committed.extend(part.finish(&mut tx, now).await?);
        }
        reports::commit(&mut tx, &committed, now).await?;
        tx.commit().await?;
        metrics::counter!("wardwatch_reports_committed_total").increment(committed.len() as u64);
        Ok(outcome)
    }

    /// An ack for each endpoint; after an ack that proves the time to the agent, the commands it does not have.
    async fn answer(
        &self,
        db: &mut AnyConnection,
        parts: &mut [Part],
        witness: Witness,
        now: UnixMillis,
    ) -> Result<Vec<(AgentId, Envelope)>, sqlx::Error> {
        let asking: Vec<Arc<Endpoint>> =
            parts.iter().filter(|part| part.asks()).map(|part| part.endpoint().clone()).collect();
        let asking: Vec<&AgentId> = asking.iter().map(|endpoint| &endpoint.id).collect();
        let mut undelivered = commands::undelivered(db, &asking, now).await?;
        let mut downlink = Vec::with_capacity(parts.len());
        for part in parts {
            let agent = part.endpoint().id.clone();
            let Some(ack) = part.ack(witness) else { continue };
            downlink.extend(self.seal(Kind::Ack, &agent, part.advance(), now, ack));
            let (taken, open): (Vec<Command>, Vec<Command>) = undelivered
                .remove(&agent)
                .unwrap_or_default()
                .into_iter()
                .partition(|command| part.has_taken(command.id));
            for command in taken {
                commands::keep_delivered(db, command.id, now).await?;
            }
            // Sent again with every heartbeat until one names it: to take a command twice does nothing.
            for command in open.into_iter().take(MAX_COMMANDS) {
                downlink.extend(self.seal(Kind::Command, &agent, part.advance(), now, command));
            }
        }
        Ok(downlink)
    }

    fn seal<T: Serialize>(
        &self,
        kind: Kind,
        agent: &AgentId,
        position: DownlinkPosition,
        sent: UnixMillis,
        body: T,
    ) -> Option<(AgentId, Envelope)> {
        let message = Downlink { agent: agent.clone(), position, sent, body };
        envelope::seal(kind, agent, &self.key, &message)
            .inspect_err(|error| tracing::error!(%agent, %kind, %error, "a message cannot be sealed"))
            .ok()
            .map(|envelope| (agent.clone(), envelope))
    }
}

/// Whether other data might have been committed: the database answered, and did not want these.
fn is_about_data(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(_) | sqlx::Error::Decode(_) | sqlx::Error::Encode(_))
        || matches!(error, sqlx::Error::ColumnDecode { .. })
}

fn failed(error: &sqlx::Error, agent: Option<&AgentId>) {
    let agent = agent.map(AgentId::as_str);
    tracing::error!(error = error as &dyn std::error::Error, agent, "a batch was not committed");
    metrics::counter!("wardwatch_batches_failed_total").increment(1);
}

fn refused(agent: &AgentId, reason: &'static str, problem: &str) {
    tracing::warn!(%agent, reason, problem, "refused a message");
    metrics::counter!("wardwatch_refused_total", "door" => "ingest", "reason" => reason).increment(1);
}
