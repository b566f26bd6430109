//! One HTTPS request to one address of the collector.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use wardwatch_wire::enrolment::{EnrolmentReply, MAX_REQUEST_BYTES, PATH, Refusal};

pub(super) enum PostError {
    /// It was the collector, and it says no.
    Refused(Refusal),
    /// No believable answer from there; another address may do.
    Unreached(anyhow::Error),
}

impl From<anyhow::Error> for PostError {
    fn from(error: anyhow::Error) -> Self {
        Self::Unreached(error)
    }
}

pub(super) async fn post(
    config: &Arc<ClientConfig>,
    host: &str,
    port: u16,
    body: Vec<u8>,
) -> Result<EnrolmentReply, PostError> {
    let name = ServerName::try_from(host.to_owned()).context("not a host name or address")?;
    let tcp = TcpStream::connect((host, port)).await.context("no connection")?;
    let tls = TlsConnector::from(Arc::clone(config))
        .connect(name, tcp)
        .await
        .context("it does not show a certificate of the expected authority")?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(tls)).await.context("it does not speak HTTP")?;
    let request = hyper::Request::post(PATH)
        .header(HOST, host)
        .header(CONTENT_TYPE, "application/cose")
        .body(Full::new(Bytes::from(body)))
        .context("no request could be made")?;
    let exchange = async move {
        let response = sender.send_request(request).await.context("the connection was lost")?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_REQUEST_BYTES)
            .collect()
            .await
            .map_err(|error| anyhow!("the answer was cut off or is too large: {error}"))?
            .to_bytes();
        anyhow::Ok((status, body))
    };
    tokio::pin!(exchange, connection);
    let (status, body) = tokio::select! {
        done = &mut exchange => done?,
        ended = &mut connection => {
            ended.context("the connection was lost")?;
            exchange.await?
        }
    };
    if status.is_success() {
        return ciborium::from_reader(body.as_ref())
            .map_err(|error| anyhow!("the answer cannot be understood: {error}").into());
    }
    match serde_json::from_slice(&body) {
        Ok(refusal) if status.is_client_error() => Err(PostError::Refused(refusal)),
        _ => Err(anyhow!("it answers with HTTP status {status}").into()),
    }
}
