//! The request for a certificate, to one address of the collector.

use std::sync::Arc;

use anyhow::{Context, anyhow};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HOST};
use rustls::ClientConfig;
use wardwatch_wire::enrolment::{EnrolmentReply, MAX_REQUEST_BYTES, PATH, Refusal};

use crate::https::Connection;

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
    let mut connection = Connection::open(config, host, port).await?;
    let request = hyper::Request::post(PATH)
        .header(HOST, host)
        .header(CONTENT_TYPE, "application/cose")
        .body(Full::new(Bytes::from(body)))
        .context("no request could be made")?;
    let response = connection.send(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), MAX_REQUEST_BYTES)
        .collect()
        .await
        .map_err(|error| anyhow!("the answer was cut off or is too large: {error}"))?
        .to_bytes();
    if status.is_success() {
        return ciborium::from_reader(body.as_ref())
            .map_err(|error| anyhow!("the answer cannot be understood: {error}").into());
    }
    match serde_json::from_slice(&body) {
        Ok(refusal) if status.is_client_error() => Err(PostError::Refused(refusal)),
        _ => Err(anyhow!("it answers with HTTP status {status}").into()),
    }
}
