//! Alerts: the list, and one alert with its why.

pub(super) mod act;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use wardwatch_policies::finding::Finding;
use wardwatch_policies::release::UpgradeOutcome;
use wardwatch_policies::verdict::Evidence;

use super::Web;
use super::address::{Asked, At};
use super::catalogue::{self, CheckWords, RuleWords};
use super::error::Fault;
use super::language::Key;
use super::page::{self, Page, Section};
use super::rows::alerts::{self, Alert, AlertFilter, AlertState};
use super::rows::incidents::{self, IncidentRow};
use super::rows::{Paged, Slice};
use super::words::{self, Side};

#[derive(Deserialize)]
pub(super) struct ListQuery {
    /// open, silenced, closed or all.
    state: Option<String>,
    page: Option<i64>,
}

#[derive(Template)]
#[template(path = "alerts.html")]
struct AlertsPage {
    page: Page,
    state: &'static str,
    alerts: Paged<Alert>,
}

pub(super) async fn list(
    State(web): State<Web>,
    page: Page,
    Asked(asked): Asked<ListQuery>,
) -> Result<Response, Fault> {
    let state = match asked.state.as_deref() {
        Some("all") => None,
        Some(text) => Some(AlertState::parse(text).ok_or(Fault::NotFound)?),
        None => Some(AlertState::Open),
    };
    let filter = AlertFilter { state, ..AlertFilter::default() };
    let alerts = alerts::list(web.db(), &filter, Slice::page(asked.page)).await?;
    page::show(&AlertsPage {
        page: page.of(Section::Alerts),
        state: state.map_or("all", AlertState::as_str),
        alerts,
    })
}

impl AlertsPage {
    fn summary(&self, alert: &Alert) -> String {
        words::finding(self.page.language, &alert.finding)
    }

    const fn severity(&self, alert: &Alert) -> Key {
        words::severity(alert.severity)
    }

    fn rule(&self, alert: &Alert) -> String {
        catalogue::rule(self.page.language, &alert.rule).title
    }

    fn address(&self, number: i64) -> String {
        format!("/alerts?state={}&page={number}", self.state)
    }
}

#[derive(Template)]
#[template(path = "alert.html")]
struct AlertPage {
    page: Page,
    summary: String,
    rule: RuleWords,
    why: Why,
    alert: Alert,
    /// Where it could be added.
    open_incidents: Vec<IncidentRow>,
}

/// What the alert rests on, in the parts the page shows.
struct Why {
    /// What was expected and what was found, of a file.
    sides: Option<(Side, Side)>,
    /// The check that failed.
    check: Option<CheckWords>,
    /// What it read.
    evidence: Vec<Evidence>,
    /// Since when, or from when until when.
    time: Option<String>,
    /// As the endpoint wrote it.
    reason: Option<String>,
}

pub(super) async fn show(State(web): State<Web>, page: Page, At(id): At<i64>) -> Result<Response, Fault> {
    let alert = alerts::find(web.db(), id).await?.ok_or(Fault::NotFound)?;
    let summary = words::finding(page.language, &alert.finding);
    let rule = catalogue::rule(page.language, &alert.rule);
    let why = why(&page, &alert.finding);
    let open_incidents = incidents::list(web.db(), true, Slice { number: 1, size: 100 }).await?.rows;
    page::show(&AlertPage { page: page.of(Section::Alerts), summary, rule, why, alert, open_incidents })
}

fn why(page: &Page, finding: &Finding) -> Why {
    let mut why = Why { sides: None, check: None, evidence: Vec::new(), time: None, reason: None };
    match finding {
        Finding::File { old, new, .. } => {
            why.sides = Some((words::side(page.language, old), words::side(page.language, new)));
        }
        Finding::Check { policy, check, evidence, .. } => {
            why.check = Some(catalogue::check(page.language, policy.as_str(), check.as_str()));
            why.evidence.clone_from(evidence);
        }
        Finding::Blind { from, to, reason, .. } => {
            why.time = Some(format!("{} – {}", page.at(from), page.at(to)));
            why.reason = Some(reason.clone());
        }
        Finding::Silent { since } => {
            why.time = Some(page.at(since));
        }
        Finding::Upgrade {
            outcome: UpgradeOutcome::Returned { reason } | UpgradeOutcome::Refused { reason },
            ..
        } => {
            why.reason = Some(reason.clone());
        }
        Finding::Upgrade {
            outcome: UpgradeOutcome::Healthy | UpgradeOutcome::NotAllowed | UpgradeOutcome::Withdrawn,
            ..
        }
        | Finding::Fork { .. }
        | Finding::IdentityCloned
        | Finding::StreamOpened { .. }
        | Finding::Heard => {}
    }
    why
}

impl AlertPage {
    const fn severity(&self) -> Key {
        words::severity(self.alert.severity)
    }

    fn is_closed(&self) -> bool {
        self.alert.state == AlertState::Closed
    }

    const fn state(&self) -> Key {
        words::alert_state(self.alert.state, self.alert.incident.is_some())
    }
}
