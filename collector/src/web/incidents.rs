//! Incidents: the list, raising one by hand, and below, one incident with its steps.

pub(super) mod act;
mod card;
pub(super) mod show;

use askama::Template;
use axum::extract::State;
use axum::response::{Redirect, Response};
use serde::Deserialize;
use wardwatch_incidents::change::Actor;
use wardwatch_incidents::operate::Raise;
use wardwatch_policies::severity::Severity;

use super::Web;
use super::address::Asked;
use super::error::Fault;
use super::form::SignedForm;
use super::language::Key;
use super::page::{self, Page, Section};
use super::rows::incidents::{self, IncidentRow};
use super::rows::{Paged, Slice};
use super::words;

#[derive(Deserialize)]
pub(super) struct ListQuery {
    /// `all` shows closed ones too.
    state: Option<String>,
    page: Option<i64>,
}

#[derive(Template)]
#[template(path = "incidents.html")]
struct IncidentsPage {
    page: Page,
    all: bool,
    incidents: Paged<IncidentRow>,
}

pub(super) async fn list(
    State(web): State<Web>,
    page: Page,
    Asked(asked): Asked<ListQuery>,
) -> Result<Response, Fault> {
    let all = asked.state.as_deref() == Some("all");
    let incidents = incidents::list(web.db(), !all, Slice::page(asked.page)).await?;
    page::show(&IncidentsPage { page: page.of(Section::Incidents), all, incidents })
}

impl IncidentsPage {
    const fn severity(&self, incident: &IncidentRow) -> Key {
        words::severity(incident.severity)
    }

    const fn severities(&self) -> [(Severity, Key); 4] {
        [
            (Severity::Low, words::severity(Severity::Low)),
            (Severity::Medium, words::severity(Severity::Medium)),
            (Severity::High, words::severity(Severity::High)),
            (Severity::Critical, words::severity(Severity::Critical)),
        ]
    }

    fn title<'a>(&self, incident: &'a IncidentRow) -> &'a str {
        incident.title.get(self.page.language)
    }

    fn address(&self, number: i64) -> String {
        let state = if self.all { "state=all&" } else { "" };
        format!("/incidents?{state}page={number}")
    }
}

/// An incident of which someone told, without any alert.
pub(super) async fn raise(State(web): State<Web>, form: SignedForm) -> Result<Redirect, Fault> {
    let severity = form.fields.trimmed("severity").parse();
    let raise = Raise {
        title: form.fields.trimmed("title").to_owned(),
        severity: severity.map_err(|_| Fault::BadRequest(Key("fault-bad-request")))?,
        reason: form.fields.trimmed("reason").to_owned(),
    };
    let incident = web.workflow().raise(&Actor::User(form.visitor.user), raise, &[], web.now()).await?;
    Ok(Redirect::to(&format!("/incidents/{incident}")))
}
