//! Incidents and their response steps.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use wardwatch_incidents::change::{Actor, AlertId, EvidenceFile, IncidentId, Outcome};
use wardwatch_incidents::incident::Incident;
use wardwatch_incidents::operate::{Command, Completion, Raise};
use wardwatch_incidents::view::{self, StepView};
use wardwatch_policies::ids::StepId;
use wardwatch_policies::procedure::Procedure;
use wardwatch_policies::severity::Severity;
use wardwatch_policies::time::UnixMillis;

use super::{Api, ApiError};
use crate::clock;
use crate::web::rows::incidents::{self, IncidentRow, Shown};
use crate::web::rows::{Paged, Slice};
use crate::web::times::rfc3339;

#[derive(Deserialize)]
pub(super) struct Asked {
    open: Option<bool>,
    page: Option<i64>,
}

#[derive(Deserialize)]
pub(super) struct Raising {
    title: String,
    severity: Severity,
    reason: String,
    #[serde(default)]
    alerts: Vec<i64>,
}

#[derive(Deserialize)]
pub(super) struct Assessment {
    serious: bool,
    reason: String,
}

/// What is to become of a step.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state", deny_unknown_fields)]
pub(super) enum StepChange {
    Done {
        #[serde(default)]
        note: String,
        #[serde(default)]
        evidence: Vec<EvidenceFile>,
        #[serde(default)]
        findings: Vec<i64>,
        outcome: Option<Outcome>,
        #[serde(default)]
        repeat: Vec<StepId>,
    },
    NotApplicable {
        note: String,
    },
    /// Takes the step's completion back.
    Pending {
        note: String,
    },
}

pub(super) async fn list(
    State(api): State<Api>,
    Query(asked): Query<Asked>,
) -> Result<Json<Paged<IncidentRow>>, ApiError> {
    let only_open = asked.open.unwrap_or(false);
    Ok(Json(incidents::list(api.db(), only_open, Slice::page(asked.page)).await?))
}

pub(super) async fn show(State(api): State<Api>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    shown(&api, parse(&id)?).await
}

pub(super) async fn raise(
    State(api): State<Api>,
    asked: Result<Json<Raising>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    let Json(asked) = asked?;
    let alerts: Vec<_> = asked.alerts.into_iter().map(AlertId).collect();
    let raise = Raise { title: asked.title, severity: asked.severity, reason: asked.reason };
    let id = api.fleet.workflow.raise(&Actor::LocalAdmin, raise, &alerts, clock::now()).await?;
    shown(&api, id).await
}

pub(super) async fn attach(
    State(api): State<Api>,
    Path((id, alert)): Path<(String, i64)>,
) -> Result<Json<Value>, ApiError> {
    let id = parse(&id)?;
    api.fleet.workflow.attach(&Actor::LocalAdmin, id, AlertId(alert), clock::now()).await?;
    shown(&api, id).await
}

pub(super) async fn assess(
    State(api): State<Api>,
    Path(id): Path<String>,
    asked: Result<Json<Assessment>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    let Json(Assessment { serious, reason }) = asked?;
    operate(&api, parse(&id)?, Command::AssessSeriousness { serious, reason }).await
}

pub(super) async fn step(
    State(api): State<Api>,
    Path((id, step)): Path<(String, String)>,
    asked: Result<Json<StepChange>, JsonRejection>,
) -> Result<Json<Value>, ApiError> {
    let Json(asked) = asked?;
    let step: StepId =
        step.parse().map_err(|e: wardwatch_policies::ids::InvalidId| ApiError::invalid(e.to_string(), ""))?;
    let command = match asked {
        StepChange::Done { note, evidence, findings, outcome, repeat } => {
            super::evidence::confirm(&api, &evidence).await?;
            let findings = findings.into_iter().map(AlertId).collect();
            Command::Complete(Completion { step, note, evidence, findings, outcome, repeat })
        }
        StepChange::NotApplicable { note } => Command::MarkNotApplicable { step, reason: note },
        StepChange::Pending { note } => Command::Reopen { step, reason: note },
    };
    operate(&api, parse(&id)?, command).await
}

