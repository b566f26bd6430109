//! Alerts.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::{Value, json};
use wardwatch_incidents::change::{Actor, AlertId};
use wardwatch_incidents::operate::{MAX_SILENCE_HOURS, Raise};
use wardwatch_policies::detection;

use super::{Api, ApiError};
use crate::clock;
use crate::web::rows::alerts::{self, Alert, AlertFilter, AlertState};
use crate::web::rows::{Paged, Slice};

#[derive(Deserialize)]
pub(super) struct Asked {
    state: Option<String>,
    endpoint: Option<String>,
    page: Option<i64>,
}

#[derive(Deserialize)]
pub(super) struct Reason {
    reason: String,
}

#[derive(Deserialize)]
pub(super) struct Silence {
    reason: String,
    hours: u32,
}

#[derive(Deserialize)]
pub(super) struct Raising {
    title: Option<String>,
    reason: Option<String>,
}

pub(super) async fn list(
    State(api): State<Api>,
    Query(asked): Query<Asked>,
) -> Result<Json<Paged<Alert>>, ApiError> {
    let state = match asked.state.as_deref() {
        None | Some("all") => None,
        Some(text) => Some(AlertState::parse(text).ok_or_else(|| {
            ApiError::invalid(format!("\"{text}\" is not a state"), "use open, silenced, closed or all")
        })?),
    };
    let filter = AlertFilter { state, endpoint: asked.endpoint, ..AlertFilter::default() };
    Ok(Json(alerts::list(api.db(), &filter, Slice::page(asked.page)).await?))
}

pub(super) async fn show(State(api): State<Api>, Path(id): Path<i64>) -> Result<Json<Value>, ApiError> {
    let alert = find(&api, id).await?;
    let rule = alert.rule.parse().ok().and_then(|id| detection::city().rule(&id));
    let mut shown = serde_json::to_value(&alert).map_err(|e| ApiError::fault(&e))?;
    shown["title"] = json!(rule.map(|rule| &rule.title));
    shown["why"] = json!(rule.map(|rule| &rule.why));
    shown["first"] = json!(rule.map(|rule| &rule.first));
    Ok(Json(shown))
}

pub(super) async fn close(
    State(api): State<Api>,
    Path(id): Path<i64>,
    asked: Result<Json<Reason>, JsonRejection>,
) -> Result<Json<Alert>, ApiError> {
    let Json(asked) = asked?;
    api.fleet.workflow.close_alert(&Actor::LocalAdmin, AlertId(id), &asked.reason, clock::now()).await?;
    Ok(Json(find(&api, id).await?))
}

pub(super) async fn silence(
    State(api): State<Api>,
    Path(id): Path<i64>,
    asked: Result<Json<Silence>, JsonRejection>,
) -> Result<Json<Alert>, ApiError> {
    let Json(asked) = asked?;
    if asked.hours == 0 || asked.hours > MAX_SILENCE_HOURS {
        return Err(ApiError::invalid(
            format!("an alert cannot be silent for {} hours", asked.hours),
            format!("use 1 to {MAX_SILENCE_HOURS}"),
        ));
    }
    let now = clock::now();
    let until = now.plus(i64::from(asked.hours) * 3_600_000);
    api.fleet.workflow.silence_alert(&Actor::LocalAdmin, AlertId(id), until, &asked.reason, now).await?;
    Ok(Json(find(&api, id).await?))
}

/// Title and reason come from the alert's rule where none are given.
pub(super) async fn raise(
    State(api): State<Api>,
    Path(id): Path<i64>,
    asked: Result<Json<Raising>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    let Json(asked) = asked?;
    let alert = find(&api, id).await?;
    let ruled = alert.to_raise();
    let raise = Raise {
        title: asked.title.unwrap_or(ruled.title),
        reason: asked.reason.unwrap_or(ruled.reason),
        ..ruled
    };
    let incident = api.fleet.workflow.raise(&Actor::LocalAdmin, raise, &[AlertId(id)], clock::now()).await?;
    Ok(Json(json!({"incident": incident})))
}

async fn find(api: &Api, id: i64) -> Result<Alert, ApiError> {
    alerts::find(api.db(), id).await?.ok_or_else(|| {
        ApiError::not_found(format!("there is no alert {id}"), "`alerts list` names those that there are")
    })
}
