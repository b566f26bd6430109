//! An agent made of nothing but its protocol: it says what a test wants said, and checks every answer.

use std::time::Duration;

use bytes::Bytes;
use ed25519_dalek::{SigningKey, VerifyingKey};
use rumqttc::{AsyncClient, Event, Packet, QoS};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use wardwatch_policies::digest::Digest;
use wardwatch_policies::finding::StreamReason;
use wardwatch_policies::ids::AgentId;
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::downlink::{Ack, Command, CommandId, Downlink, DownlinkPosition};
use wardwatch_wire::envelope::{self, Envelope, Kind, Unverified};
use wardwatch_wire::report::{AgentTime, Body, Heartbeat, InstanceId, Nonce, Position, Report, StreamId};
use wardwatch_wire::topic::{Channel, Topic};

use crate::setup::{Agent, report_key};

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Reporter {
    pub(crate) agent: AgentId,
    pub(crate) key: SigningKey,
    pub(crate) stream: StreamId,
    pub(crate) instance: InstanceId,
    pub(crate) uptime_ms: u64,
    /// The last report made.
    pub(crate) seq: u64,
    pub(crate) last: Digest,
    /// The highest position heard of.
    pub(crate) downlink: DownlinkPosition,
    /// Commands that its heartbeats name.
    pub(crate) taken: Vec<CommandId>,
    client: AsyncClient,
    heard: mpsc::UnboundedReceiver<Bytes>,
    connection: JoinHandle<()>,
    collector: VerifyingKey,
}

impl Reporter {
    pub(crate) async fn subscribe(id: AgentId, mut agent: Agent, collector: VerifyingKey) -> Self {
        let downlink = Topic::new(id.clone(), Channel::Downlink).to_string();
        agent.client.subscribe(downlink, QoS::AtLeastOnce).await.unwrap();
        agent.wait_for(|packet| matches!(packet, Packet::SubAck(_)).then_some(())).await;
        let (told, heard) = mpsc::unbounded_channel();
        let Agent { client, mut events } = agent;
        let connection = tokio::spawn(async move {
            while let Ok(event) = events.poll().await {
                if let Event::Incoming(Packet::Publish(publish)) = event
                    && told.send(publish.payload).is_err()
                {
                    return;
                }
            }
        });
        Self {
            agent: id,
            key: report_key(),
            stream: StreamId([1; 16]),
            instance: InstanceId([1; 16]),
            uptime_ms: 1000,
            seq: 0,
            last: Digest::ZERO,
            downlink: DownlinkPosition::START,
            taken: Vec::new(),
            client,
            heard,
            connection,
            collector,
        }
    }

    pub(crate) fn time(&self) -> AgentTime {
        AgentTime { wall: UnixMillis(0), uptime_ms: self.uptime_ms, proved: None }
    }

    /// The next report of the stream, not sent.
    pub(crate) fn report(&mut self, body: Body) -> Envelope {
        let position = Position { stream: self.stream, seq: self.seq + 1, previous: self.last };
        let envelope = self.report_at(position, body);
        self.seq += 1;
        self.last = envelope.digest();
        envelope
    }

    /// A report at any position; the stream goes on as if it had not been made.
    pub(crate) fn report_at(&self, position: Position, body: Body) -> Envelope {
        let report = Report { agent: self.agent.clone(), position, time: self.time(), body };
        envelope::seal(Kind::Report, &self.agent, &self.key, &report).unwrap()
    }

    /// A new stream's first report, not sent.
    pub(crate) fn opened(&mut self, stream: u8, reason: StreamReason) -> Envelope {
        (self.stream, self.seq, self.last) = (StreamId([stream; 16]), 0, Digest::ZERO);
        self.report(Body::StreamOpened { reason })
    }

    pub(crate) async fn send(&self, envelope: &Envelope) {
        self.send_bytes(envelope.as_bytes()).await;
    }

    pub(crate) async fn send_bytes(&self, bytes: &[u8]) {
        let topic = Topic::new(self.agent.clone(), Channel::Reports).to_string();
        self.client.publish(topic, QoS::AtLeastOnce, false, bytes).await.unwrap();
    }

