//! The morning page: what needs someone now.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use sqlx::AnyPool;
use wardwatch_policies::severity::Severity;
use wardwatch_policies::text::Language;

use super::Web;
use super::error::Fault;
use super::language::Key;
use super::page::{self, Page, Section};
use super::rows::alerts::{self, Alert, AlertFilter, AlertState};
use super::rows::endpoints::{self, Endpoint, Totals};
use super::rows::incidents::{self, IncidentRow, Shown};
use super::rows::{Paged, Slice};
use super::words;

/// How many rows of each list stand on the overview.
const ROWS: i64 = 8;

/// An open incident with what comes next in it.
struct OpenIncident {
    row: IncidentRow,
    next: Option<NextStep>,
}

struct NextStep {
    id: String,
    name: String,
    lead: String,
}

async fn open_incidents(db: &AnyPool, language: Language) -> Result<Paged<OpenIncident>, Fault> {
    let list = incidents::list(db, true, Slice { number: 1, size: ROWS }).await?;
    let mut rows = Vec::new();
    for row in list.rows {
        let shown = incidents::find(db, row.id).await?;
        let next = shown.and_then(|Shown { incident, procedure }| {
            let step = *incident.next_steps(procedure).first()?;
            Some(NextStep {
                id: step.id.to_string(),
                name: step.name.get(language).to_owned(),
                lead: procedure.responsible_names(&step.lead, language),
            })
        });
        rows.push(OpenIncident { row, next });
    }
    Ok(Paged { rows, total: list.total, slice: list.slice })
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    page: Page,
    open_incidents: Paged<OpenIncident>,
    alerts: Paged<Alert>,
    severities: Vec<(Severity, i64)>,
    endpoints: Vec<Endpoint>,
    totals: Totals,
}

pub(super) async fn show(State(web): State<Web>, page: Page) -> Result<Response, Fault> {
    let db = web.db();
    let open = AlertFilter { state: Some(AlertState::Open), unassigned: true, ..AlertFilter::default() };
    let open_incidents = open_incidents(db, page.language).await?;
    page::show(&OverviewPage {
        page: page.of(Section::Overview),
        open_incidents,
        alerts: alerts::list(db, &open, Slice { number: 1, size: ROWS }).await?,
        severities: alerts::open_by_severity(db).await?,
        endpoints: endpoints::in_need(db, ROWS).await?,
        totals: endpoints::totals(db).await?,
    })
}

impl OverviewPage {
    fn summary(&self, alert: &Alert) -> String {
        words::finding(self.page.language, &alert.finding)
    }

    const fn severity(&self, alert: &Alert) -> Key {
        words::severity(alert.severity)
    }

    const fn severity_word(&self, severity: &Severity) -> Key {
        words::severity(*severity)
    }

    const fn standing(&self, endpoint: &Endpoint) -> (Key, &'static str) {
        words::standing(endpoint.state, endpoint.link)
    }

    const fn incident_severity(&self, incident: &OpenIncident) -> Key {
        words::severity(incident.row.severity)
    }

    fn title<'a>(&self, incident: &'a OpenIncident) -> &'a str {
        incident.row.title.get(self.page.language)
    }

    /// Nothing has ever reported.
    const fn is_new(&self) -> bool {
        self.totals.active == 0 && self.totals.pending == 0
    }
}
