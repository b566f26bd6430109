//! The embedded MQTT broker: transport between agents and this process, and nothing more.
//!
//! It runs on threads of its own. Reports come out of a bounded queue; acks and commands go in through
//! [`Broker::publish`]. Sessions live in memory, so whatever must arrive is kept in the store until it is
//! acknowledged. Whether a report is genuine is decided by ingest, from its signature.

mod hooks;
mod listener;
pub mod refused_handshakes;
pub mod rules;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use rmqtt::codec::types::{Publish as Packet, QoS};
use rmqtt::context::ServerContext;
use rmqtt::types::{From as Sender, Id, Publish};
use tokio::runtime::{self, Handle};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::timeout;
use wardwatch_policies::ids::AgentId;
use wardwatch_wire::topic::{Channel, Topic};

use self::hooks::Gate;
use self::listener::Listener;
use crate::authority::ServerCertificate;
use crate::registry::Registry;

/// How long stopping may take to tell all agents.
const GOODBYE: Duration = Duration::from_secs(3);

/// How the broker listens.
pub struct Config {
    /// Port 0 means any; see [`Broker::address`].
    pub listen: SocketAddr,
    pub certificate: ServerCertificate,
    /// The authority whose certificates clients must show, as PEM.
    pub ca_file: PathBuf,
    pub limits: Limits,
}

/// What one broker takes at most.
#[derive(Debug, Clone)]
pub struct Limits {
    pub sessions: u16,
    /// For TLS, and again for the rest of a CONNECT that has begun. What finishes TLS, and so holds one of our
    /// certificates, and then sends nothing is not closed: the broker has no limit for that.
    pub handshake_timeout: Duration,
    /// How long a report waits for room in the queue before its agent is disconnected, to send it again.
    pub queue_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 20_000,
            handshake_timeout: Duration::from_secs(15),
            queue_wait: Duration::from_secs(5),
        }
    }
}

/// One message of an agent, its signature not yet verified.
#[derive(Debug, Clone)]
pub struct Inbound {
    /// As the client certificate says.
    pub agent: AgentId,
    pub payload: Bytes,
}

/// A hint that an agent came or went; missed ones are not told again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Connected(AgentId),
    Disconnected(AgentId),
}

/// The broker cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    #[error("the broker cannot listen on {address}; agents cannot connect: free the port or choose another")]
    Listen { address: SocketAddr, source: anyhow::Error },
    #[error("the broker has no threads to run on")]
    Threads(#[from] io::Error),
    #[error("the broker has stopped")]
    Stopped,
}

/// The running broker. Dropped, it stops.
pub struct Broker {
    address: SocketAddr,
    context: ServerContext,
    handle: Handle,
    commands: mpsc::Sender<Command>,
    events: broadcast::Sender<Event>,
    ended: oneshot::Receiver<()>,
}

enum Command {
    Renew(ServerCertificate, oneshot::Sender<Result<(), BrokerError>>),
}

struct Started {
    address: SocketAddr,
    context: ServerContext,
    handle: Handle,
}

impl Broker {
    /// Starts the broker. Reports go to `sink`; a full sink holds agents back.
    ///
    /// # Errors
    /// The address is taken, or the certificate files cannot be used.
    pub async fn start(
        config: Config,
        registry: Registry,
        sink: mpsc::Sender<Inbound>,
    ) -> Result<Self, BrokerError> {
        let (commands, inbox) = mpsc::channel(4);
        let (events, _) = broadcast::channel(1024);
        let (started, starting) = oneshot::channel();
        let (end, ended) = oneshot::channel();
        let announce = events.clone();
        std::thread::Builder::new().name("broker".into()).spawn(move || {
            // Dropped last: whoever stops the broker waits for it.
            let _end: oneshot::Sender<()> = end;
            let runtime = match runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .thread_name("broker")
                .enable_all()
                .build()
            {
                Ok(runtime) => runtime,
                Err(error) => {
                    let _ = started.send(Err(error.into()));
                    return;
                }
            };
            runtime.block_on(run(config, registry, sink, announce, inbox, started));
            runtime.shutdown_timeout(Duration::from_secs(2));
        })?;
        let Started { address, context, handle } = starting.await.map_err(|_| BrokerError::Stopped)??;
        Ok(Self { address, context, handle, commands, events, ended })
    }

