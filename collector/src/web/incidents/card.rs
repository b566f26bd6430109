//! One step of an incident as the page shows it: the procedure's words, how it stands, what can be done.

use wardwatch_incidents::change::{AlertId, EvidenceFile, IncidentId};
use wardwatch_incidents::incident::{Incident, StepState};
use wardwatch_incidents::view::{Advice, Gate, StepView};
use wardwatch_policies::ids::StepId;
use wardwatch_policies::procedure::Procedure;
use wardwatch_policies::text::{Language, Text};
use wardwatch_policies::time::UnixMillis;

use crate::web::language::{Key, Words as _};
use crate::web::{chronicle, words};

/// The steps of one phase.
pub(super) struct PhaseCards {
    pub id: String,
    pub name: String,
    pub cards: Vec<Card>,
}

pub(super) struct Card {
    pub incident: IncidentId,
    pub id: String,
    /// The id as an anchor in the page.
    pub anchor: String,
    pub name: String,
    pub content: String,
    pub lead: String,
    pub support: String,
    pub condition: String,
    pub must_leave: String,
    pub standing: Key,
    pub colour: &'static str,
    pub record: Option<Record>,
    pub superseded: Vec<Record>,
    /// The earlier round in which it was settled.
    pub carried_from: Option<u32>,
    pub gate: Option<String>,
    pub advice: Vec<String>,
    pub is_next: bool,
    pub can_complete: bool,
    pub can_skip: bool,
    pub can_reopen: bool,
    pub is_examination: bool,
    pub closes: bool,
    /// What a new round may repeat: id and name.
    pub repeatable: Vec<(String, String)>,
}

/// What was recorded of a step.
pub(super) struct Record {
    pub what: Key,
    pub by: String,
    pub at: UnixMillis,
    pub text: String,
    /// Each with its size for a person.
    pub evidence: Vec<(EvidenceFile, String)>,
    pub findings: Vec<AlertId>,
    pub outcome: Option<Key>,
    /// Steps that were advised to come first and were still open.
    pub ahead_of: String,
}

/// A step's id as an anchor: a dot would mean something else in a selector.
pub(super) fn anchor(step: &StepId) -> String {
    step.as_str().replace('.', "-")
}

/// Groups steps by phase, in the procedure's order.
pub(super) fn phases(
    language: Language,
    procedure: &Procedure,
    incident: &Incident,
    views: &[StepView<'_>],
    read_only: bool,
) -> Vec<PhaseCards> {
    let mut phases: Vec<PhaseCards> = Vec::new();
    for view in views {
        if phases.last().is_none_or(|phase| phase.id != view.phase.id) {
            let name = view.phase.name.get(language).to_owned();
            phases.push(PhaseCards { id: view.phase.id.clone(), name, cards: Vec::new() });
        }
        if let Some(phase) = phases.last_mut() {
            phase.cards.push(card(language, procedure, incident, view, read_only));
        }
    }
    phases
}

fn card(
    language: Language,
    procedure: &Procedure,
    incident: &Incident,
    view: &StepView<'_>,
    read_only: bool,
) -> Card {
    let step = view.step;
    let text = |text: &Text| text.get(language).to_owned();
    let settled = view.state.is_settled();
    let may = incident.is_open() && !read_only;
    let waits = matches!(view.gate, Some(Gate::WaitsFor { .. }));
    let (standing, colour) = standing(view);
    let repeatable = step.examination.iter().flat_map(|examination| &examination.reopens);
    Card {
        incident: incident.id,
        id: step.id.to_string(),
        anchor: anchor(&step.id),
        name: text(&step.name),
        content: text(&step.content),
        lead: procedure.responsible_names(&step.lead, language),
        support: procedure.responsible_names(&step.support, language),
        condition: step.condition.as_ref().map(text).unwrap_or_default(),
        must_leave: text(&step.must_leave),
        standing,
        colour,
        record: record(language, view.state),
        superseded: view.superseded.iter().filter_map(|state| record(language, state)).collect(),
        carried_from: view.carried_over.then_some(view.round),
        gate: view.gate.as_ref().map(|gate| text(&gate.text())),
        advice: advice(language, view),
        is_next: view.is_next,
        can_complete: may && (step.never_blocked || (!settled && view.gate.is_none())),
        can_skip: may && !settled && !waits && step.examination.is_none() && !step.closes,
        can_reopen: may && settled && view.round == incident.current_round().number,
        is_examination: step.examination.is_some(),
        closes: step.closes,
        repeatable: repeatable
            .filter(|id| **id != step.id)
            .filter_map(|id| Some((id.to_string(), text(&procedure.step(id)?.name))))
            .collect(),
    }
}

/// A step that a gate holds back needs no advice yet; open steps before the last are named in one line.
fn advice(language: Language, view: &StepView<'_>) -> Vec<String> {
    if view.gate.is_some() {
        return Vec::new();
    }
    let (open, other): (Vec<_>, Vec<_>) =
        view.advice.iter().partition(|advice| matches!(advice, Advice::StillOpen { .. }));
    let mut lines: Vec<_> = other.iter().map(|advice| advice.text().get(language).to_owned()).collect();
    if !open.is_empty() {
        let open: Vec<_> = open.iter().map(|advice| advice.step().to_string()).collect();
        lines.push(language.with("still-open", "steps", open.join(", ")));
    }
    lines
}

const fn standing(view: &StepView<'_>) -> (Key, &'static str) {
    match view.state {
        StepState::Done { .. } if view.step.examination.is_some() && !view.state.is_passed() => {
            (Key("step-failed"), "bad")
        }
        StepState::Done { .. } => (Key("step-done"), "good"),
        StepState::NotApplicable { .. } => (Key("step-not-applicable"), "quiet"),
        StepState::Pending if view.gate.is_some() => (Key("step-waits"), "quiet"),
        StepState::Pending if view.is_next => (Key("step-next"), "warn"),
        StepState::Pending => (Key("step-pending"), "quiet"),
    }
}

fn record(language: Language, state: &StepState) -> Option<Record> {
    match state {
        StepState::Pending => None,
        StepState::Done { by, at, note, evidence, findings, outcome, ahead_of } => Some(Record {
            what: Key("step-done"),
            by: chronicle::actor(language, by),
            at: *at,
            text: note.clone(),
            evidence: evidence.iter().map(|file| (file.clone(), words::bytes(file.size))).collect(),
            findings: findings.clone(),
            outcome: outcome.map(chronicle::outcome),
            ahead_of: chronicle::steps(ahead_of),
        }),
        StepState::NotApplicable { by, at, reason } => Some(Record {
            what: Key("step-not-applicable"),
            by: chronicle::actor(language, by),
            at: *at,
            text: reason.clone(),
            evidence: Vec::new(),
            findings: Vec::new(),
            outcome: None,
            ahead_of: String::new(),
        }),
    }
}
