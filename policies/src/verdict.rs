//! What a check answers. How it comes to its answer stands in the policy language.

use serde::{Deserialize, Serialize};

use crate::ids::{CheckId, PolicyId};

/// The answer of one check. What was not looked at is `Unknown`, never `Pass`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "verdict", content = "reason")]
pub enum Verdict {
    Pass,
    Fail,
    NotApplicable,
    /// It could not be seen, with the reason in English.
    Unknown(String),
}

impl Verdict {
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::NotApplicable => "not-applicable",
            Self::Unknown(_) => "unknown",
        }
    }

    /// The verdict of this word; `reason` is kept only where it could not be seen.
    #[must_use]
    pub fn parse(word: &str, reason: Option<String>) -> Option<Self> {
        match word {
            "pass" => Some(Self::Pass),
            "fail" => Some(Self::Fail),
            "not-applicable" => Some(Self::NotApplicable),
            "unknown" => Some(Self::Unknown(reason.unwrap_or_default())),
            _ => None,
        }
    }
}

/// One thing that was read for a verdict. Secrets are masked before they come here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What was read and where, as in `/etc/ssh/sshd_config: PermitRootLogin`.
    pub subject: String,
    pub expected: String,
    pub found: String,
}

/// The verdict of one check with what it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    pub check: CheckId,
    #[serde(flatten)]
    pub verdict: Verdict,
    pub evidence: Vec<Evidence>,
}

/// The results of one policy at one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyResults {
    pub policy: PolicyId,
    /// The digest of the policy's text, which names the exact version that was evaluated.
    pub version: crate::digest::Digest,
    pub results: Vec<CheckResult>,
}
