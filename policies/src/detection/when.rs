//! What a rule asks of a finding. An empty list asks nothing.

use serde::Deserialize;

use super::Subject;
use crate::file::{FileKind, FileState, Sighting};
use crate::finding::{Finding, StreamReason};
use crate::ids::{CheckId, EndpointKind, PolicyId};
use crate::path::EndpointPath;
use crate::release::UpgradeOutcome;
use crate::severity::Severity;
use crate::verdict::Verdict;

/// The finding a rule is about, and what must hold of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "finding", deny_unknown_fields)]
pub enum When {
    File(FileWhen),
    Check {
        #[serde(default)]
        policy: Vec<PolicyId>,
        #[serde(default)]
        check: Vec<CheckId>,
        #[serde(default)]
        check_severity: Vec<Severity>,
        #[serde(default)]
        old: Vec<VerdictState>,
        #[serde(default)]
        new: Vec<VerdictState>,
    },
    Blind,
    StreamOpened {
        #[serde(default)]
        reason: Vec<StreamReason>,
    },
    Fork,
    IdentityCloned,
    Silent {
        #[serde(default)]
        endpoint: Vec<EndpointKind>,
    },
    Heard,
    Upgrade {
        #[serde(default)]
        outcome: Vec<UpgradeState>,
    },
}

/// What must hold of a file finding.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileWhen {
    /// The path is one of these folders, or below one.
    #[serde(default)]
    path_within: Vec<EndpointPath>,
    #[serde(default)]
    path_is: Vec<EndpointPath>,
    #[serde(default)]
    file_name: Vec<String>,
    #[serde(default)]
    old: Vec<SightingState>,
    #[serde(default)]
    new: Vec<SightingState>,
    /// By content, before or after.
    #[serde(default)]
    kind: Vec<FileKind>,
    /// Before or after.
    set_id: Option<bool>,
    /// Whether the digest differs, where both were read.
    content_changed: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SightingState {
    Present,
    Unreadable,
    Absent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerdictState {
    Pass,
    Fail,
    NotApplicable,
    Unknown,
    /// Never evaluated before.
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpgradeState {
    Healthy,
    Returned,
    Refused,
    NotAllowed,
    Withdrawn,
}

impl When {
    pub(super) fn matches(&self, subject: Subject<'_>) -> bool {
        match (self, subject.finding) {
            (Self::File(when), Finding::File { path, old, new }) => when.matches(path, old, new),
            (
                Self::Check { policy, check, check_severity, old, new },
                Finding::Check { policy: its_policy, check: its_check, old: its_old, new: its_new, .. },
            ) => {
                asks(policy, its_policy)
                    && asks(check, its_check)
                    && (check_severity.is_empty()
                        || subject.check_severity.is_some_and(|severity| check_severity.contains(&severity)))
                    && asks(old, &VerdictState::of(its_old.as_ref()))
                    && asks(new, &VerdictState::of(Some(its_new)))
            }
            (Self::StreamOpened { reason }, Finding::StreamOpened { reason: its_reason }) => {
                asks(reason, its_reason)
            }
            (Self::Silent { endpoint }, Finding::Silent { .. }) => asks(endpoint, &subject.kind),
            (Self::Upgrade { outcome }, Finding::Upgrade { outcome: its_outcome, .. }) => {
                asks(outcome, &UpgradeState::of(its_outcome))
            }
            (Self::Blind, Finding::Blind { .. })
            | (Self::Fork, Finding::Fork { .. })
            | (Self::IdentityCloned, Finding::IdentityCloned)
            | (Self::Heard, Finding::Heard) => true,
            _ => false,
        }
    }
}

impl FileWhen {
    fn matches(&self, path: &EndpointPath, old: &Sighting, new: &Sighting) -> bool {
        let states: Vec<&FileState> = [old, new].into_iter().filter_map(present).collect();
        let content_changed = match (present(old), present(new)) {
            (Some(old), Some(new)) => Some(old.digest != new.digest),
            _ => None,
        };
        let name_matches = |name: &String| path.is_named(name.as_bytes());
        (self.path_within.is_empty()
            || self.path_within.iter().any(|folder| path.is_within(folder.as_bytes())))
            && (self.path_is.is_empty() || self.path_is.iter().any(|wanted| path.is_same(wanted)))
            && (self.file_name.is_empty() || self.file_name.iter().any(name_matches))
            && asks(&self.old, &SightingState::of(old))
            && asks(&self.new, &SightingState::of(new))
            && (self.kind.is_empty() || states.iter().any(|state| self.kind.contains(&state.kind)))
            && self.set_id.is_none_or(|wanted| states.iter().any(|state| state.is_set_id()) == wanted)
            && self.content_changed.is_none_or(|wanted| content_changed == Some(wanted))
    }
}

fn asks<T: PartialEq>(wanted: &[T], found: &T) -> bool {
    wanted.is_empty() || wanted.contains(found)
}

const fn present(sighting: &Sighting) -> Option<&FileState> {
    match sighting {
        Sighting::Present(state) => Some(state),
        Sighting::Unreadable(_) | Sighting::Absent => None,
    }
}

impl SightingState {
    const fn of(sighting: &Sighting) -> Self {
        match sighting {
            Sighting::Present(_) => Self::Present,
            Sighting::Unreadable(_) => Self::Unreadable,
            Sighting::Absent => Self::Absent,
        }
    }
}

impl UpgradeState {
    const fn of(outcome: &UpgradeOutcome) -> Self {
        match outcome {
            UpgradeOutcome::Healthy => Self::Healthy,
            UpgradeOutcome::Returned { .. } => Self::Returned,
            UpgradeOutcome::Refused { .. } => Self::Refused,
            UpgradeOutcome::NotAllowed => Self::NotAllowed,
            UpgradeOutcome::Withdrawn => Self::Withdrawn,
        }
    }
}

impl VerdictState {
    const fn of(verdict: Option<&Verdict>) -> Self {
        match verdict {
            None => Self::None,
            Some(Verdict::Pass) => Self::Pass,
            Some(Verdict::Fail) => Self::Fail,
            Some(Verdict::NotApplicable) => Self::NotApplicable,
            Some(Verdict::Unknown(_)) => Self::Unknown,
        }
    }
}
