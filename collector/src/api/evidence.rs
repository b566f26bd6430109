//! Evidence files.

use axum::Json;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use futures_util::StreamExt;
use serde::Deserialize;
use wardwatch_incidents::change::EvidenceFile;

use super::{Api, ApiError};
use crate::clock;
use crate::store::evidence::{self, KeepError};

#[derive(Deserialize)]
pub(super) struct Named {
    name: String,
}

/// The body is the file itself.
pub(super) async fn add(
    State(api): State<Api>,
    Query(Named { name }): Query<Named>,
    body: Body,
) -> Result<Json<EvidenceFile>, ApiError> {
    let mut incoming = api.evidence.receive().await?;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|e| ApiError::invalid(e.to_string(), "send the file again"))?;
        incoming.write(&chunk).await?;
    }
    if incoming.is_empty() {
        return Err(ApiError::invalid("the file is empty", "choose one with content"));
    }
    let file = incoming.keep(&name).await?;
    let mut tx = api.fleet.store.write().await?;
    evidence::note(&mut tx, &file, "local-admin", clock::now()).await?;
    tx.commit().await?;
    Ok(Json(file))
}

/// Refuses evidence that was never added.
pub(super) async fn confirm(api: &Api, named: &[EvidenceFile]) -> Result<(), ApiError> {
    for file in named {
        let kept = evidence::find(api.db(), file.digest).await?;
        if kept.is_none_or(|kept| kept.size != file.size) {
            return Err(ApiError::invalid(
                format!("there is no evidence {}", file.digest),
                "add the file before it is named",
            ));
        }
    }
    Ok(())
}

impl From<KeepError> for ApiError {
    fn from(error: KeepError) -> Self {
        match error {
            KeepError::TooLarge => Self::of(StatusCode::PAYLOAD_TOO_LARGE, &error),
            error => Self::fault(&error),
        }
    }
}
