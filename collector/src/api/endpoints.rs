//! Endpoints, their tokens and units.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::{Value, json};
use wardwatch_incidents::change::Actor;
use wardwatch_policies::ids::{AgentId, EndpointKind, UnitId};
use wardwatch_policies::unit::Unit;
use wardwatch_wire::downlink::Action;

use super::{Api, ApiError};
use crate::clock;
use crate::enrol::Grant;
use crate::store::{hosts, tokens, units};
use crate::web::rows::endpoints::{self, Endpoint};
use crate::web::rows::{Paged, Slice, files, verdicts};
use crate::web::times::rfc3339;

#[derive(Deserialize)]
pub(super) struct Asked {
    page: Option<i64>,
    /// Part of a path, or a digest.
    search: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Removal {
    reason: String,
}

#[derive(Deserialize)]
pub(super) struct Ordered {
    action: Asking,
}

/// What one endpoint may be asked for by itself; upgrades are rolled out.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Asking {
    Rescan,
    Recheck,
}

#[derive(Deserialize)]
pub(super) struct NewToken {
    unit: UnitId,
    kind: EndpointKind,
    #[serde(default = "one")]
    uses: u64,
    /// From now.
    expires_in_hours: u32,
}

const fn one() -> u64 {
    1
}

pub(super) async fn list(
    State(api): State<Api>,
    Query(asked): Query<Asked>,
) -> Result<Json<Paged<Endpoint>>, ApiError> {
    Ok(Json(endpoints::list(api.db(), Slice::page(asked.page)).await?))
}

pub(super) async fn show(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let endpoint = endpoints::find(api.db(), &id).await?.ok_or_else(|| no_such(&id))?;
    let fault = |e: serde_json::Error| ApiError::fault(&e);
    let mut shown = serde_json::to_value(&endpoint).map_err(fault)?;
    shown["host"] = serde_json::to_value(hosts::facts(api.db(), &id).await?).map_err(fault)?;
    shown["coverage"] = serde_json::to_value(endpoints::coverage(api.db(), &id).await?).map_err(fault)?;
    shown["checks"] = serde_json::to_value(verdicts::list(api.db(), &id).await?).map_err(fault)?;
    Ok(Json(shown))
}

pub(super) async fn files(
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Json<Value>, ApiError> {
    endpoints::find(api.db(), &id).await?.ok_or_else(|| no_such(&id))?;
    let search = asked.search.unwrap_or_default();
    let found = files::list(api.db(), &id, &search, Slice::page(asked.page)).await?;
    serde_json::to_value(found).map(Json).map_err(|e| ApiError::fault(&e))
}

pub(super) async fn approve(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let agent: AgentId = id.parse().map_err(|_| no_such(&id))?;
    api.fleet.approve(&Actor::LocalAdmin, &agent, clock::now()).await?;
    show(State(api), Path(id)).await
}

pub(super) async fn remove(
    State(api): State<Api>,
    Path(id): Path<String>,
    asked: Result<Json<Removal>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    let Json(asked) = asked?;
    let agent: AgentId = id.parse().map_err(|_| no_such(&id))?;
    api.fleet.remove(&Actor::LocalAdmin, &agent, &asked.reason, clock::now()).await?;
    show(State(api), Path(id)).await
}

/// The endpoint hears of it at its next contact; whether it obeys is decided there.
pub(super) async fn command(
    State(api): State<Api>,
    Path(id): Path<String>,
    asked: Result<Json<Ordered>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    let Json(Ordered { action }) = asked?;
    let agent: AgentId = id.parse().map_err(|_| no_such(&id))?;
    let action = match action {
        Asking::Rescan => Action::Rescan,
        Asking::Recheck => Action::Recheck,
    };
    let kind = action.kind();
    let command = api.fleet.command(&Actor::LocalAdmin, &agent, action, clock::now()).await?;
    Ok(Json(json!({ "command": command, "endpoint": agent, "action": kind })))
}

fn no_such(id: &str) -> ApiError {
    let id: String = id.chars().take(80).collect();
    ApiError::not_found(format!("there is no endpoint {id}"), "`endpoints list` names those that there are")
}

pub(super) async fn units(State(api): State<Api>) -> Result<Json<Vec<Unit>>, ApiError> {
    Ok(Json(units::all(api.db()).await?))
}

pub(super) async fn list_tokens(State(api): State<Api>) -> Result<Json<Value>, ApiError> {
    let mut db = api.db().acquire().await?;
    let rows: Vec<_> = tokens::list(&mut db)
        .await?
        .into_iter()
        .map(|token| {
            json!({
                "id": token.id,
                "unit": token.unit,
                "kind": token.kind,
                "uses": token.uses,
                "uses_left": token.uses_left,
                "created": rfc3339(token.created),
                "expires": rfc3339(token.expires),
                "revoked": token.revoked.map(rfc3339),
            })
        })
        .collect();
    Ok(Json(json!({ "rows": rows })))
}

/// The answer holds the enrolment string, which is a secret and is shown this once.
pub(super) async fn create_token(
    State(api): State<Api>,
    asked: Result<Json<NewToken>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    let Json(asked) = asked?;
    let now = clock::now();
    let expires = now.plus(i64::from(asked.expires_in_hours) * 3_600_000);
    let grant = Grant { unit: asked.unit, kind: asked.kind, uses: asked.uses, expires };
    let (id, string) = api.fleet.create_token(&Actor::LocalAdmin, &grant, now).await?;
    Ok(Json(json!({ "id": id, "expires": rfc3339(expires), "string": string.to_secret_text() })))
}

pub(super) async fn revoke_token(
    State(api): State<Api>,
    Path(id): Path<u64>,
) -> Result<Json<Value>, ApiError> {
    api.fleet.revoke_token(&Actor::LocalAdmin, id, clock::now()).await?;
    Ok(Json(json!({ "id": id })))
}
