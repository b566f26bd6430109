//! Answers connections, plain or with TLS, until told to stop.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use axum::Router;
use axum_server::accept::DefaultAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use axum_server::{Handle, Server};
use hyper_util::rt::TokioTimer;

use crate::authority::{AuthorityError, ServerCertificate};
use crate::connections::{Bounded, End};
use crate::places::Bounds;

/// The label of the metric.
const DOOR: &str = "page";
/// Connections at once; a browser opens up to six, and keeps one for live changes.
const CONNECTIONS: Bounds = Bounds { all: 1024, each: 256 };
/// A client has this long for the TLS handshake, and again to send the head of a request; its body has a pace.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// So long nothing of an answer may be taken; a page that waits for news is told something every 20 seconds.
const STALL: End = End::Stall(Duration::from_secs(60));
/// Requests that run when the server is told to stop have this long to end.
const GRACE: Duration = Duration::from_secs(3);

/// Serves `router` on `listener` until `shutdown` completes and running requests have ended.
///
/// # Errors
/// The listener cannot be used.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<RustlsConfig>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let all = CONNECTIONS.all;
    // On loopback a proxy speaks for everybody.
    let bounds =
        if listener.local_addr()?.ip().is_loopback() { Bounds { all, each: all } } else { CONNECTIONS };
    let handle = Handle::new();
    let stopper = handle.clone();
    tokio::spawn(async move {
        shutdown.await;
        stopper.graceful_shutdown(Some(GRACE));
    });
    let service = router.into_make_service();
    match tls {
        None => {
            let server = axum_server::from_tcp(listener)?;
            let server = server.acceptor(Bounded::new(DefaultAcceptor::new(), bounds, STALL, DOOR));
            patient(server.handle(handle)).serve(service).await
        }
        Some(config) => {
            let server = axum_server::from_tcp(listener)?;
            let tls = RustlsAcceptor::new(config).handshake_timeout(HEAD_TIMEOUT);
            let server = server.acceptor(Bounded::new(tls, bounds, STALL, DOOR));
            patient(server.handle(handle)).serve(service).await
        }
    }
}

/// Ends connections that send no request; one that is kept alive must send the next in this time as well.
fn patient<A>(server: Server<SocketAddr, A>) -> Server<SocketAddr, A> {
    let mut server = server.http1_only();
    server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    server
}

/// TLS 1.2 and later for browsers, with the collector's own certificate.
///
/// # Errors
/// The certificate or its key cannot be used.
pub fn tls(certificate: &ServerCertificate) -> Result<RustlsConfig, AuthorityError> {
    Ok(RustlsConfig::from_config(certificate.https()?))
}

/// Shows another certificate to whoever connects from now on.
///
/// # Errors
/// The certificate or its key cannot be used; the old one stays.
pub fn renew(tls: &RustlsConfig, certificate: &ServerCertificate) -> Result<(), AuthorityError> {
    tls.reload_from_config(certificate.https()?);
    Ok(())
}
