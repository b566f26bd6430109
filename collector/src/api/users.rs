//! People who may sign in.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use serde::Deserialize;
use serde_json::{Value, json};
use wardwatch_incidents::change::Actor;

use super::{Api, ApiError};
use crate::clock;
use crate::store::users::Role;
use crate::web::accounts::{self, NewUser};

#[derive(Deserialize)]
pub(super) struct Asked {
    name: String,
    #[serde(default)]
    display_name: String,
    role: String,
}

/// The answer holds a password for the first sign-in, which is shown this once.
pub(super) async fn create(
    State(api): State<Api>,
    asked: Result<Json<Asked>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    let Json(asked) = asked?;
    let role = Role::parse(&asked.role).ok_or_else(|| {
        ApiError::invalid(format!("\"{}\" is not a role", asked.role), "use admin or staff")
    })?;
    let new = NewUser { name: asked.name.clone(), display_name: asked.display_name, role };
    let password = accounts::create(&api.fleet, &Actor::LocalAdmin, new, clock::now()).await?;
    Ok(Json(json!({ "name": asked.name, "password": password.as_str() })))
}

/// Gives a new one-time password and ends all sessions of the user.
pub(super) async fn reset(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<Value>, ApiError> {
    let password = accounts::reset(&api.fleet, &Actor::LocalAdmin, &name, clock::now()).await?;
    Ok(Json(json!({ "name": name, "password": password.as_str() })))
}
