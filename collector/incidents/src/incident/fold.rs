//! How each change moves an incident on. The log is the truth: gates are not asked again here, but a change
//! that has no place in the state is reported.

use std::collections::BTreeMap;

use wardwatch_policies::ids::StepId;
use wardwatch_policies::procedure::Procedure;
use wardwatch_policies::time::UnixMillis;

use super::{Incident, IncidentState, Round, Seriousness, StepRecord, StepState};
use crate::alert::Inconsistent;
use crate::chain::LogEntry;
use crate::change::{Actor, Change};

impl Incident {
    /// The incident that this change raises, if it raises one under this procedure.
    #[must_use]
    pub fn raised(procedure: &Procedure, at: UnixMillis, actor: &Actor, change: &Change) -> Option<Self> {
        let Change::IncidentRaised { incident, procedure: its_procedure, title, severity, alerts, reason } =
            change
        else {
            return None;
        };
        if *its_procedure != procedure.id {
            return None;
        }
        let first = Round {
            number: 1,
            opened: at,
            opened_by: actor.clone(),
            reason: None,
            steps: procedure.steps().map(|step| (step.id.clone(), StepRecord::default())).collect(),
        };
        Some(Self {
            id: *incident,
            procedure: procedure.id.clone(),
            title: title.clone(),
            severity: *severity,
            reason: reason.clone(),
            raised_by: actor.clone(),
            raised: at,
            changed: at,
            alerts: alerts.iter().copied().collect(),
            seriousness: None,
            rounds: vec![first],
            state: IncidentState::Open { since: at },
        })
    }

    /// The state after a change. Changes of other incidents leave it as it is.
    ///
    /// # Errors
    /// The change has no place in this state: an unknown step, another round than the current one, a change
    /// after closing.
    pub fn apply(mut self, at: UnixMillis, actor: &Actor, change: &Change) -> Result<Self, Inconsistent> {
        if change.incident() != Some(self.id) {
            return Ok(self);
        }
        if !self.is_open() {
            return Err(self.contradiction("changes after it was closed"));
        }
        match change {
            Change::AlertAttached { alert, severity, .. } => {
                self.alerts.insert(*alert);
                self.severity = self.severity.max(*severity);
            }
            Change::SeriousnessAssessed { serious, reason, .. } => {
                self.seriousness =
                    Some(Seriousness { serious: *serious, reason: reason.clone(), by: actor.clone(), at });
            }
            Change::StepDone { round, step, note, evidence, findings, ahead_of, outcome, .. } => {
                let done = StepState::Done {
                    by: actor.clone(),
                    at,
                    note: note.clone(),
                    evidence: evidence.clone(),
                    findings: findings.clone(),
                    outcome: *outcome,
                    ahead_of: ahead_of.clone(),
                };
                self.settle(*round, step, done)?;
            }
            Change::StepNotApplicable { round, step, reason, .. } => {
                let state = StepState::NotApplicable { by: actor.clone(), at, reason: reason.clone() };
                self.settle(*round, step, state)?;
            }
            Change::StepReopened { round, step, .. } => self.settle(*round, step, StepState::Pending)?,
            Change::RoundOpened { round, steps, reason, .. } => {
                self.open_round(*round, steps, reason, at, actor)?;
            }
            Change::IncidentClosed { .. } => self.state = IncidentState::Closed { at, by: actor.clone() },
            _ => return Err(self.contradiction("is raised a second time")),
        }
        self.changed = at;
        Ok(self)
    }

    /// An incident from its log entries, the oldest first. Entries of other incidents may be among them once
    /// it is raised.
    ///
    /// # Errors
    /// The entries contradict each other.
    pub fn replay<'a>(
        procedure: &Procedure,
        entries: impl IntoIterator<Item = &'a LogEntry>,
    ) -> Result<Option<Self>, Inconsistent> {
        let mut state = None;
        for LogEntry { at, actor, change, .. } in entries {
            state = match state {
                Some(incident) => Some(Self::apply(incident, *at, actor, change)?),
                None => Self::raised(procedure, *at, actor, change),
            };
        }
        Ok(state)
    }

    fn settle(&mut self, round: u32, step: &StepId, state: StepState) -> Result<(), Inconsistent> {
        if round != self.current_round().number {
            return Err(self.contradiction(&format!(
                "changes step {step} of round {round}, which is not the current one"
            )));
        }
        if self.step(step).is_none() {
            return Err(self.contradiction(&format!("has no step {step}")));
        }
        if let Some(current) = self.rounds.last_mut() {
            match current.steps.get_mut(step) {
                Some(record) => {
                    let before = std::mem::replace(&mut record.state, state);
                    if before.is_settled() {
                        record.superseded.push(before);
                    }
                }
                None => {
                    current.steps.insert(step.clone(), StepRecord { state, superseded: Vec::new() });
                }
            }
        }
        Ok(())
    }

    fn open_round(
        &mut self,
        number: u32,
        steps: &[StepId],
        reason: &str,
        at: UnixMillis,
        actor: &Actor,
    ) -> Result<(), Inconsistent> {
        if number != self.current_round().number + 1 {
            return Err(self.contradiction(&format!("opens round {number} out of turn")));
        }
        if let Some(unknown) = steps.iter().find(|step| self.step(step).is_none()) {
            return Err(self.contradiction(&format!("has no step {unknown}")));
        }
        let steps: BTreeMap<_, _> = steps.iter().map(|step| (step.clone(), StepRecord::default())).collect();
        self.rounds.push(Round {
            number,
            opened: at,
            opened_by: actor.clone(),
            reason: Some(reason.to_owned()),
            steps,
        });
        Ok(())
    }

    fn contradiction(&self, what: &str) -> Inconsistent {
        Inconsistent(format!("incident {} {what}", self.id))
    }
}
