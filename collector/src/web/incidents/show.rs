//! One incident: how it stands, its steps by phase, its alerts, its history. Earlier rounds can be read.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use wardwatch_incidents::change::IncidentId;
use wardwatch_incidents::incident::{Incident, IncidentState};
use wardwatch_incidents::view;

use super::card::{self, PhaseCards};
use crate::store::log;
use crate::web::address::{Asked, At};
use crate::web::chronicle::{self, Line};
use crate::web::error::Fault;
use crate::web::language::Key;
use crate::web::page::{self, Page, Section};
use crate::web::rows::alerts::{self, Alert, AlertFilter};
use crate::web::rows::{Slice, incidents};
use crate::web::{Web, words};

#[derive(Deserialize)]
pub(in crate::web) struct OneQuery {
    round: Option<u32>,
}

#[derive(Template)]
#[template(path = "incident.html")]
struct IncidentPage {
    page: Page,
    incident: Incident,
    procedure_title: String,
    procedure_source: String,
    /// The round that is shown, if it is not the current one.
    earlier: Option<u32>,
    phases: Vec<PhaseCards>,
    settled: usize,
    steps: usize,
    /// The steps to do now.
    next: Vec<Next>,
    alerts: Vec<Alert>,
    history: Vec<Line>,
}

struct Next {
    id: String,
    anchor: String,
    name: String,
    lead: String,
}

pub(in crate::web) async fn show(
    State(web): State<Web>,
    page: Page,
    At(id): At<String>,
    Asked(asked): Asked<OneQuery>,
) -> Result<Response, Fault> {
    let id: IncidentId = id.parse().map_err(|_| Fault::NotFound)?;
    let incidents::Shown { incident, procedure } =
        incidents::find(web.db(), id).await?.ok_or(Fault::NotFound)?;
    let language = page.language;
    let current = incident.current_round().number;
    let earlier = asked.round.filter(|round| *round != current);
    let now = view::steps(procedure, &incident);
    let settled = now.iter().filter(|view| view.state.is_settled()).count();
    let views = earlier.map(|round| view::round(procedure, &incident, round));
    if views.as_ref().is_some_and(Vec::is_empty) {
        return Err(Fault::NotFound);
    }
    let views = views.as_ref().unwrap_or(&now);
    let phases = card::phases(language, procedure, &incident, views, earlier.is_some());
    let next = incident.next_steps(procedure);
    let next = next
        .iter()
        .map(|step| Next {
            id: step.id.to_string(),
            anchor: card::anchor(&step.id),
            name: step.name.get(language).to_owned(),
            lead: procedure.responsible_names(&step.lead, language),
        })
        .collect();
    let filter = AlertFilter { incident: Some(id.to_string()), ..AlertFilter::default() };
    let alerts = alerts::list(web.db(), &filter, Slice { number: 1, size: 100 }).await?.rows;
    let mut connection = web.db().acquire().await?;
    let entries = log::of_incident(&mut connection, id).await?;
    let history = entries.into_iter().rev().map(|entry| chronicle::line(language, entry)).collect();
    let steps = now.len();
    page::show(&IncidentPage {
        page: page.of(Section::Incidents),
        procedure_title: procedure.title.get(language).to_owned(),
        procedure_source: procedure.source.get(language).to_owned(),
        earlier,
        phases,
        settled,
        steps,
        next,
        alerts,
        history,
        incident,
    })
}

/// What decides whether an incident is serious, in the order the form asks it.
pub(super) const CRITERIA: [Key; 7] = [
    Key("serious-level"),
    Key("serious-interrupted"),
    Key("serious-secret"),
    Key("serious-integrity"),
    Key("serious-control"),
    Key("serious-spread"),
    Key("serious-capacity"),
];

impl IncidentPage {
    fn title(&self) -> &str {
        self.incident.title.get(self.page.language)
    }

    const fn severity(&self) -> Key {
        words::severity(self.incident.severity)
    }

    const fn alert_severity(&self, alert: &Alert) -> Key {
        words::severity(alert.severity)
    }

    fn summary(&self, alert: &Alert) -> String {
        words::finding(self.page.language, &alert.finding)
    }

    fn criteria(&self) -> Vec<(usize, Key)> {
        CRITERIA.into_iter().enumerate().collect()
    }

    fn shows(&self, round: &u32) -> bool {
        self.earlier == Some(*round)
    }

    fn raised_by(&self) -> String {
        chronicle::actor(self.page.language, &self.incident.raised_by)
    }

    fn assessed_by(&self) -> String {
        let by = self.incident.seriousness.as_ref().map(|assessed| &assessed.by);
        by.map(|actor| chronicle::actor(self.page.language, actor)).unwrap_or_default()
    }

    const fn closed_at(&self) -> Option<wardwatch_policies::time::UnixMillis> {
        match self.incident.state {
            IncidentState::Closed { at, .. } => Some(at),
            IncidentState::Open { .. } => None,
        }
    }

    /// The places of the page that are made new when the incident changes.
    fn live_places(&self) -> String {
        let cards = self.phases.iter().flat_map(|phase| &phase.cards);
        let states: Vec<_> = cards.map(|card| format!("#state-{}", card.anchor)).collect();
        format!("#standing,#history,{}", states.join(","))
    }
}
