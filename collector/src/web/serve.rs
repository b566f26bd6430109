//! Answers connections, plain or with TLS, until told to stop.

use std::future::Future;
use std::io;
use std::net::TcpListener;
use std::time::Duration;

use axum::Router;
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use hyper_util::rt::TokioTimer;

use crate::authority::{AuthorityError, ServerCertificate};

/// A client has this long to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
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
    let handle = Handle::new();
    let stopper = handle.clone();
    tokio::spawn(async move {
        shutdown.await;
        stopper.graceful_shutdown(Some(GRACE));
    });
    let service = router.into_make_service();
    match tls {
        None => {
            let mut server = axum_server::from_tcp(listener)?.handle(handle);
            server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
            server.serve(service).await
        }
        Some(config) => {
            let mut server = axum_server::from_tcp_rustls(listener, config)?.handle(handle);
            server.http_builder().http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
            server.serve(service).await
        }
    }
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
