//! An incident's state: a fold over the changes that name it.
//!
//! A round holds what was settled in it. When an examination fails, a new round takes the steps that are to be
//! repeated; earlier rounds stay as they were. Which commands are accepted is decided in `operate`, what a page
//! shows of a step in `view`.

mod fold;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use wardwatch_policies::ids::{ProcedureId, StepId};
use wardwatch_policies::procedure::{Procedure, Step};
use wardwatch_policies::severity::Severity;
use wardwatch_policies::text::Text;
use wardwatch_policies::time::UnixMillis;

use crate::change::{Actor, AlertId, EvidenceFile, IncidentId, Outcome};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    pub id: IncidentId,
    pub procedure: ProcedureId,
    pub title: Text,
    pub severity: Severity,
    pub reason: String,
    pub raised_by: Actor,
    pub raised: UnixMillis,
    pub changed: UnixMillis,
    pub alerts: BTreeSet<AlertId>,
    /// `None` until somebody has assessed it.
    pub seriousness: Option<Seriousness>,
    /// Never empty; the last is the current one.
    pub rounds: Vec<Round>,
    pub state: IncidentState,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum IncidentState {
    Open { since: UnixMillis },
    Closed { at: UnixMillis, by: Actor },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seriousness {
    pub serious: bool,
    pub reason: String,
    pub by: Actor,
    pub at: UnixMillis,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Round {
    /// Counted from 1.
    pub number: u32,
    pub opened: UnixMillis,
    pub opened_by: Actor,
    /// Why the steps are repeated; `None` in the first round.
    pub reason: Option<String>,
    /// The steps this round is to repeat, and those settled while it was the current one. The first round has
    /// all.
    pub steps: BTreeMap<StepId, StepRecord>,
}

/// What one round holds of a step.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct StepRecord {
    #[serde(flatten)]
    pub state: StepState,
    /// What it was before, oldest first: taken back, or followed by a further record.
    pub superseded: Vec<StepState>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum StepState {
    #[default]
    Pending,
    Done {
        by: Actor,
        at: UnixMillis,
        note: String,
        evidence: Vec<EvidenceFile>,
        /// Alerts whose findings are the evidence.
        findings: Vec<AlertId>,
        /// Of examinations.
        outcome: Option<Outcome>,
        /// Advised to come first, and still open then.
        ahead_of: Vec<StepId>,
    },
    NotApplicable {
        by: Actor,
        at: UnixMillis,
        reason: String,
    },
}

impl StepState {
    /// Done or not applicable.
    #[must_use]
    pub const fn is_settled(&self) -> bool {
        !matches!(self, Self::Pending)
    }

    #[must_use]
    pub const fn is_passed(&self) -> bool {
        matches!(self, Self::Done { outcome: Some(Outcome::Pass), .. })
    }

    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Done { .. } => "done",
            Self::NotApplicable { .. } => "not-applicable",
        }
    }
}

impl Incident {
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.state, IncidentState::Open { .. })
    }

    #[must_use]
    pub fn current_round(&self) -> &Round {
        self.rounds.last().expect("the change that raises an incident opens its first round")
    }

    /// What counts of a step: its record in the latest round that has one, with that round's number.
    #[must_use]
    pub fn step(&self, id: &StepId) -> Option<(u32, &StepRecord)> {
        self.rounds.iter().rev().find_map(|round| round.steps.get(id).map(|record| (round.number, record)))
    }

    /// Whether the step is done or not applicable. Unknown steps are not.
    #[must_use]
    pub fn is_settled(&self, id: &StepId) -> bool {
        self.step(id).is_some_and(|(_, record)| record.state.is_settled())
    }

    /// Whether the incident has been assessed as serious.
    #[must_use]
    pub fn is_serious(&self) -> bool {
        self.seriousness.as_ref().is_some_and(|assessed| assessed.serious)
    }

    /// Whether the examination's latest outcome is a pass.
    #[must_use]
    pub fn has_passed(&self, examination: &StepId) -> bool {
        self.step(examination).is_some_and(|(_, record)| record.state.is_passed())
    }

    /// The steps to do now: pending, not held by a gate, and nothing advised before them still open.
    #[must_use]
    pub fn next_steps<'p>(&self, procedure: &'p Procedure) -> Vec<&'p Step> {
        if !self.is_open() {
            return Vec::new();
        }
        let possible = || {
            procedure
                .steps()
                .filter(|step| !self.is_settled(&step.id) && crate::view::gate(self, step).is_none())
        };
        let ready: Vec<_> =
            possible().filter(|step| crate::view::advice(procedure, self, step).is_empty()).collect();
        if ready.is_empty() { possible().take(1).collect() } else { ready }
    }
}

#[cfg(test)]
mod tests;
