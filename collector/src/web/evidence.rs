//! Hands out evidence files, always as a download: a browser must not run what an attacker may have written.

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::io::AsyncReadExt;

use super::Web;
use super::address::At;
use super::error::Fault;
use super::session::SignedIn;
use crate::store::evidence;

const CHUNK: usize = 64 * 1024;

pub(super) async fn download(
    State(web): State<Web>,
    At(digest): At<String>,
    _visitor: SignedIn,
) -> Result<Response, Fault> {
    let digest = digest.parse().map_err(|_| Fault::NotFound)?;
    let kept = evidence::find(web.db(), digest).await?.ok_or(Fault::NotFound)?;
    let file = web.evidence.read(digest).await.map_err(Fault::broken)?;
    let body = stream::try_unfold(file, |mut file| async move {
        let mut chunk = vec![0; CHUNK];
        let read = file.read(&mut chunk).await?;
        chunk.truncate(read);
        Ok::<_, std::io::Error>((read > 0).then(|| (Bytes::from(chunk), file)))
    });
    // RFC 6266: the name in any script, percent-encoded.
    let name = format!("attachment; filename*=UTF-8''{}", super::query_value(&kept.name).replace('/', "%2F"));
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, kept.size.to_string()),
        (header::CONTENT_DISPOSITION, name),
    ];
    Ok((headers, Body::from_stream(body)).into_response())
}
