//! Moves reports from the outbox to the collector and takes what comes down. It keeps trying for ever, with
//! growing pauses, and holds nothing that a restart would lose.
//!
//! `window` decides what is sent next, `respond` what is believed, `link` is the MQTT connection.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::{SigningKey, VerifyingKey};
use rustls::ClientConfig;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use wardwatch_policies::ids::AgentId;
use wardwatch_wire::downlink::{Ack, Command, CommandId, Downlink};
use wardwatch_wire::envelope::{Kind, seal};
use wardwatch_wire::report::{Heartbeat, InstanceId, MAX_COMMANDS, Nonce, StreamId};

use crate::clock::Clock;
use crate::outbox::{Disagreement, Outbox};
use crate::random;
use crate::respond::{self, Message};

mod link;
pub mod window;

use link::{Link, LinkEvent};
use window::Window;

/// The first pause before a new attempt; doubled up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A heartbeat without answer is followed by another after so long.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// So many heartbeats in a row without answer end the connection.
const UNANSWERED: usize = 6;
/// A connection that takes nothing for so long is ended.
const STUCK: Duration = Duration::from_secs(60);

/// How the connection stands, for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkState {
    Connecting,
    Connected { host: String },
    Down { problem: String },
}

/// What the rest of the agent must act on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Command(Command),
    /// This stream cannot go on.
    Disagreement {
        stream: StreamId,
        problem: Disagreement,
    },
}

/// Everything a connection needs.
pub struct Uplink {
    pub agent: AgentId,
    pub instance: InstanceId,
    pub key: SigningKey,
    pub collector: VerifyingKey,
    /// Tried in turn.
    pub hosts: Vec<String>,
    pub port: u16,
    pub tls: Arc<ClientConfig>,
    pub outbox: Arc<Outbox>,
    pub clock: Clock,
    pub heartbeat: Duration,
    pub link: watch::Sender<LinkState>,
    pub events: mpsc::Sender<Event>,
}

/// One connection's own state.
struct Session<'a> {
    stream: StreamId,
    window: Window,
    ready: bool,
    /// Of heartbeats that were not answered, oldest first.
    nonces: VecDeque<Nonce>,
    heartbeat_due: Duration,
    /// The newest commands of this process, on whichever connection they came.
    taken: &'a mut VecDeque<CommandId>,
    heard: bool,
    /// Since when the connection takes nothing more.
    stuck_since: Option<Duration>,
}

