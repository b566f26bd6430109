//! The HTTP API that the command line speaks, below `/api/v1`: JSON in and out, RFC 3339 times, lower-case hex.
//!
//! Every call shows the local admin credential as a bearer token; people use the page instead. What a call
//! changes goes through the workflow or the fleet, as it does from the page.

mod alerts;
mod endpoints;
mod error;
mod evidence;
mod incidents;
mod releases;
mod users;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post};
use metrics_exporter_prometheus::PrometheusHandle;
use sqlx::AnyPool;

use self::error::ApiError;
use crate::admin::AdminToken;
use crate::bodies::{self, Pace};
use crate::fleet::Fleet;
use crate::releases::Releases;
use crate::store::evidence::EvidenceDir;

/// What the calls share. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    pub fleet: Fleet,
    pub releases: Releases,
    pub token: Arc<AdminToken>,
    pub evidence: EvidenceDir,
    pub metrics: PrometheusHandle,
}

impl Api {
    fn db(&self) -> &AnyPool {
        self.fleet.store.reader()
    }
}

/// Every route of the API.
pub fn router(api: Api) -> Router {
    let v1 = Router::new()
        .route("/alerts", get(alerts::list))
        .route("/alerts/{id}", get(alerts::show))
        .route("/alerts/{id}/close", post(alerts::close))
        .route("/alerts/{id}/silence", post(alerts::silence))
        .route("/alerts/{id}/raise", post(alerts::raise))
        .route("/incidents", get(incidents::list).post(incidents::raise))
        .route("/incidents/{id}", get(incidents::show))
        .route("/incidents/{id}/alerts/{alert}", post(incidents::attach))
        .route("/incidents/{id}/seriousness", post(incidents::assess))
        .route("/incidents/{id}/steps/{step}", post(incidents::step))
        .route("/evidence", post(evidence::add))
        .route("/endpoints", get(endpoints::list))
        .route("/endpoints/{id}", get(endpoints::show))
        .route("/endpoints/{id}/files", get(endpoints::files))
        .route("/endpoints/{id}/approve", post(endpoints::approve))
        .route("/endpoints/{id}/remove", post(endpoints::remove))
        .route("/endpoints/{id}/commands", post(endpoints::command))
        .route("/tokens", get(endpoints::list_tokens).post(endpoints::create_token))
        .route("/tokens/{id}/revoke", post(endpoints::revoke_token))
        .route("/releases", get(releases::list).post(releases::add))
        .route("/rollouts", get(releases::rollouts).post(releases::roll_out))
        .route("/rollouts/{id}/widen", post(releases::widen))
        .route("/rollouts/{id}/stop", post(releases::stop))
        .route("/units", get(endpoints::units))
        .route("/users", post(users::create))
        .route("/users/{name}/reset", post(users::reset))
        .route("/metrics", get(metrics))
        .fallback(error::no_such_call)
        .layer(from_fn(refuse_slow_bodies))
        .layer(from_fn_with_state(api.clone(), authorised))
        .with_state(api);
    Router::new().nest("/api/v1", v1)
}

async fn authorised(State(api): State<Api>, request: Request, next: Next) -> Result<Response, ApiError> {
    let given = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    if given.is_some_and(|given| api.token.is(given)) {
        return Ok(next.run(request).await);
    }
    tracing::warn!(path = request.uri().path(), "refused a call of the API without the admin credential");
    metrics::counter!("wardwatch_refused_total", "door" => "api", "reason" => "credential").increment(1);
    Err(ApiError::unauthorised())
}

async fn refuse_slow_bodies(request: Request, next: Next) -> Response {
    bodies::hurry(Pace::default(), "api", request, next, ApiError::too_slow).await
}

async fn metrics(State(api): State<Api>) -> String {
    api.metrics.render()
}
