//! A connection of the listener: it knows which certificate was shown.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

use axum::Extension;
use axum::middleware::AddExtension;
use axum_server::accept::Accept;
use axum_server::tls_rustls::RustlsAcceptor;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tower_layer::Layer;

use crate::authority;
use crate::enrol::programs::Shown;

/// Accepts with TLS and tells each request who the connection has shown to be.
#[derive(Clone)]
pub(super) struct Acceptor(pub(super) RustlsAcceptor);

impl<S: Send + 'static> Accept<TcpStream, S> for Acceptor {
    type Stream = TlsStream<TcpStream>;
    type Service = AddExtension<S, Shown>;
    type Future = Pin<Box<dyn Future<Output = io::Result<(Self::Stream, Self::Service)>> + Send>>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let accepted = self.0.accept(stream, service);
        Box::pin(async move {
            let (stream, service) = accepted.await?;
            let chain = stream.get_ref().1.peer_certificates();
            let holder = chain.and_then(|chain| authority::holder(chain.first()?)).map(Arc::new);
            Ok((stream, Extension(Shown::new(holder)).layer(service)))
        })
    }
}
