//! The collector put together: authority, store, broker, enrolment, ingest and page, started in the order in
//! which they need each other and stopped in the opposite one.

use std::fs::{File, TryLockError};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum_server::tls_rustls::RustlsConfig;
use ed25519_dalek::VerifyingKey;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};
use wardwatch_policies::unit;

use crate::api::{self, Api};
use crate::authority::Authority;
use crate::broker::{self, Broker, Limits};
use crate::config::Config;
use crate::enrol::Reachable;
use crate::enrol::listener::{self, Listener};
use crate::enrol::office::Office;
use crate::enrol::programs::Programs;
use crate::fleet::Fleet;
use crate::ingest::Ingest;
use crate::registry::Registry;
use crate::releases::{self, Releases};
use crate::stopping::until;
use crate::store::blobs::BlobDir;
use crate::store::{Store, units};
use crate::web::{self, Web};
use crate::workflow::Workflow;
use crate::{admin, clock, logging, silence, witness};

/// Reports that wait for ingest before the broker holds agents back.
const QUEUE: usize = 1024;
/// How often certificates are looked at, for renewal.
const RENEWAL: Duration = Duration::from_secs(12 * 60 * 60);

/// Keys below the data folder.
#[must_use]
pub fn authority_dir(data_dir: &Path) -> std::path::PathBuf {
    data_dir.join("authority")
}

/// Keeps a second collector off the data folder: two would write one change log and serve different registries.
fn lock(data_dir: &Path) -> Result<File> {
    let path = data_dir.join("lock");
    let file = File::create(&path).with_context(|| {
        format!(
            "{} cannot be made; run `wardwatch-collector init` first if the folder is new",
            path.display()
        )
    })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("another collector runs on {}; stop it first, or name another folder", data_dir.display())
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{} cannot be locked", path.display()))
        }
    }
}

