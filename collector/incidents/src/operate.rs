//! What a person does with alerts and incidents: a command either becomes changes or is refused in words.
//!
//! The hard gates stand here: evidence or a reason for every step, steps that wait for a passed examination,
//! and steps that are for serious incidents only. All other order is advice, recorded with the step. Who may give a command is the page's
//! concern.

mod refused;

use std::collections::BTreeSet;

use wardwatch_policies::ids::StepId;
use wardwatch_policies::procedure::{Condition, Procedure, Step};
use wardwatch_policies::severity::Severity;
use wardwatch_policies::text::Text;
use wardwatch_policies::time::UnixMillis;

use crate::alert::Alert;
use crate::change::{AlertId, Change, EvidenceFile, IncidentId, Outcome};
use crate::incident::{Incident, StepState};
use crate::view::{self, Gate};

pub use refused::{Refused, Words};

/// The longest note, reason or title, in characters.
pub const MAX_TEXT_CHARS: usize = 10_000;
/// The most evidence files, or findings, of one step.
pub const MAX_EVIDENCE: usize = 100;
/// The longest silence of an alert that page and API offer: a year.
pub const MAX_SILENCE_HOURS: u32 = 366 * 24;

/// What a person asks for in an open incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    AssessSeriousness {
        serious: bool,
        reason: String,
    },
    /// Needs a file, a finding or a note; the note is signed by whoever gives the command.
    Complete(Completion),
    MarkNotApplicable {
        step: StepId,
        reason: String,
    },
    /// Takes back what was settled in the current round.
    Reopen {
        step: StepId,
        reason: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    pub step: StepId,
    pub note: String,
    pub evidence: Vec<EvidenceFile>,
    /// Alerts of this incident whose findings are the evidence.
    pub findings: Vec<AlertId>,
    /// Of examinations, and of them always.
    pub outcome: Option<Outcome>,
    /// After a failed examination: the steps of the new round. Empty: all that the procedure allows.
    pub repeat: Vec<StepId>,
}

/// An incident that a person raises, from alerts or from what they were told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raise {
    pub title: String,
    pub severity: Severity,
    pub reason: String,
}

/// Raises an incident. `alerts` may be empty: a telephone call is enough.
///
/// # Errors
/// Title or reason is missing, or an alert belongs to another incident.
pub fn raise(
    procedure: &Procedure,
    id: IncidentId,
    raise: Raise,
    alerts: &[&Alert],
) -> Result<Vec<Change>, Refused> {
    let title = written(&raise.title, || Refused::TitleMissing)?;
    let reason = written(&raise.reason, || Refused::ReasonMissing)?;
    if let Some((alert, incident)) = alerts.iter().find_map(|alert| Some((alert.id, alert.incident?))) {
        return Err(Refused::AlertElsewhere { alert, incident });
    }
    let alerts: BTreeSet<_> = alerts.iter().map(|alert| alert.id).collect();
    Ok(vec![Change::IncidentRaised {
        incident: id,
        procedure: procedure.id.clone(),
        title: Text { vi: title.clone(), en: title },
        severity: raise.severity,
        alerts: alerts.into_iter().collect(),
        reason,
    }])
}

/// Adds an alert to an incident.
///
/// # Errors
/// The incident is closed, or the alert belongs to another one.
pub fn attach(incident: &Incident, alert: &Alert) -> Result<Vec<Change>, Refused> {
    if !incident.is_open() {
        return Err(Refused::IncidentClosed { incident: incident.id });
    }
    match alert.incident {
        Some(own) if own == incident.id => Ok(Vec::new()),
        Some(other) => Err(Refused::AlertElsewhere { alert: alert.id, incident: other }),
        None => Ok(vec![Change::AlertAttached {
            incident: incident.id,
            alert: alert.id,
            severity: alert.severity,
        }]),
    }
}

/// Closes an alert that needs no more attention.
///
/// # Errors
/// It is closed already, or the reason is missing.
pub fn close_alert(alert: &Alert, reason: &str) -> Result<Vec<Change>, Refused> {
    let reason = written(reason, || Refused::ReasonMissing)?;
    if alert.is_closed() {
        return Err(Refused::AlertClosed { alert: alert.id });
    }
    Ok(vec![Change::AlertClosed { alert: alert.id, reason }])
}

