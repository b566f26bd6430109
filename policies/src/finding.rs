//! Findings: what detection rules match. An agent's reports and the collector's own watch over them become
//! findings; which of them raises an alert is decided by the rules, not here.

use serde::{Deserialize, Serialize};

use crate::file::Sighting;
use crate::ids::{CheckId, PolicyId};
use crate::path::EndpointPath;
use crate::release::{UpgradeOutcome, Version};
use crate::time::UnixMillis;
use crate::verdict::{Evidence, Verdict};

/// One fact about an endpoint that may need a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "finding")]
pub enum Finding {
    /// A file is not what it was.
    File { path: EndpointPath, old: Sighting, new: Sighting },
    /// A check's verdict is not what it was; `old` is `None` when it was never evaluated before.
    Check { policy: PolicyId, check: CheckId, old: Option<Verdict>, new: Verdict, evidence: Vec<Evidence> },
    /// The agent could not watch below `root` for a while; a scan has looked at it again since.
    Blind { root: EndpointPath, from: UnixMillis, to: UnixMillis, reason: String },
    /// The agent began a new stream of reports.
    StreamOpened { reason: StreamReason },
    /// Two different reports came under one sequence number; the second was refused.
    Fork { seq: u64 },
    /// Two running agents use one identity.
    IdentityCloned,
    /// Nothing was heard since the given time, longer than this kind of endpoint may be silent.
    Silent { since: UnixMillis },
    /// The endpoint is heard again.
    Heard,
    /// The agent was asked to become another version, and this came of it.
    Upgrade {
        /// `None` where nobody could say.
        version: Option<Version>,
        #[serde(flatten)]
        outcome: UpgradeOutcome,
    },
}

/// Why an agent began a new stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StreamReason {
    /// Enrolled just now.
    FirstStart,
    /// The outbox was missing or could not be read.
    StateLost,
    /// The collector had acknowledged more than the outbox ever wrote: it is an old copy.
    StateRolledBack,
    /// The collector asks for reports that it acknowledged before: it was restored from an older backup.
    CollectorRestored,
}

impl Finding {
    /// What makes two findings of one endpoint the same matter: they count up one alert.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        match self {
            Self::File { path, .. } => format!("file:{path}"),
            Self::Check { policy, check, .. } => format!("check:{policy}/{check}"),
            Self::Blind { root, .. } => format!("blind:{root}"),
            Self::StreamOpened { .. } => "stream".into(),
            Self::Fork { .. } => "fork".into(),
            Self::IdentityCloned => "cloned".into(),
            Self::Silent { .. } | Self::Heard => "silence".into(),
            // A refusal may mean that somebody speaks in the collector's name: a version that is well, or one that
            // is not, says nothing of that.
            Self::Upgrade { outcome: UpgradeOutcome::Refused { .. }, .. } => "upgrade-refused".into(),
            // Without the version: a later one that is well ends the matter.
            Self::Upgrade { .. } => "upgrade".into(),
        }
    }
}
