//! Releases and roll-outs.

use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};
use wardwatch_incidents::change::Actor;
use wardwatch_policies::ids::{EndpointKind, UnitId};
use wardwatch_policies::release::Version;
use wardwatch_wire::release::{MAX_PROGRAM_BYTES, Release};

use super::{Api, ApiError};
use crate::clock;
use crate::releases::intake::Added;
use crate::releases::reason::RolloutStop;
use crate::releases::{Plan, Progress, ReleaseError};
use crate::store::releases;
use crate::web::times::rfc3339;

#[derive(Deserialize)]
pub(super) struct Sealed {
    /// The envelope that the release key signed, in base64 for addresses.
    release: String,
}

#[derive(Deserialize)]
pub(super) struct Begun {
    version: Version,
    unit: Option<UnitId>,
    kind: Option<EndpointKind>,
    canary_percent: u8,
}

#[derive(Deserialize)]
pub(super) struct Stopping {
    reason: String,
}

pub(super) async fn list(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    let held = releases::all(api.db()).await?;
    let rows: Vec<_> = held
        .iter()
        .map(|held| {
            let mut row = shown(&held.release);
            row["added"] = json!(rfc3339(held.added));
            row
        })
        .collect();
    Ok(Json(json!({ "rows": rows })))
}

fn shown(release: &Release) -> Value {
    json!({
        "version": release.version,
        "target": release.target,
        "digest": release.digest,
        "size": release.size,
        "made": rfc3339(release.made),
    })
}

/// The body is the program itself.
pub(super) async fn add(
    State(api): State<Api>,
    Query(Sealed { release }): Query<Sealed>,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let sealed = URL_SAFE_NO_PAD
        .decode(release)
        .map_err(|error| ApiError::invalid(error.to_string(), "give the file that `releases sign` wrote"))?;
    let most = usize::try_from(MAX_PROGRAM_BYTES).unwrap_or(usize::MAX);
    let program = to_bytes(body, most)
        .await
        .map_err(|_| ApiError::of(StatusCode::PAYLOAD_TOO_LARGE, &ReleaseError::TooLarge))?;
    let Added { release, news } =
        api.releases.add(&Actor::LocalAdmin, sealed, &program, clock::now()).await?;
    let mut answer = shown(&release);
    answer["new"] = json!(news.as_str());
    Ok(Json(answer))
}

pub(super) async fn rollouts(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    let rows: Vec<_> = api.releases.progress().await?.iter().map(progress).collect();
    Ok(Json(json!({ "rows": rows })))
}

fn progress(progress: &Progress) -> Value {
    let Progress { rollout, tally, unknown, .. } = progress;
    json!({
        "id": rollout.id,
        "version": rollout.version,
        "unit": rollout.unit,
        "kind": rollout.kind,
        "canary_percent": rollout.canary_percent,
        "state": rollout.state.as_str(),
        "reason": rollout.reason.as_deref().map(|reason| RolloutStop::parse(reason).english()),
        "begun": rfc3339(rollout.begun),
        "changed": rfc3339(rollout.changed),
        "endpoints": tally.members,
        "canaries": tally.canaries,
        "waiting": tally.waiting,
        "healthy": tally.healthy,
        "returned": tally.returned,
        "refused": tally.refused,
        "failed": progress.failed.iter().map(|(endpoint, _)| endpoint).collect::<Vec<_>>(),
        "not_allowed": tally.not_allowed,
        "without_release": progress.without(),
        "unknown_target": unknown,
    })
}

pub(super) async fn roll_out(
    State(api): State<Api>,
    asked: Result<Json<Begun>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    let Json(Begun { version, unit, kind, canary_percent }) = asked?;
    let plan = Plan { version, unit, kind, canary_percent };
    let id = api.releases.roll_out(&Actor::LocalAdmin, plan, clock::now()).await?;
    one(&api, id).await
}

pub(super) async fn widen(State(api): State<Api>, Path(id): Path<u64>) -> Result<Json<Value>, ApiError> {
    api.releases.widen(&Actor::LocalAdmin, id, clock::now()).await?;
    one(&api, id).await
}

pub(super) async fn stop(
    State(api): State<Api>,
    Path(id): Path<u64>,
    asked: Result<Json<Stopping>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    let Json(Stopping { reason }) = asked?;
    api.releases.stop(&Actor::LocalAdmin, id, &reason, clock::now()).await?;
    one(&api, id).await
}

async fn one(api: &Api, id: u64) -> Result<Json<Value>, ApiError> {
    Ok(Json(progress(&api.releases.progress_of(id).await?)))
}

impl From<ReleaseError> for ApiError {
    fn from(error: ReleaseError) -> Self {
        match error {
            ReleaseError::Store(_) | ReleaseError::Io(_) => Self::fault(&error),
            ReleaseError::TooLarge => Self::of(StatusCode::PAYLOAD_TOO_LARGE, &error),
            ReleaseError::NoSuchRelease(_) | ReleaseError::NoSuchRollout(_) => {
                Self::of(StatusCode::NOT_FOUND, &error)
            }
            error => Self::of(StatusCode::UNPROCESSABLE_ENTITY, &error),
        }
    }
}