/// A running collector.
pub struct Service {
    _lock: File,
    pub fleet: Fleet,
    /// Where the page listens, with the true port.
    pub web: SocketAddr,
    /// Whether the page speaks HTTPS.
    pub web_tls: bool,
    pub mqtt: SocketAddr,
    pub enrol: SocketAddr,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Service {
    /// Starts everything. The data folder must have been initialised.
    ///
    /// # Errors
    /// A key, the database or an address cannot be used.
    pub async fn start(config: &Config) -> Result<Self> {
        let lock = lock(&config.data_dir)?;
        let now = clock::now();
        let keys = authority_dir(&config.data_dir);
        let authority = Arc::new(Authority::open(&keys).with_context(|| {
            if keys.exists() {
                format!(
                    "the keys in {} cannot be used; all of them must belong to the user that runs the collector",
                    keys.display()
                )
            } else {
                format!("{} has no keys; run `wardwatch-collector init` first", config.data_dir.display())
            }
        })?);
        for key in authority.keys_online() {
            tracing::warn!(
                key = %key.display(),
                "a key that should be offline lies on this machine; who breaks in can run any program on every \
                 endpoint: move it to a safe place, see docs/upgrades.md"
            );
        }
        let certificate = authority.ensure_server_certificate(&config.advertise, now)?;
        let store = Store::open(&config.database).await?;
        let mut tx = store.write().await?;
        units::add_missing(&mut tx, &unit::shipped()).await?;
        let registry = Registry::load(&mut tx).await?;
        tx.commit().await?;
        let workflow = Workflow::new(store.clone());

        let (sink, inbound) = mpsc::channel(QUEUE);
        let broker = Broker::start(
            broker::Config {
                listen: config.mqtt,
                certificate: certificate.clone(),
                ca_file: authority.ca_file(),
                limits: Limits::default(),
            },
            registry.clone(),
            sink,
        )
        .await?;
        let broker = Arc::new(broker);
        let mqtt = broker.address();
        let blobs = BlobDir::open(&config.data_dir).context("the folder of programs cannot be made")?;
        let enrolment = Listener::start(
            listener::Config::new(config.enrol, certificate.clone()),
            Office {
                store: store.clone(),
                workflow: workflow.clone(),
                authority: authority.clone(),
                registry: registry.clone(),
                clock: clock::now,
            },
            Programs::new(registry.clone(), store.clone(), blobs.clone(), clock::now),
        )?;
        let enrol = enrolment.address();
        let fleet = Fleet {
            store: store.clone(),
            workflow: workflow.clone(),
            registry: registry.clone(),
            broker: broker.clone(),
            authority: authority.clone(),
            reachable: Arc::new(Reachable {
                hosts: config.advertise.clone(),
                enrol_port: enrol.port(),
                mqtt_port: mqtt.port(),
            }),
        };

        let releases = Releases {
            store: store.clone(),
            workflow: workflow.clone(),
            authority: authority.clone(),
            blobs,
        };

        let listener = TcpListener::bind(config.web).with_context(|| {
            format!("the page cannot listen on {}; free the port or choose another with --web", config.web)
        })?;
        let web = listener.local_addr()?;
        let web_tls = !web.ip().is_loopback();
        let (stop, stopped) = watch::channel(false);
        let tls = web_tls.then(|| web::tls(&certificate)).transpose()?;
        let page = Web::new(fleet.clone(), releases.clone(), &config.data_dir, web_tls)?;
        let api = Api {
            fleet: fleet.clone(),
            releases: releases.clone(),
            token: Arc::new(admin::read_token(&config.data_dir)?),
            evidence: page.evidence.clone(),
            metrics: logging::metrics()?,
        };
        let router = web::router(page).merge(api::router(api));

        let key = authority.collector_key();
        let ingest = Ingest::new(store.clone(), registry, workflow, key.clone(), broker);
        let mut tasks = JoinSet::new();
        tasks.spawn(ingest.run(inbound, stopped.clone()));
        tasks.spawn(silence::watch(fleet.clone(), stopped.clone()));
        tasks.spawn(releases::watch::watch(releases, stopped.clone()));
        tasks.spawn(witness::sign_checkpoints(store, key.clone(), stopped.clone()));
        tasks.spawn(renew(fleet.clone(), enrolment, tls.clone(), stopped.clone()));
        tasks.spawn(async move {
            if let Err(error) = web::serve(listener, router, tls, until(stopped)).await {
                tracing::error!(%error, "the page has stopped");
            }
        });
        tracing::info!(%web, %mqtt, %enrol, "collector started");
        Ok(Self { _lock: lock, fleet, web, web_tls, mqtt, enrol, stop, tasks })
    }

    /// The address of the page, for a browser on this machine.
    #[must_use]
    pub fn page(&self) -> String {
        let scheme = if self.web_tls { "https" } else { "http" };
        let address = if self.web.ip().is_unspecified() {
            SocketAddr::new(std::net::Ipv4Addr::LOCALHOST.into(), self.web.port())
        } else {
            self.web
        };
        format!("{scheme}://{address}")
    }

    /// The key that signs checkpoints and acks.
    #[must_use]
    pub fn collector_key(&self) -> VerifyingKey {
        self.fleet.authority.collector_key().verifying_key()
    }

    /// Completes when a part has ended although nobody stopped it. Without it the collector would look well and
    /// take nothing in, or show nothing.
    pub async fn part_ended(&mut self) {
        if let Some(ended) = self.tasks.join_next().await {
            note_fault(ended);
        }
    }

    /// Stops taking anything new, finishes what runs, closes the database.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            note_fault(ended);
        }
        self.fleet.store.close().await;
        if let Some(broker) = Arc::into_inner(self.fleet.broker) {
            broker.stop().await;
        }
        tracing::info!("collector stopped");
    }
}

fn note_fault(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a part of the collector ended by a fault of its own");
    }
}

/// Keeps the server certificate from expiring, until the collector stops. All three doors show the same one.
async fn renew(
    fleet: Fleet,
    enrolment: Listener,
    page: Option<RustlsConfig>,
    stopped: watch::Receiver<bool>,
) {
    let renewed = async {
        // A door that could not take a new certificate is tried again.
        let mut due = false;
        loop {
            tokio::time::sleep(RENEWAL).await;
            let hosts = &fleet.reachable.hosts;
            let renewal = async {
                let certificate = fleet.authority.ensure_server_certificate(hosts, clock::now())?;
                due |= certificate.renewed;
                if due {
                    enrolment.renew(&certificate)?;
                    if let Some(page) = &page {
                        web::renew(page, &certificate)?;
                    }
                    fleet.broker.renew(certificate).await?;
                    due = false;
                }
                anyhow::Ok(())
            };
            if let Err(error) = renewal.await {
                tracing::error!("the server certificate cannot be renewed: {error:#}");
            }
        }
    };
    tokio::select! {
        () = renewed => {}
        () = until(stopped) => {}
    }
    enrolment.stop().await;
}