async fn operate(api: &Api, id: IncidentId, command: Command) -> Result<Json<Value>, ApiError> {
    api.fleet.workflow.operate(&Actor::LocalAdmin, id, command, clock::now()).await?;
    shown(api, id).await
}

fn parse(id: &str) -> Result<IncidentId, ApiError> {
    id.parse().map_err(|e: wardwatch_incidents::change::InvalidIncidentId| {
        ApiError::invalid(e.to_string(), "`incidents list` names those that there are")
    })
}

/// One step as scripts see it.
#[derive(Serialize)]
struct StepShown<'a> {
    step: &'a StepId,
    phase: &'a str,
    name: &'a wardwatch_policies::text::Text,
    lead: Vec<&'a str>,
    support: Vec<&'a str>,
    #[serde(flatten)]
    record: Value,
    round: u32,
    carried_over: bool,
    gate: Option<String>,
    advice: Vec<String>,
    next: bool,
}

async fn shown(api: &Api, id: IncidentId) -> Result<Json<Value>, ApiError> {
    let Shown { incident, procedure } = incidents::find(api.db(), id).await?.ok_or_else(|| {
        ApiError::not_found(
            format!("there is no incident {id}"),
            "`incidents list` names those that there are",
        )
    })?;
    Ok(Json(render(&incident, procedure).map_err(|e| ApiError::fault(&e))?))
}

fn render(incident: &Incident, procedure: &Procedure) -> Result<Value, serde_json::Error> {
    let rounds = incident
        .rounds
        .iter()
        .map(|round| {
            Ok(json!({
                "round": round.number,
                "opened": rfc3339(round.opened),
                "opened_by": round.opened_by,
                "reason": round.reason,
                "steps": steps(view::round(procedure, incident, round.number))?,
            }))
        })
        .collect::<Result<Vec<_>, serde_json::Error>>()?;
    let mut shown = json!({
        "id": incident.id,
        "procedure": incident.procedure,
        "title": incident.title,
        "severity": incident.severity,
        "reason": incident.reason,
        "raised_by": incident.raised_by,
        "raised": incident.raised,
        "changed": incident.changed,
        "alerts": incident.alerts,
        "seriousness": incident.seriousness,
        "steps": steps(view::steps(procedure, incident))?,
        "rounds": rounds,
    });
    merge(&mut shown, serde_json::to_value(&incident.state)?);
    times_as_text(&mut shown);
    Ok(shown)
}

fn steps(views: Vec<StepView<'_>>) -> Result<Vec<Value>, serde_json::Error> {
    views
        .into_iter()
        .map(|view| {
            let mut shown = serde_json::to_value(StepShown {
                step: view.id,
                phase: &view.phase.id,
                name: &view.step.name,
                lead: view.step.lead.parties.iter().map(|party| party.as_str()).collect(),
                support: view.step.support.parties.iter().map(|party| party.as_str()).collect(),
                record: serde_json::to_value(view.state)?,
                round: view.round,
                carried_over: view.carried_over,
                gate: view.gate.as_ref().map(|gate| gate.text().en),
                advice: view.advice.iter().map(|advice| advice.text().en).collect(),
                next: view.is_next,
            })?;
            times_as_text(&mut shown);
            Ok(shown)
        })
        .collect()
}

fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}

/// The domain's values hold times in milliseconds; scripts get RFC 3339.
fn times_as_text(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field.as_i64() {
                    Some(time) if matches!(name.as_str(), "at" | "since" | "raised" | "changed") => {
                        *field = Value::String(rfc3339(UnixMillis(time)));
                    }
                    _ => times_as_text(field),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(times_as_text),
        _ => {}
    }
}
