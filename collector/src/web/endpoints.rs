//! Endpoints: the list, and one endpoint with all that is known of it.

pub(super) mod act;

use std::cmp::Reverse;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use wardwatch_policies::file::{Coverage, Watch};
use wardwatch_policies::host::HostFacts;
use wardwatch_policies::severity::Severity;
use wardwatch_policies::verdict::Verdict;

use super::Web;
use super::address::{Asked, At};
use super::catalogue::{self, CheckWords};
use super::error::Fault;
use super::language::Key;
use super::page::{self, Page, Section};
use super::rows::alerts::{self, Alert, AlertFilter, AlertState};
use super::rows::endpoints::{self, Endpoint};
use super::rows::files::{self, File};
use super::rows::verdicts::{self, CheckVerdict};
use super::rows::{Paged, Slice};
use super::words;
use crate::store::endpoints::State as EndpointState;
use crate::store::rollouts::{self, Upgrade};
use crate::store::{commands, hosts};

#[derive(Deserialize)]
pub(super) struct ListQuery {
    page: Option<i64>,
}

#[derive(Template)]
#[template(path = "endpoints.html")]
struct EndpointsPage {
    page: Page,
    endpoints: Paged<Endpoint>,
}

pub(super) async fn list(
    State(web): State<Web>,
    page: Page,
    Asked(asked): Asked<ListQuery>,
) -> Result<Response, Fault> {
    let endpoints = endpoints::list(web.db(), Slice::page(asked.page)).await?;
    page::show(&EndpointsPage { page: page.of(Section::Endpoints), endpoints })
}

impl EndpointsPage {
    const fn standing(&self, endpoint: &Endpoint) -> (Key, &'static str) {
        words::standing(endpoint.state, endpoint.link)
    }

    const fn kind(&self, endpoint: &Endpoint) -> Key {
        words::kind(endpoint.kind)
    }

    fn address(&self, number: i64) -> String {
        format!("/endpoints?page={number}")
    }
}

#[derive(Deserialize)]
pub(super) struct OneQuery {
    /// A part of a path, or a digest.
    search: Option<String>,
    page: Option<i64>,
    /// `all` shows passed checks too.
    checks: Option<String>,
}

#[derive(Template)]
#[template(path = "endpoint.html")]
struct EndpointPage {
    page: Page,
    endpoint: Endpoint,
    host: Option<HostFacts>,
    upgrade: Option<Upgrade>,
    coverage: Vec<Coverage>,
    checks: Vec<CheckVerdict>,
    all_checks: bool,
    passed: i64,
    alerts: Paged<Alert>,
    /// Commands that have not arrived yet.
    waiting: i64,
    search: String,
    files: Paged<File>,
}

pub(super) async fn show(
    State(web): State<Web>,
    page: Page,
    At(id): At<String>,
    Asked(asked): Asked<OneQuery>,
) -> Result<Response, Fault> {
    let db = web.db();
    let endpoint = endpoints::find(db, &id).await?.ok_or(Fault::NotFound)?;
    let search: String = asked.search.unwrap_or_default().trim().chars().take(500).collect();
    let all_checks = asked.checks.as_deref() == Some("all");
    let mut checks = verdicts::list(db, &id).await?;
    let passed = checks.iter().filter(|check| check.needs_nobody()).count();
    if !all_checks {
        checks.retain(|check| !check.needs_nobody());
    }
    // Within a verdict the gravest stand first.
    checks.sort_by_key(|check| {
        (check.verdict != Verdict::Fail, check.needs_nobody(), Reverse(check_severity(check)))
    });
    let filter =
        AlertFilter { endpoint: Some(id.clone()), state: Some(AlertState::Open), ..AlertFilter::default() };
    page::show(&EndpointPage {
        page: page.of(Section::Endpoints),
        host: hosts::facts(db, &id).await?,
        upgrade: rollouts::of_endpoint(db, &id).await?,
        coverage: endpoints::coverage(db, &id).await?,
        checks,
        all_checks,
        passed: passed.try_into().unwrap_or(i64::MAX),
        alerts: alerts::list(db, &filter, Slice::page(None)).await?,
        waiting: commands::waiting(db, &id, web.now()).await?,
        files: files::list(db, &id, &search, Slice::page(asked.page)).await?,
        search,
        endpoint,
    })
}

/// How bad it is that a check fails or is unknown; of any other, nothing.
fn check_severity(check: &CheckVerdict) -> Option<Severity> {
    if check.needs_nobody() { None } else { catalogue::severity(&check.policy, &check.check) }
}

impl EndpointPage {
    const fn standing(&self) -> (Key, &'static str) {
        words::standing(self.endpoint.state, self.endpoint.link)
    }

    const fn kind(&self) -> Key {
        words::kind(self.endpoint.kind)
    }

    fn is_pending(&self) -> bool {
        self.endpoint.state == EndpointState::Pending
    }

    fn is_removed(&self) -> bool {
        self.endpoint.state == EndpointState::Removed
    }

    const fn upgrade(&self, upgrade: &Upgrade) -> (Key, &'static str) {
        words::upgrade(upgrade.outcome)
    }

    const fn watch(&self, coverage: &Coverage) -> (Key, &'static str) {
        match coverage.watch {
            Watch::Live => (Key("watch-live"), "good"),
            Watch::ScanOnly(_) => (Key("watch-scan-only"), "warn"),
            Watch::Skipped(_) => (Key("watch-skipped"), "bad"),
        }
    }

    fn watch_reason<'a>(&self, coverage: &'a Coverage) -> &'a str {
        match &coverage.watch {
            Watch::Live => "",
            Watch::ScanOnly(reason) | Watch::Skipped(reason) => reason,
        }
    }

    const fn verdict(&self, check: &CheckVerdict) -> (Key, &'static str) {
        words::verdict(&check.verdict)
    }

    fn check_severity(&self, check: &CheckVerdict) -> Option<(Severity, Key)> {
        check_severity(check).map(|severity| (severity, words::severity(severity)))
    }

    fn check_words(&self, check: &CheckVerdict) -> CheckWords {
        catalogue::check(self.page.language, &check.policy, &check.check)
    }

    fn summary(&self, alert: &Alert) -> String {
        words::finding(self.page.language, &alert.finding)
    }

    const fn severity(&self, alert: &Alert) -> Key {
        words::severity(alert.severity)
    }

    fn bytes(&self, size: &u64) -> String {
        words::bytes(*size)
    }

    fn file_size(&self, file: &File) -> String {
        file.size.and_then(|size| u64::try_from(size).ok()).map_or_else(String::new, words::bytes)
    }

    fn sighting(&self, file: &File) -> Key {
        match file.sighting.as_str() {
            "present" => Key("sighting-present"),
            "unreadable" => Key("sighting-unreadable"),
            _ => Key("sighting-absent"),
        }
    }

    /// The difference of the clocks in whole seconds.
    fn skew_seconds(&self) -> i64 {
        self.endpoint.skew_ms().unwrap_or(0) / 1000
    }

    fn address(&self, number: i64) -> String {
        format!(
            "/endpoints/{}?search={}&page={number}#files",
            self.endpoint.id,
            super::query_value(&self.search)
        )
    }
}
