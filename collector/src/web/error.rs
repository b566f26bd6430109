//! What a page answers when it cannot answer: not signed in, not allowed, not found, refused, broken.
//!
//! A fault carries no language; it is shown in the visitor's by [`in_visitors_language`]. What broke is
//! logged once, here.

use askama::Template;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Redirect, Response};
use wardwatch_incidents::operate::Refused;
use wardwatch_policies::text::Language;
use wardwatch_policies::time::UnixMillis;

use super::language::{Key, Words as _};
use super::page::{Page, Section};
use super::refusal;
use crate::fleet::FleetError;
use crate::releases::ReleaseError;
use crate::workflow::WorkflowError;

/// Why a request has no page.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    NotSignedIn,
    /// The one-time password must be replaced first.
    MustChangePassword,
    Forbidden,
    NotFound,
    /// The form does not come from a page that this server gave to this visitor.
    ForeignForm,
    /// The request does not make sense, as said by the text.
    BadRequest(Key),
    TooLarge,
    TooSlow,
    /// A rule of the procedure forbids it.
    Refused(Refused),
    /// What it should be done to is not there, or not in the state for it.
    NothingToDo,
    /// Something here failed. Already logged.
    Broken,
}

impl Fault {
    /// Logs what failed and hides it from the visitor.
    pub(super) fn broken(error: impl std::error::Error) -> Self {
        let mut causes = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            causes = format!("{causes}: {cause}");
            source = cause.source();
        }
        tracing::error!(error = causes, "a page could not be made");
        Self::Broken
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::NotSignedIn => StatusCode::UNAUTHORIZED,
            Self::MustChangePassword | Self::Forbidden | Self::ForeignForm => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Refused(_) | Self::NothingToDo => StatusCode::CONFLICT,
            Self::Broken => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Problem and remedy in the given language.
    fn sentences(&self, language: Language) -> (String, String) {
        let (problem, remedy) = match self {
            Self::NotSignedIn => (Key("fault-signed-out"), Key("fault-signed-out-remedy")),
            Self::MustChangePassword => (Key("fault-must-change"), Key("fault-must-change-remedy")),
            Self::Forbidden => (Key("fault-forbidden"), Key("fault-forbidden-remedy")),
            Self::NotFound => (Key("fault-not-found"), Key("fault-not-found-remedy")),
            Self::ForeignForm => (Key("fault-foreign-form"), Key("fault-foreign-form-remedy")),
            Self::BadRequest(problem) => (*problem, Key("fault-bad-request-remedy")),
            Self::TooLarge => (Key("fault-too-large"), Key("fault-too-large-remedy")),
            Self::TooSlow => (Key("fault-too-slow"), Key("fault-too-slow-remedy")),
            Self::Broken => (Key("fault-broken"), Key("fault-broken-remedy")),
            Self::NothingToDo => (Key("fault-nothing-to-do"), Key("fault-nothing-to-do-remedy")),
            Self::Refused(refused) => return refusal::sentences(language, refused),
        };
        (language.text(problem.0).into_owned(), language.text(remedy.0).into_owned())
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::broken(error)
    }
}

impl From<WorkflowError> for Fault {
    fn from(error: WorkflowError) -> Self {
        match error {
            WorkflowError::Refused(refused) => Self::Refused(refused),
            WorkflowError::NoSuchAlert(_) | WorkflowError::NoSuchIncident(_) => Self::NotFound,
            WorkflowError::NoSuchProcedure(_) | WorkflowError::Store(_) => Self::broken(error),
        }
    }
}

impl From<FleetError> for Fault {
    fn from(error: FleetError) -> Self {
        match error {
            FleetError::NoSuchEndpoint(_) | FleetError::NoSuchToken(_) => Self::NothingToDo,
            FleetError::NoSuchUnit(_) => Self::BadRequest(Key("no-such-unit")),
            FleetError::Uses(_) => Self::BadRequest(Key("token-uses")),
            FleetError::ReasonMissing => Self::Refused(Refused::ReasonMissing),
            FleetError::Token(_) | FleetError::Store(_) => Self::broken(error),
        }
    }
}

impl From<ReleaseError> for Fault {
    fn from(error: ReleaseError) -> Self {
        match error {
            ReleaseError::NoSuchRollout(_) | ReleaseError::NoSuchRelease(_) => Self::NothingToDo,
            ReleaseError::ReasonMissing => Self::Refused(Refused::ReasonMissing),
            error => Self::broken(error),
        }
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[derive(Template)]
#[template(path = "fault.html")]
struct FaultPage {
    page: Page,
    title: String,
    problem: String,
    remedy: String,
    /// A form was sent, and what was typed is still in the browser.
    go_back: bool,
}

/// Turns a fault into a page in the visitor's language, or sends the visitor to sign in.
pub(super) async fn in_visitors_language(request: Request, next: Next) -> Response {
    let language = Language::chosen(request.headers());
    let here = request.uri().path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
    let asks = request.method() == Method::GET;
    let partial = request.headers().contains_key("hx-request");
    let mut response = next.run(request).await;
    let Some(fault) = response.extensions_mut().remove::<Fault>() else { return response };
    match fault {
        Fault::NotSignedIn if partial => response,
        Fault::NotSignedIn if asks && here != "/" => {
            Redirect::to(&format!("/sign-in?next={}", super::query_value(&here))).into_response()
        }
        Fault::NotSignedIn => Redirect::to("/sign-in").into_response(),
        Fault::MustChangePassword => Redirect::to("/password").into_response(),
        fault => {
            let (problem, remedy) = fault.sentences(language);
            let page = Page {
                language,
                visitor: None,
                here: "/".into(),
                section: Section::None,
                now: UnixMillis(0),
            };
            let title = format!("{} · {}", fault.status().as_u16(), language.text("fault-title"));
            let body =
                FaultPage { page, title, problem, remedy, go_back: !asks }.render().unwrap_or_default();
            (fault.status(), Html(body)).into_response()
        }
    }
}

/// Where no route leads.
pub(super) async fn no_such_page() -> Fault {
    Fault::NotFound
}
