//! Errors of the API: a status, and a body of problem and remedy.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::fleet::FleetError;
use crate::web::accounts::AccountError;
use crate::workflow::WorkflowError;

/// Why a call did nothing.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    body: Body,
}

#[derive(Debug, Serialize)]
struct Body {
    /// Stable; only of refusals by the procedure.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    problem: String,
    remedy: String,
}

impl ApiError {
    fn new(status: StatusCode, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { status, body: Body { code: None, problem: problem.into(), remedy: remedy.into() } }
    }

    /// An error whose words are "problem; remedy".
    pub(super) fn of(status: StatusCode, error: &dyn std::error::Error) -> Self {
        let text = error.to_string();
        let (problem, remedy) = text.split_once("; ").unwrap_or((&text, ""));
        Self::new(status, problem, remedy)
    }

    pub(super) fn unauthorised() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "the admin credential is missing or wrong",
            "run the command as the user that runs the collector",
        )
    }

    pub(super) fn invalid(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, problem, remedy)
    }

    pub(super) fn too_slow() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "what was sent came too slowly, so nothing was kept",
            "try again over a better connection",
        )
    }

    pub(super) fn not_found(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, problem, remedy)
    }

    /// A fault of our own: told in full to the log, in short to the caller.
    pub(super) fn fault(error: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error, "a call of the API failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the collector could not do it",
            "its log says why; try again when that is mended",
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(self.body)).into_response()
    }
}

pub(super) async fn no_such_call() -> ApiError {
    ApiError::not_found("there is no such call", "this program and the collector may differ in version")
}

impl From<sqlx::Error> for ApiError {
    fn from(error: sqlx::Error) -> Self {
        Self::fault(&error)
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text(), "send JSON of the documented form")
    }
}

impl From<WorkflowError> for ApiError {
    fn from(error: WorkflowError) -> Self {
        match error {
            WorkflowError::Refused(refused) => {
                let words = refused.words();
                Self {
                    status: StatusCode::CONFLICT,
                    body: Body { code: Some(words.code), problem: words.problem, remedy: words.remedy },
                }
            }
            WorkflowError::Store(error) => Self::fault(&error),
            error => Self::of(StatusCode::NOT_FOUND, &error),
        }
    }
}

impl From<FleetError> for ApiError {
    fn from(error: FleetError) -> Self {
        match error {
            FleetError::Store(_) | FleetError::Token(_) => Self::fault(&error),
            FleetError::NoSuchEndpoint(_) | FleetError::NoSuchToken(_) => {
                Self::of(StatusCode::NOT_FOUND, &error)
            }
            error => Self::of(StatusCode::UNPROCESSABLE_ENTITY, &error),
        }
    }
}

impl From<AccountError> for ApiError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Failed => Self::fault(&error),
            error => Self::of(StatusCode::UNPROCESSABLE_ENTITY, &error),
        }
    }
}