    /// Sends the next report and waits until it is acknowledged.
    pub(crate) async fn tell(&mut self, body: Body) -> Ack {
        let envelope = self.report(body);
        self.send(&envelope).await;
        let (stream, seq) = (self.stream, self.seq);
        self.ack_that(|ack| ack.stream == stream && ack.committed >= seq).await
    }

    /// Opens a stream and waits until that is acknowledged.
    pub(crate) async fn open(&mut self, stream: u8, reason: StreamReason) -> Ack {
        let envelope = self.opened(stream, reason);
        self.send(&envelope).await;
        let stream = self.stream;
        self.ack_that(|ack| ack.stream == stream && ack.committed >= 1).await
    }

    pub(crate) fn heartbeat(&mut self, nonce: u8) -> Envelope {
        self.uptime_ms += 1000;
        let heartbeat = Heartbeat {
            agent: self.agent.clone(),
            instance: self.instance,
            nonce: Nonce([nonce; 16]),
            time: self.time(),
            stream: self.stream,
            last_seq: self.seq,
            outbox_reports: 3,
            outbox_bytes: 300,
            commands: self.taken.clone(),
        };
        envelope::seal(Kind::Heartbeat, &self.agent, &self.key, &heartbeat).unwrap()
    }

    /// Sends a heartbeat and returns the ack with its nonce. Whatever was sent before has been dealt with then.
    pub(crate) async fn beat(&mut self, nonce: u8) -> Ack {
        let heartbeat = self.heartbeat(nonce);
        self.send(&heartbeat).await;
        self.ack_that(|ack| ack.nonce == Some(Nonce([nonce; 16]))).await
    }

    /// Passes over other messages to the first ack that fits.
    pub(crate) async fn ack_that(&mut self, fits: impl Fn(&Ack) -> bool) -> Ack {
        loop {
            if let Some(ack) = self.heard_ack().await.filter(&fits) {
                return ack;
            }
        }
    }

    async fn heard_ack(&mut self) -> Option<Ack> {
        let payload = self.payload().await;
        let unverified = Unverified::parse(&payload).unwrap();
        (unverified.kind() == Kind::Ack).then(|| self.verified(&unverified))
    }

    /// The next command; acks before it are passed over.
    pub(crate) async fn command(&mut self) -> Command {
        loop {
            let payload = self.payload().await;
            let unverified = Unverified::parse(&payload).unwrap();
            match unverified.kind() {
                Kind::Command => return self.taken(&unverified),
                _ => drop(self.verified::<Ack>(&unverified)),
            }
        }
    }

    /// Takes what has come so far; how many commands were among it.
    pub(crate) fn commands_heard(&mut self) -> usize {
        let mut commands = 0;
        while let Ok(payload) = self.heard.try_recv() {
            let unverified = Unverified::parse(&payload).unwrap();
            match unverified.kind() {
                Kind::Command => {
                    self.taken(&unverified);
                    commands += 1;
                }
                _ => drop(self.verified::<Ack>(&unverified)),
            }
        }
        commands
    }

    fn taken(&mut self, unverified: &Unverified) -> Command {
        let command: Command = self.verified(unverified);
        self.taken.push(command.id);
        command
    }

    fn verified<T: serde::de::DeserializeOwned>(&mut self, unverified: &Unverified) -> T {
        let message: Downlink<T> = unverified
            .verify(unverified.kind(), &self.agent, &self.collector)
            .expect("signed for this agent");
        assert_eq!(message.agent, self.agent);
        assert!(message.position > self.downlink, "{:?} after {:?}", message.position, self.downlink);
        self.downlink = message.position;
        message.body
    }

    async fn payload(&mut self) -> Bytes {
        timeout(PATIENCE, self.heard.recv()).await.expect("an answer comes").expect("the connection stays")
    }

    /// Forgets what was sent to it and never looked at: acks that got lost.
    pub(crate) fn lose_what_was_heard(&mut self) -> usize {
        std::iter::from_fn(|| self.heard.try_recv().ok()).count()
    }

    pub(crate) async fn is_cut(&mut self) {
        timeout(PATIENCE, &mut self.connection).await.expect("the broker hangs up").unwrap();
    }
}