impl Uplink {
    /// Connects, and connects again, until dropped.
    pub async fn run(self) {
        let mut pause = FIRST_PAUSE;
        let mut taken = VecDeque::new();
        loop {
            for host in &self.hosts {
                let (problem, heard) = self.session(host, &mut taken).await;
                if heard {
                    pause = FIRST_PAUSE;
                }
                tracing::warn!(%host, "no connection to the collector: {problem}; reports wait in the outbox");
                self.link.send_replace(LinkState::Down { problem: format!("{host}: {problem}") });
                sleep(random::jittered(pause)).await;
                self.outbox.save_if_due();
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Runs one connection to its end; says why it ended and whether the collector was heard.
    async fn session(&self, host: &str, taken: &mut VecDeque<CommandId>) -> (String, bool) {
        let mut link = Link::open(&self.agent, host, self.port, &self.tls);
        let now = self.clock.uptime();
        let mut session = Session {
            stream: self.outbox.stream(),
            window: Window::new(self.outbox.committed_seq(), now),
            ready: false,
            nonces: VecDeque::new(),
            heartbeat_due: now,
            taken,
            heard: false,
            stuck_since: None,
        };
        loop {
            if let Err(problem) = self.send_what_is_due(&link, &mut session) {
                return (problem, session.heard);
            }
            let now = self.clock.uptime();
            let due = [session.next_due(), self.outbox.save_due()].into_iter().flatten().min();
            let due = due.map_or(self.heartbeat, |due| due.saturating_sub(now));
            tokio::select! {
                event = link.next() => match event {
                    LinkEvent::Ready => {
                        tracing::info!(%host, "connected to the collector");
                        session.ready = true;
                        session.heartbeat_due = self.clock.uptime();
                        self.link.send_replace(LinkState::Connected { host: host.to_owned() });
                    }
                    LinkEvent::Message(bytes) => self.take(&bytes, &mut session).await,
                    LinkEvent::Sent => {}
                    LinkEvent::Closed(problem) => return (problem, session.heard),
                },
                () = self.outbox.appended.notified(), if session.ready => {}
                () = sleep(due) => {}
            }
        }
    }

    fn send_what_is_due(&self, link: &Link, session: &mut Session<'_>) -> Result<(), String> {
        let now = self.clock.uptime();
        self.outbox.save_if_due();
        if !session.ready {
            return Ok(());
        }
        if now >= session.heartbeat_due {
            if session.nonces.len() >= UNANSWERED {
                return Err("the collector does not answer".into());
            }
            self.send_heartbeat(link, session, now).map_err(|error| format!("{error:#}"))?;
        }
        if self.clock.proved().is_none() {
            return Ok(());
        }
        let stream = self.outbox.stream();
        if stream != session.stream {
            session.stream = stream;
            session.window = Window::new(self.outbox.committed_seq(), now);
        }
        if session.window.check(now) {
            tracing::debug!("no ack in time; sending again");
        }
        while let Some(room) = session.window.room() {
            let reports =
                self.outbox.after(room.after, room.reports, room.bytes).map_err(|error| error.to_string())?;
            if reports.is_empty() {
                break;
            }
            for (seq, envelope) in reports {
                let bytes = envelope.len();
                if !link.try_send(envelope) {
                    return Ok(());
                }
                session.window.sent(seq, bytes, now);
            }
        }
        Ok(())
    }

    fn send_heartbeat(&self, link: &Link, session: &mut Session<'_>, now: Duration) -> anyhow::Result<()> {
        let nonce = Nonce(random::bytes()?);
        let depth = self.outbox.depth();
        let heartbeat = Heartbeat {
            agent: self.agent.clone(),
            instance: self.instance,
            nonce,
            time: self.clock.agent_time(),
            stream: self.outbox.stream(),
            last_seq: self.outbox.last_seq(),
            outbox_reports: depth.reports,
            outbox_bytes: depth.bytes,
            commands: session.taken.iter().copied().collect(),
        };
        let envelope = seal(Kind::Heartbeat, &self.agent, &self.key, &heartbeat)?;
        if link.try_send(envelope.into_bytes()) {
            session.nonces.push_back(nonce);
            session.stuck_since = None;
            session.heartbeat_due = now + ANSWER_PATIENCE.min(self.heartbeat);
            return Ok(());
        }
        let since = *session.stuck_since.get_or_insert(now);
        anyhow::ensure!(now.saturating_sub(since) < STUCK, "the broker takes no more messages");
        session.heartbeat_due = now + Duration::from_secs(1);
        Ok(())
    }

    async fn take(&self, bytes: &[u8], session: &mut Session<'_>) {
        match respond::read(bytes, &self.agent, &self.collector, self.outbox.downlink()) {
            Err(refused) => tracing::warn!("a message from the broker is not obeyed: {refused}"),
            Ok(Message::Ack(ack)) => self.take_ack(&ack, session).await,
            Ok(Message::Command(command)) => {
                session.heard = true;
                match self.outbox.advance_downlink(command.position) {
                    Ok(()) if session.taken.contains(&command.body.id) => {
                        tracing::debug!(command = command.body.id.0, "a command came again");
                    }
                    // Not named as taken, so that it is sent again: whoever passes messages on can have it come first.
                    Ok(()) if self.clock.proved().is_none() => {
                        tracing::info!(
                            command = command.body.id.0,
                            "a command waits until the time is proved"
                        );
                    }
                    Ok(()) => {
                        if session.taken.len() >= MAX_COMMANDS {
                            session.taken.pop_front();
                        }
                        session.taken.push_back(command.body.id);
                        self.tell(Event::Command(command.body)).await;
                    }
                    Err(error) => tracing::warn!("a command is not run, since it cannot be noted: {error}"),
                }
            }
        }
    }

    async fn take_ack(&self, downlink: &Downlink<Ack>, session: &mut Session<'_>) {
        session.heard = true;
        let now = self.clock.uptime();
        let ack = &downlink.body;
        tracing::debug!(committed = ack.committed, resend_from = ack.resend_from, "ack");
        if let Some(place) = session.nonces.iter().position(|nonce| Some(*nonce) == ack.nonce) {
            self.clock.prove(downlink.sent);
            session.nonces.drain(..=place);
            if session.nonces.is_empty() {
                session.heartbeat_due = now + random::jittered(self.heartbeat);
            }
        }
        let stream = self.outbox.stream();
        match self.outbox.acknowledge(downlink.position, ack.stream, ack.committed, ack.witness) {
            Err(problem) => {
                tracing::warn!("{problem}; a new stream of reports begins");
                self.tell(Event::Disagreement { stream, problem }).await;
            }
            Ok(()) if ack.stream == stream => session.window.acked(ack.committed, ack.resend_from, now),
            Ok(()) => {}
        }
    }

    async fn tell(&self, event: Event) {
        if self.events.send(event).await.is_err() {
            tracing::debug!("nobody listens to the uplink any more");
        }
    }
}

impl Session<'_> {
    fn next_due(&self) -> Option<Duration> {
        let heartbeat = self.ready.then_some(self.heartbeat_due);
        [heartbeat, self.window.deadline()].into_iter().flatten().min()
    }
}