/// Keeps an alert from bothering anyone before `until`.
///
/// # Errors
/// It is closed, the reason is missing, or `until` is not after `now`.
pub fn silence_alert(
    alert: &Alert,
    until: UnixMillis,
    reason: &str,
    now: UnixMillis,
) -> Result<Vec<Change>, Refused> {
    let reason = written(reason, || Refused::ReasonMissing)?;
    if alert.is_closed() {
        return Err(Refused::AlertClosed { alert: alert.id });
    }
    if until <= now {
        return Err(Refused::SilenceOver);
    }
    Ok(vec![Change::AlertSilenced { alert: alert.id, until, reason }])
}

/// What a command changes in an incident.
///
/// # Errors
/// The incident is closed, a gate holds the step back, or the command lacks what the procedure asks for.
pub fn operate(procedure: &Procedure, incident: &Incident, command: Command) -> Result<Vec<Change>, Refused> {
    if !incident.is_open() {
        return Err(Refused::IncidentClosed { incident: incident.id });
    }
    let operation = Operation { procedure, incident, round: incident.current_round().number };
    match command {
        Command::AssessSeriousness { serious, reason } => operation.assess(serious, &reason),
        Command::Complete(completion) => operation.complete(completion),
        Command::MarkNotApplicable { step, reason } => operation.mark_not_applicable(&step, &reason),
        Command::Reopen { step, reason } => operation.reopen(&step, &reason),
    }
}

struct Operation<'a> {
    procedure: &'a Procedure,
    incident: &'a Incident,
    round: u32,
}

