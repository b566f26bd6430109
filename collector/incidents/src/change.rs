//! What the change log records. The log is append-only; everything else about alerts and incidents is
//! derived from it. Reasons that the program writes by itself are in Vietnamese, the language of the offices'
//! records.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::finding::Finding;
use wardwatch_policies::ids::{AgentId, EndpointKind, ProcedureId, RuleId, StepId, UnitId};
use wardwatch_policies::release::{Target, Version};
use wardwatch_policies::severity::Severity;
use wardwatch_policies::text::Text;
use wardwatch_policies::time::UnixMillis;

/// Numbers alerts in the order they were raised, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AlertId(pub i64);

/// An incident's number as offices write it: the year it was raised in and a running number, as in `2026-0007`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IncidentId {
    pub year: i16,
    pub number: u32,
}

/// Who made a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actor {
    /// The collector by itself.
    Collector,
    /// A detection rule.
    Rule(RuleId),
    /// A person, by the name they signed in with.
    User(String),
    /// Whoever holds the local admin credential on the collector's machine.
    LocalAdmin,
}

/// How a step that is an examination came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Pass,
    Fail,
}

/// A file kept as evidence, addressed by its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceFile {
    pub digest: Digest,
    pub name: String,
    /// Bytes.
    pub size: u64,
}

/// One change of the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "change")]
pub enum Change {
    AlertRaised {
        alert: AlertId,
        endpoint: AgentId,
        unit: UnitId,
        rule: RuleId,
        severity: Severity,
        fingerprint: String,
        finding: Finding,
    },
    AlertRepeated {
        alert: AlertId,
        /// Differs from the alert's first endpoint where one alert stands for a whole unit.
        endpoint: AgentId,
        rule: RuleId,
        severity: Severity,
        finding: Finding,
    },
    /// One endpoint of an alert that stands for several is well again.
    AlertEased {
        alert: AlertId,
        endpoint: AgentId,
    },
    AlertClosed {
        alert: AlertId,
        reason: String,
    },
    /// New findings count up the alert but do not bring it back before `until`.
    AlertSilenced {
        alert: AlertId,
        until: UnixMillis,
        reason: String,
    },

    IncidentRaised {
        incident: IncidentId,
        procedure: ProcedureId,
        /// In both languages when a rule raised it; a person's words stand in both alike.
        title: Text,
        severity: Severity,
        alerts: Vec<AlertId>,
        reason: String,
    },
    AlertAttached {
        incident: IncidentId,
        alert: AlertId,
        /// The alert's. A graver alert makes the incident as grave.
        severity: Severity,
    },
    /// Whether the incident is serious in the procedure's sense, with the criteria that decided it.
    SeriousnessAssessed {
        incident: IncidentId,
        serious: bool,
        reason: String,
    },
    StepDone {
        incident: IncidentId,
        round: u32,
        step: StepId,
        note: String,
        evidence: Vec<EvidenceFile>,
        /// Alerts of this incident whose findings are the evidence.
        findings: Vec<AlertId>,
        /// Steps that are advised to come first and were still open.
        ahead_of: Vec<StepId>,
        /// Only of steps that are examinations.
        outcome: Option<Outcome>,
    },
    StepNotApplicable {
        incident: IncidentId,
        round: u32,
        step: StepId,
        reason: String,
    },
    /// The step is pending in this round; what it was before stays readable.
    StepReopened {
        incident: IncidentId,
        round: u32,
        step: StepId,
        reason: String,
    },
    RoundOpened {
        incident: IncidentId,
        round: u32,
        steps: Vec<StepId>,
        reason: String,
    },
    /// Closes the incident's alerts with it.
    IncidentClosed {
        incident: IncidentId,
    },

    EndpointEnrolled {
        endpoint: AgentId,
        unit: UnitId,
        kind: EndpointKind,
        hostname: String,
        token: u64,
        /// Lower-case hex without leading zeros.
        serial: String,
        pending: bool,
    },
    EndpointApproved {
        endpoint: AgentId,
    },
    EndpointRemoved {
        endpoint: AgentId,
        reason: String,
    },
    TokenCreated {
        token: u64,
        unit: UnitId,
        kind: EndpointKind,
        uses: u64,
        expires: UnixMillis,
    },
    TokenRevoked {
        token: u64,
    },
    UserCreated {
        user: String,
    },
    PasswordChanged {
        user: String,
    },
    CommandIssued {
        endpoint: AgentId,
        command: u64,
        action: String,
    },
    ReleaseAdded {
        version: Version,
        target: Target,
        /// Of the program.
        digest: Digest,
        /// Bytes.
        size: u64,
    },
    /// A release that was held got another signature, such as of a new release key.
    ReleaseSignedAnew {
        version: Version,
        target: Target,
    },
    /// A version goes to a group of endpoints, to a share of them first.
    RolloutBegun {
        rollout: u64,
        version: Version,
        /// `None`: every unit.
        unit: Option<UnitId>,
        /// `None`: every kind.
        kind: Option<EndpointKind>,
        canary_percent: u8,
    },
    RolloutWidened {
        rollout: u64,
    },
    RolloutStopped {
        rollout: u64,
        reason: String,
    },
}

impl Change {
    /// The incident this change belongs to.
    #[must_use]
    pub const fn incident(&self) -> Option<IncidentId> {
        match self {
            Self::IncidentRaised { incident, .. }
            | Self::AlertAttached { incident, .. }
            | Self::SeriousnessAssessed { incident, .. }
            | Self::StepDone { incident, .. }
            | Self::StepNotApplicable { incident, .. }
            | Self::StepReopened { incident, .. }
            | Self::RoundOpened { incident, .. }
            | Self::IncidentClosed { incident } => Some(*incident),
            _ => None,
        }
    }

    /// The one alert this change belongs to. An incident's changes name its alerts themselves.
    #[must_use]
    pub const fn alert(&self) -> Option<AlertId> {
        match self {
            Self::AlertRaised { alert, .. }
            | Self::AlertRepeated { alert, .. }
            | Self::AlertEased { alert, .. }
            | Self::AlertClosed { alert, .. }
            | Self::AlertSilenced { alert, .. }
            | Self::AlertAttached { alert, .. } => Some(*alert),
            _ => None,
        }
    }
}

impl fmt::Display for AlertId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:04}", self.year, self.number)
    }
}

/// The text is not an incident's number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not an incident number; write the year and the number, as in 2026-0007")]
pub struct InvalidIncidentId(String);

impl FromStr for IncidentId {
    type Err = InvalidIncidentId;

    fn from_str(text: &str) -> Result<Self, InvalidIncidentId> {
        let parse = || {
            let (year, number) = text.split_once('-')?;
            let id = Self { year: year.parse().ok()?, number: number.parse().ok()? };
            (id.to_string() == text).then_some(id)
        };
        parse().ok_or_else(|| InvalidIncidentId(text.chars().take(40).collect()))
    }
}

impl TryFrom<String> for IncidentId {
    type Error = InvalidIncidentId;

    fn try_from(text: String) -> Result<Self, InvalidIncidentId> {
        text.parse()
    }
}

impl From<IncidentId> for String {
    fn from(id: IncidentId) -> Self {
        id.to_string()
    }
}
