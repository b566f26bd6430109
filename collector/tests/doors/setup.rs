//! A collector's doors on loopback, and agents that knock on them.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use rcgen::{CertificateParams, KeyPair};
use rumqttc::{
    AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, Packet, TlsConfiguration, Transport,
};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use wardwatch_collector::authority::{Authority, CertificateRequest};
use wardwatch_collector::broker::refused_handshakes::RefusedHandshakes;
use wardwatch_collector::broker::{Broker, Config, Inbound, Limits};
use wardwatch_collector::enrol::listener::{self, Listener};
use wardwatch_collector::enrol::office::Office;
use wardwatch_collector::enrol::programs::Programs;
use wardwatch_collector::registry::Registry;
use wardwatch_collector::store::Store;
use wardwatch_collector::store::blobs::BlobDir;
use wardwatch_collector::store::endpoints::{Endpoint, State};
use wardwatch_collector::workflow::Workflow;
use wardwatch_policies::ids::AgentId;
use wardwatch_policies::time::UnixMillis;

pub(crate) const NOW: UnixMillis = UnixMillis(1_790_000_000_000);
const PATIENCE: Duration = Duration::from_secs(10);

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Counters and the layer that reads the broker's log, once for all tests of this program.
pub(crate) fn observe() {
    use tracing_subscriber::prelude::*;
    METRICS.get_or_init(|| {
        tracing_subscriber::registry()
            .with(tracing_subscriber::filter::LevelFilter::WARN)
            .with(RefusedHandshakes)
            .init();
        PrometheusBuilder::new().install_recorder().unwrap()
    });
}

/// How often a door has refused for this reason.
pub(crate) fn refused(door: &str, reason: &str) -> u64 {
    value(&format!("wardwatch_refused_total{{door=\"{door}\",reason=\"{reason}\"}} "))
}

/// What a counter says, by its name with all labels and a space.
pub(crate) fn value(series: &str) -> u64 {
    let text = METRICS.get().unwrap().render();
    text.lines().find_map(|line| line.strip_prefix(series)).map_or(0, |count| count.parse().unwrap())
}

pub(crate) fn id(text: &str) -> AgentId {
    text.parse().unwrap()
}

/// Signs the reports of every agent here.
pub(crate) fn report_key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

/// A key and the certificate for it.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: Vec<u8>,
    pub(crate) serial: String,
}

impl Identity {
    /// As the authority issues it, without telling any registry.
    pub(crate) fn of(authority: &Authority, agent: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let request = CertificateParams::default().serialize_request(&key).unwrap();
        let request = CertificateRequest::parse(request.der()).unwrap();
        let certificate = authority.issue(&id(agent), &request, NOW).unwrap();
        Self { chain: vec![certificate.der], key: key.serialize_der(), serial: certificate.serial }
    }
}

/// TLS as an agent does it: 1.3 only, trusting one authority.
pub(crate) fn tls(authority: &CertificateDer<'static>, identity: Option<&Identity>) -> ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    match identity {
        None => config.with_no_client_auth(),
        Some(identity) => {
            let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(identity.key.clone()));
            config.with_client_auth_cert(identity.chain.clone(), key).unwrap()
        }
    }
}

/// The door of enrolment and programs, and what lies behind it.
pub(crate) struct HttpsDoor {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) store: Store,
    pub(crate) authority: Arc<Authority>,
    pub(crate) registry: Registry,
    pub(crate) blobs: BlobDir,
    pub(crate) listener: Listener,
}

impl HttpsDoor {
    /// With changed settings, in the database with this address, or in one of its own.
    pub(crate) async fn open(database: Option<&str>, change: impl FnOnce(&mut listener::Config)) -> Self {
        observe();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let own = format!("sqlite:{}", dir.path().join("w.db").display());
        let store = Store::open(database.unwrap_or(&own)).await.unwrap();
        let authority = Arc::new(Authority::create(&dir.path().join("authority"), NOW).unwrap());
        let registry = Registry::default();
        let certificate = authority.ensure_server_certificate(&["127.0.0.1".into()], NOW).unwrap();
        let office = Office {
            store: store.clone(),
            authority: authority.clone(),
            registry: registry.clone(),
            workflow: Workflow::new(store.clone()),
            clock: || NOW,
        };
        let blobs = BlobDir::open(dir.path()).unwrap();
        let programs = Programs::new(registry.clone(), store.clone(), blobs.clone(), || NOW);
        let mut config = listener::Config::new(SocketAddr::from(([127, 0, 0, 1], 0)), certificate);
        change(&mut config);
        let listener = Listener::start(config, office, programs).unwrap();
        Self { dir, store, authority, registry, blobs, listener }
    }
}

