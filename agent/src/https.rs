//! One HTTPS request to one address of the collector: enrolment and programs come by this way, reports never.

use std::sync::Arc;

use anyhow::Context;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

/// An open connection; closed when dropped.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    _driver: JoinSet<()>,
}

impl Connection {
    /// # Errors
    /// Nobody answers, or not with a certificate of our authority.
    pub async fn open(config: &Arc<ClientConfig>, host: &str, port: u16) -> anyhow::Result<Self> {
        let name = ServerName::try_from(host.to_owned()).context("not a host name or address")?;
        let tcp = TcpStream::connect((host, port)).await.context("no connection")?;
        let tls = TlsConnector::from(Arc::clone(config))
            .connect(name, tcp)
            .await
            .context("it does not show a certificate of the expected authority")?;
        let (sender, connection) = handshake(TokioIo::new(tls)).await.context("it does not speak HTTP")?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("a connection to the collector ended: {error}");
            }
        });
        Ok(Self { sender, _driver: driver })
    }

    /// # Errors
    /// The connection was lost.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<Response<Incoming>> {
        self.sender.send_request(request).await.context("the connection was lost")
    }
}