impl Operation<'_> {
    /// Not serious settles the steps for serious incidents with it; serious brings them back.
    fn assess(&self, serious: bool, reason: &str) -> Result<Vec<Change>, Refused> {
        let reason = written(reason, || Refused::ReasonMissing)?;
        let incident = self.incident.id;
        let mut changes = vec![Change::SeriousnessAssessed { incident, serious, reason: reason.clone() }];
        let conditional = self.procedure.steps().filter(|step| step.only_if == Some(Condition::Serious));
        for step in conditional {
            let Some((_, record)) = self.incident.step(&step.id) else { continue };
            let (round, step) = (self.round, step.id.clone());
            match record.state {
                StepState::Pending if !serious => changes.push(Change::StepNotApplicable {
                    incident,
                    round,
                    step,
                    reason: format!("Không nghiêm trọng: {reason}"),
                }),
                StepState::NotApplicable { .. } if serious => changes.push(Change::StepReopened {
                    incident,
                    round,
                    step,
                    reason: format!("Nghiêm trọng: {reason}"),
                }),
                _ => {}
            }
        }
        Ok(changes)
    }

    fn complete(&self, completion: Completion) -> Result<Vec<Change>, Refused> {
        let Completion { step: id, note, evidence, findings, outcome, repeat } = completion;
        let step = self.step(&id)?;
        if self.incident.is_settled(&id) && !step.never_blocked {
            return Err(Refused::Settled { step: id });
        }
        self.pass_gate(step)?;
        let note = bounded(&note)?;
        if note.is_empty() && evidence.is_empty() && findings.is_empty() {
            return Err(Refused::EvidenceMissing { step: id });
        }
        if evidence.len() > MAX_EVIDENCE || findings.len() > MAX_EVIDENCE {
            return Err(Refused::TooMuchEvidence { step: id });
        }
        if let Some(alert) = findings.iter().find(|alert| !self.incident.alerts.contains(alert)) {
            return Err(Refused::FindingElsewhere { alert: *alert });
        }
        match (&step.examination, outcome) {
            (Some(_), None) => return Err(Refused::OutcomeMissing { step: id }),
            (None, Some(_)) => return Err(Refused::NoExamination { step: id }),
            _ => {}
        }
        if outcome != Some(Outcome::Fail) && !repeat.is_empty() {
            return Err(Refused::NothingToRepeat { step: id });
        }
        let again =
            if outcome == Some(Outcome::Fail) { self.steps_of_new_round(step, &repeat)? } else { Vec::new() };
        let incident = self.incident.id;
        let ahead_of = view::advice(self.procedure, self.incident, step);
        let mut changes = vec![Change::StepDone {
            incident,
            round: self.round,
            step: id,
            note: note.clone(),
            evidence,
            findings,
            ahead_of: ahead_of.into_iter().map(|advice| advice.step().clone()).collect(),
            outcome,
        }];
        if outcome == Some(Outcome::Fail) {
            let reason = if note.is_empty() { format!("Bước {} không đạt", step.id) } else { note };
            changes.push(Change::RoundOpened { incident, round: self.round + 1, steps: again, reason });
        }
        if step.closes {
            changes.push(Change::IncidentClosed { incident });
        }
        Ok(changes)
    }

    /// The chosen steps in the procedure's order, the examination always among them.
    fn steps_of_new_round(&self, step: &Step, chosen: &[StepId]) -> Result<Vec<StepId>, Refused> {
        let allowed = step.examination.as_ref().map_or(&[][..], |examination| &examination.reopens);
        if let Some(strange) = chosen.iter().find(|id| !allowed.contains(id)) {
            return Err(Refused::CannotRepeat { step: strange.clone(), allowed: allowed.to_vec() });
        }
        let chosen = if chosen.is_empty() { allowed } else { chosen };
        let again = self.procedure.steps().map(|other| &other.id);
        Ok(again.filter(|id| **id == step.id || chosen.contains(id)).cloned().collect())
    }

    fn mark_not_applicable(&self, id: &StepId, reason: &str) -> Result<Vec<Change>, Refused> {
        let step = self.step(id)?;
        let reason = written(reason, || Refused::ReasonMissing)?;
        if self.incident.is_settled(id) {
            return Err(Refused::Settled { step: id.clone() });
        }
        if step.examination.is_some() || step.closes {
            return Err(Refused::Indispensable { step: id.clone() });
        }
        if let Some(Gate::WaitsFor { examination }) = view::gate(self.incident, step) {
            return Err(Refused::Waits { step: id.clone(), examination });
        }
        let (incident, round, step) = (self.incident.id, self.round, id.clone());
        Ok(vec![Change::StepNotApplicable { incident, round, step, reason }])
    }

    fn reopen(&self, id: &StepId, reason: &str) -> Result<Vec<Change>, Refused> {
        let step = self.step(id)?;
        let reason = written(reason, || Refused::ReasonMissing)?;
        if !self.incident.is_settled(id) {
            return Err(Refused::Pending { step: id.clone() });
        }
        if self.incident.step(id).is_some_and(|(round, _)| round != self.round) {
            return Err(Refused::EarlierRound { step: id.clone() });
        }
        let mut resting = self.procedure.steps().filter(|other| other.waits_for.as_ref() == Some(&step.id));
        if let Some(other) = resting.find(|other| self.incident.is_settled(&other.id)) {
            return Err(Refused::RestsOn { step: id.clone(), other: other.id.clone() });
        }
        let (incident, round, step) = (self.incident.id, self.round, id.clone());
        Ok(vec![Change::StepReopened { incident, round, step, reason }])
    }

    fn step(&self, id: &StepId) -> Result<&Step, Refused> {
        self.procedure.step(id).ok_or_else(|| Refused::UnknownStep { step: id.clone() })
    }

    fn pass_gate(&self, step: &Step) -> Result<(), Refused> {
        match view::gate(self.incident, step) {
            None => Ok(()),
            Some(Gate::WaitsFor { examination }) => {
                Err(Refused::Waits { step: step.id.clone(), examination })
            }
            Some(Gate::NotSerious) => Err(Refused::NotSerious { step: step.id.clone() }),
        }
    }
}

/// A text that may be empty, without blanks around it.
fn bounded(text: &str) -> Result<String, Refused> {
    let text = text.trim();
    if text.chars().count() > MAX_TEXT_CHARS {
        return Err(Refused::TooLong);
    }
    Ok(text.to_owned())
}

fn written(text: &str, missing: impl FnOnce() -> Refused) -> Result<String, Refused> {
    let text = bounded(text)?;
    if text.is_empty() { Err(missing()) } else { Ok(text) }
}

#[cfg(test)]
mod tests;