/// An authority, a registry and a running broker.
pub(crate) struct Doors {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) authority: Authority,
    pub(crate) registry: Registry,
    pub(crate) broker: Broker,
    pub(crate) inbox: mpsc::Receiver<Inbound>,
}

impl Doors {
    pub(crate) async fn open() -> Self {
        Self::with(Limits { handshake_timeout: Duration::from_secs(3), ..Limits::default() }, 64).await
    }

    pub(crate) async fn with(limits: Limits, queue: usize) -> Self {
        observe();
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create(&dir.path().join("authority"), NOW).unwrap();
        let registry = Registry::default();
        let (sink, inbox) = mpsc::channel(queue);
        let config = Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            certificate: authority.ensure_server_certificate(&["127.0.0.1".into()], NOW).unwrap(),
            ca_file: authority.ca_file(),
            limits,
        };
        let broker = Broker::start(config, registry.clone(), sink).await.unwrap();
        Self { dir, authority, registry, broker, inbox }
    }

    /// An agent that is enrolled and active.
    pub(crate) fn enrol(&self, agent: &str) -> Identity {
        let identity = Identity::of(&self.authority, agent);
        self.register(agent, &identity, State::Active);
        identity
    }

    pub(crate) fn register(&self, agent: &str, identity: &Identity, state: State) {
        self.registry.put(Self::endpoint(agent, identity, state));
    }

    pub(crate) fn endpoint(agent: &str, identity: &Identity, state: State) -> Endpoint {
        Endpoint {
            id: id(agent),
            unit: "phuong-1".parse().unwrap(),
            kind: "office-pc".parse().unwrap(),
            hostname: agent.to_owned(),
            state,
            serial: identity.serial.clone(),
            report_key: report_key().verifying_key(),
            enrolled: NOW,
        }
    }

    pub(crate) fn options(&self, client_id: &str, identity: Option<&Identity>) -> MqttOptions {
        Self::options_of(&self.authority, &self.broker, client_id, identity)
    }

    pub(crate) fn options_of(
        authority: &Authority,
        broker: &Broker,
        client_id: &str,
        identity: Option<&Identity>,
    ) -> MqttOptions {
        let mut options = MqttOptions::new(client_id, "127.0.0.1", broker.address().port());
        let tls = tls(authority.ca(), identity);
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(tls))));
        options.set_max_packet_size(1 << 20, 1 << 24);
        options
    }

    /// A connected agent.
    pub(crate) async fn agent(&self, agent: &str, identity: &Identity) -> Agent {
        Agent::connect(self.options(agent, Some(identity))).await.expect("a good agent connects")
    }

    /// The next report within a while.
    pub(crate) async fn report(&mut self) -> Inbound {
        timeout(PATIENCE, self.inbox.recv()).await.expect("a report comes").expect("the broker runs")
    }
}

/// An MQTT 3.1.1 client.
pub(crate) struct Agent {
    pub(crate) client: AsyncClient,
    pub(crate) events: EventLoop,
}

impl Agent {
    pub(crate) async fn connect(options: MqttOptions) -> Result<Self, ConnectionError> {
        let (client, events) = AsyncClient::new(options, 16);
        let mut agent = Self { client, events };
        loop {
            if let Event::Incoming(Packet::ConnAck(_)) = agent.next().await? {
                return Ok(agent);
            }
        }
    }

    pub(crate) async fn next(&mut self) -> Result<Event, ConnectionError> {
        timeout(PATIENCE, self.events.poll()).await.expect("the broker answers or hangs up")
    }

    /// The next packet of a kind; panics if the connection ends before.
    pub(crate) async fn wait_for<T>(&mut self, wanted: impl Fn(Packet) -> Option<T>) -> T {
        loop {
            if let Event::Incoming(packet) = self.next().await.expect("the connection stays")
                && let Some(found) = wanted(packet)
            {
                return found;
            }
        }
    }

    /// Waits until the broker hangs up.
    pub(crate) async fn is_cut(&mut self) {
        while self.next().await.is_ok() {}
    }
}

/// Waits until a condition holds, for what another thread does a little later.
pub(crate) async fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..200 {
        if holds() {
            return;
        }
        sleep(Duration::from_millis(25)).await;
    }
    panic!("not within 5 s: {what}");
}