    /// Where it listens, with the true port.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Agents that come and go from now on.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Sends to the agent's own downlink; `false` if it is not connected and subscribed. `true` does not mean
    /// that it arrived.
    pub async fn publish(&self, agent: &AgentId, payload: Bytes) -> bool {
        let (context, agent) = (self.context.clone(), agent.clone());
        self.on_own_threads(async move { forward(&context, &agent, payload).await }).await.unwrap_or(false)
    }

    /// Cuts the agent's live session, if it has one. It may connect again unless the registry says no.
    pub async fn disconnect(&self, agent: &AgentId) {
        let (context, agent) = (self.context.clone(), agent.clone());
        self.on_own_threads(async move { cut(&context, agent.as_str()).await }).await;
    }

    /// The agents that are connected now.
    pub async fn connected(&self) -> Vec<AgentId> {
        let context = self.context.clone();
        self.on_own_threads(async move { online(&context).await }).await.unwrap_or_default()
    }

    /// Listens with another server certificate from now on. Connections that are open stay open.
    ///
    /// # Errors
    /// The certificate files cannot be read, and the old listener stays; or its port was taken in between, and
    /// nobody can connect until a renewal succeeds.
    pub async fn renew(&self, certificate: ServerCertificate) -> Result<(), BrokerError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Renew(certificate, reply)).await.map_err(|_| BrokerError::Stopped)?;
        answer.await.map_err(|_| BrokerError::Stopped)?
    }

    /// Says goodbye to all agents and ends the broker's threads.
    pub async fn stop(self) {
        drop(self.commands);
        // An error here is the end itself.
        let _ = self.ended.await;
    }

    async fn on_own_threads<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        self.handle.spawn(work).await.ok()
    }
}

async fn run(
    config: Config,
    registry: Registry,
    sink: mpsc::Sender<Inbound>,
    events: broadcast::Sender<Event>,
    mut commands: mpsc::Receiver<Command>,
    started: oneshot::Sender<Result<Started, BrokerError>>,
) {
    let context = ServerContext::new()
        .mqtt_max_sessions(usize::from(config.limits.sessions).cast_signed())
        // It would refuse agents while anything else keeps this machine's processors busy.
        .busy_check_enable(false)
        .task_exec_workers(64)
        .task_exec_queue_max(10_000)
        .build()
        .await;
    let queue_wait = config.limits.queue_wait;
    Gate { context: context.clone(), registry, sink, queue_wait, events }.register().await;
    let mut listener = match Listener::open(&context, &config) {
        Ok(listener) => listener,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    let address = listener.address();
    let ready = Started { address, context: context.clone(), handle: Handle::current() };
    if started.send(Ok(ready)).is_err() {
        return;
    }
    while let Some(Command::Renew(certificate, reply)) = commands.recv().await {
        let renewed = listener.renew(&context, &config, certificate).await;
        let _ = reply.send(renewed);
    }
    listener.close().await;
    let online = online(&context).await;
    let goodbyes = join_all(online.iter().map(|agent| cut(&context, agent.as_str())));
    if timeout(GOODBYE, goodbyes).await.is_err() {
        tracing::warn!("some agents did not hear that the broker stops");
    }
}

fn session_of(context: &ServerContext, client_id: &str) -> Id {
    Id::from(context.node.id(), client_id.to_owned().into())
}

async fn cut(context: &ServerContext, client_id: &str) {
    let entry = context.extends.shared().await.entry(session_of(context, client_id));
    let cut = async { entry.try_lock().await?.kick(true, true, true).await };
    if let Err(error) = cut.await {
        tracing::warn!(client_id, %error, "the session cannot be cut; its messages are refused all the same");
    }
}

async fn online(context: &ServerContext) -> Vec<AgentId> {
    let shared = context.extends.shared().await;
    let entries: Vec<_> = shared.iter().collect();
    let mut online = Vec::new();
    for entry in entries {
        if entry.is_connected().await
            && let Ok(agent) = entry.id().client_id.parse()
        {
            online.push(agent);
        }
    }
    online
}

async fn forward(context: &ServerContext, agent: &AgentId, payload: Bytes) -> bool {
    let id = session_of(context, agent.as_str());
    let shared = context.extends.shared().await;
    if !shared.entry(id.clone()).is_connected().await {
        return false;
    }
    let packet = Packet {
        dup: false,
        retain: false,
        qos: QoS::AtLeastOnce,
        topic: Topic::new(agent.clone(), Channel::Downlink).to_string().into(),
        packet_id: None,
        payload,
        properties: None,
    };
    let publish = Publish::new(Box::new(packet), None, None, None);
    matches!(shared.forwards(None, Sender::from_system(id), publish).await, Ok(1..))
}
