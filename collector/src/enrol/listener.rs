//! The HTTPS listener for agents: it answers enrolment requests of those that have no certificate yet, and gives
//! programs to those that have one. It has no other page.

mod connection;

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use hyper_util::rt::TokioTimer;
use rustls::pki_types::CertificateDer;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use wardwatch_wire::enrolment::{MAX_REQUEST_BYTES, PATH};
use wardwatch_wire::release::BLOBS;

use self::connection::Acceptor;
use super::decision::Refused;
use super::office::Office;
use super::programs::{self, Programs};
use super::rate::{Buckets, Rate};
use crate::authority::{AuthorityError, ServerCertificate};
use crate::connections::{Bounded, End};
use crate::places::Bounds;

/// How the listener listens.
pub struct Config {
    /// Port 0 means any; see [`Listener::address`].
    pub listen: SocketAddr,
    pub certificate: ServerCertificate,
    pub rate: Rate,
    /// Connections at once, counted from before the TLS handshake.
    pub connections: Bounds,
    /// For the TLS handshake, again for the head and again for the body of the request.
    pub patience: Duration,
    /// For a whole connection; on a slow link the part of a program takes its time.
    pub life: Duration,
}

impl Config {
    #[must_use]
    pub fn new(listen: SocketAddr, certificate: ServerCertificate) -> Self {
        Self {
            listen,
            certificate,
            rate: Rate::default(),
            // A whole ward office may stand behind one address.
            connections: Bounds { all: 1024, each: 128 },
            patience: Duration::from_secs(10),
            life: Duration::from_secs(5 * 60),
        }
    }
}

/// Enrolment cannot be listened for.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("the enrolment listener cannot use {address}; free the port or choose another")]
    Bind { address: SocketAddr, source: io::Error },
    #[error("the server certificate cannot be used")]
    Certificate(#[from] AuthorityError),
}

/// The running listener.
pub struct Listener {
    address: SocketAddr,
    ca: CertificateDer<'static>,
    tls: RustlsConfig,
    handle: Handle<SocketAddr>,
    serving: JoinHandle<io::Result<()>>,
}

struct Door {
    office: Office,
    buckets: Mutex<Buckets<IpAddr>>,
    patience: Duration,
}

impl Listener {
    /// Starts to listen on the current runtime.
    ///
    /// # Errors
    /// The address is taken, or the certificate files cannot be used.
    pub fn start(config: Config, office: Office, programs: Programs) -> Result<Self, ListenError> {
        let bind = |source| ListenError::Bind { address: config.listen, source };
        let ca = office.authority.ca().clone();
        let tls = RustlsConfig::from_config(config.certificate.https_for_agents(&ca)?);
        let listener = TcpListener::bind(config.listen).map_err(bind)?;
        listener.set_nonblocking(true).map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;

        let buckets = Mutex::new(Buckets::new(config.rate));
        let door = Arc::new(Door { office, buckets, patience: config.patience });
        let service = Router::new()
            .route(PATH, post(answer))
            .with_state(door)
            .route(&format!("{BLOBS}/{{digest}}"), get(programs::give).with_state(programs))
            .into_make_service_with_connect_info::<SocketAddr>();

        let handle = Handle::new();
        let mut server = axum_server::from_tcp(listener)
            .map_err(bind)?
            .acceptor(Bounded::new(
                Acceptor(RustlsAcceptor::new(tls.clone()).handshake_timeout(config.patience)),
                config.connections,
                End::Life(config.life),
                "enrolment",
            ))
            .handle(handle.clone())
            .http1_only();
        server
            .http_builder()
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(config.patience)
            // One request a connection, so that idle ones hold nothing.
            .keep_alive(false);
        let serving = tokio::spawn(server.serve(service));
        Ok(Self { address, ca, tls, handle, serving })
    }

    /// Where it listens, with the true port.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Shows another server certificate from the next connection on.
    ///
    /// # Errors
    /// The certificate files cannot be used; the old certificate stays.
    pub fn renew(&self, certificate: &ServerCertificate) -> Result<(), ListenError> {
        self.tls.reload_from_config(certificate.https_for_agents(&self.ca)?);
        Ok(())
    }

    /// Finishes the requests at hand and stops.
    pub async fn stop(self) {
        self.handle.graceful_shutdown(Some(Duration::from_secs(5)));
        // It only ends; there is nothing left to tell of.
        let _ = self.serving.await;
    }
}

async fn answer(
    State(door): State<Arc<Door>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    body: Body,
) -> Response {
    match door.answer(address, body).await {
        Ok(reply) => ([(header::CONTENT_TYPE, "application/cbor")], reply).into_response(),
        Err(refused) => {
            let reason = refused.reason();
            metrics::counter!("wardwatch_refused_total", "door" => "enrolment", "reason" => reason)
                .increment(1);
            tracing::warn!(%address, reason, "enrolment refused: {refused}");
            (status(&refused), Json(refused.refusal())).into_response()
        }
    }
}

impl Door {
    async fn answer(&self, address: SocketAddr, body: Body) -> Result<Vec<u8>, Refused> {
        let now = self.office.now();
        if !self.buckets.lock().unwrap_or_else(PoisonError::into_inner).take(address.ip(), now) {
            return Err(Refused::TooMany);
        }
        let body = timeout(self.patience, to_bytes(body, MAX_REQUEST_BYTES))
            .await
            .map_err(|_| Refused::Slow)?
            .map_err(|_| Refused::Oversize)?;
        self.office.answer(&body).await
    }
}

fn status(refused: &Refused) -> StatusCode {
    match refused {
        Refused::Oversize => StatusCode::PAYLOAD_TOO_LARGE,
        Refused::Malformed(_) | Refused::Certificate(_) | Refused::Hostname => StatusCode::BAD_REQUEST,
        Refused::Signature | Refused::Token | Refused::Revoked | Refused::Expired | Refused::UsedUp => {
            StatusCode::FORBIDDEN
        }
        Refused::Taken | Refused::Removed => StatusCode::CONFLICT,
        Refused::TooMany => StatusCode::TOO_MANY_REQUESTS,
        Refused::Slow => StatusCode::REQUEST_TIMEOUT,
        Refused::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}
