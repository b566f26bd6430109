//! An alert's state: a fold over the changes that name it.
//!
//! Whether a finding raises, repeats or closes an alert is decided in `diagnose`; what a person does with one,
//! in `operate`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wardwatch_policies::finding::Finding;
use wardwatch_policies::ids::{AgentId, RuleId, UnitId};
use wardwatch_policies::severity::Severity;
use wardwatch_policies::time::UnixMillis;

use crate::chain::LogEntry;
use crate::change::{Actor, AlertId, Change, IncidentId};

/// Findings of one fingerprint, on one endpoint or in one unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    pub id: AlertId,
    /// The endpoint that was concerned first.
    pub endpoint: AgentId,
    pub unit: UnitId,
    /// The rule of the gravest finding.
    pub rule: RuleId,
    pub severity: Severity,
    pub fingerprint: String,
    /// The latest finding.
    pub finding: Finding,
    pub count: u64,
    pub first_seen: UnixMillis,
    pub last_seen: UnixMillis,
    /// Endpoints that are not well again, each with its latest finding; more than one where the alert stands
    /// for a unit.
    pub concerned: BTreeMap<AgentId, Finding>,
    pub incident: Option<IncidentId>,
    pub state: AlertState,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum AlertState {
    Open,
    /// Counts on, but nobody is bothered before `until`.
    Silenced {
        until: UnixMillis,
        by: Actor,
        reason: String,
    },
    Closed {
        at: UnixMillis,
        by: Actor,
        reason: String,
    },
}

impl AlertState {
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Silenced { .. } => "silenced",
            Self::Closed { .. } => "closed",
        }
    }
}

/// A change stands in the log where it cannot have happened. The log was altered, or was written by a
/// program with a fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the change log contradicts itself: {0}; run `audit verify`")]
pub struct Inconsistent(pub(crate) String);

impl Alert {
    /// The alert that this change raises, if it raises one.
    #[must_use]
    pub fn raised(at: UnixMillis, change: &Change) -> Option<Self> {
        let Change::AlertRaised { alert, endpoint, unit, rule, severity, fingerprint, finding } = change
        else {
            return None;
        };
        Some(Self {
            id: *alert,
            endpoint: endpoint.clone(),
            unit: unit.clone(),
            rule: rule.clone(),
            severity: *severity,
            fingerprint: fingerprint.clone(),
            finding: finding.clone(),
            count: 1,
            first_seen: at,
            last_seen: at,
            concerned: BTreeMap::from([(endpoint.clone(), finding.clone())]),
            incident: None,
            state: AlertState::Open,
        })
    }

    /// The state after a change. Changes that do not concern this alert leave it as it is.
    ///
    /// # Errors
    /// The alert is raised a second time, or changes after it was closed.
    pub fn apply(mut self, at: UnixMillis, actor: &Actor, change: &Change) -> Result<Self, Inconsistent> {
        match change {
            Change::IncidentRaised { incident, alerts, .. } if alerts.contains(&self.id) => {
                self.incident = Some(*incident);
            }
            Change::IncidentClosed { incident } if self.incident == Some(*incident) && !self.is_closed() => {
                let reason = format!("Sự cố {incident} đã đóng");
                self.state = AlertState::Closed { at, by: actor.clone(), reason };
            }
            _ if change.alert() == Some(self.id) => return self.apply_own(at, actor, change),
            _ => {}
        }
        Ok(self)
    }

    fn apply_own(mut self, at: UnixMillis, actor: &Actor, change: &Change) -> Result<Self, Inconsistent> {
        if self.is_closed() && !matches!(change, Change::AlertAttached { .. }) {
            return Err(Inconsistent(format!("alert {} changes after it was closed", self.id)));
        }
        match change {
            Change::AlertRepeated { endpoint, rule, severity, finding, .. } => {
                if *severity > self.severity {
                    self.severity = *severity;
                    self.rule = rule.clone();
                }
                self.concerned.insert(endpoint.clone(), finding.clone());
                self.finding = finding.clone();
                self.count += 1;
                self.last_seen = at;
                if matches!(self.state, AlertState::Silenced { until, .. } if at >= until) {
                    self.state = AlertState::Open;
                }
            }
            Change::AlertEased { endpoint, .. } => {
                self.concerned.remove(endpoint);
            }
            Change::AlertClosed { reason, .. } => {
                self.state = AlertState::Closed { at, by: actor.clone(), reason: reason.clone() };
            }
            Change::AlertSilenced { until, reason, .. } => {
                self.state =
                    AlertState::Silenced { until: *until, by: actor.clone(), reason: reason.clone() };
            }
            Change::AlertAttached { incident, .. } => self.incident = Some(*incident),
            _ => return Err(Inconsistent(format!("alert {} is raised a second time", self.id))),
        }
        Ok(self)
    }

    /// An alert from the log's entries. Those that do not concern it may be among them.
    ///
    /// # Errors
    /// The entries contradict each other.
    pub fn replay<'a>(
        id: AlertId,
        entries: impl IntoIterator<Item = &'a LogEntry>,
    ) -> Result<Option<Self>, Inconsistent> {
        let mut state: Option<Self> = None;
        for LogEntry { at, actor, change, .. } in entries {
            state = match state {
                Some(alert) => Some(alert.apply(*at, actor, change)?),
                None => Self::raised(*at, change).filter(|alert| alert.id == id),
            };
        }
        Ok(state)
    }

    #[must_use]
    pub const fn is_closed(&self) -> bool {
        matches!(self.state, AlertState::Closed { .. })
    }

    /// Whether nobody is to be bothered with it at `now`.
    #[must_use]
    pub fn is_silenced(&self, now: UnixMillis) -> bool {
        matches!(self.state, AlertState::Silenced { until, .. } if now < until)
    }
}

#[cfg(test)]
mod tests;
