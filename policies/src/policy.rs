//! A configuration policy: checks, each a tree of conditions over typed probes, with the words that tell a
//! person why it matters and what to do.
//!
//! These are values only. `parse` makes them from TOML, the agent's sensor answers their readings, `evaluate`
//! judges the answers.

pub mod pattern;
pub mod probe;
pub mod registry;

use std::collections::BTreeSet;

use crate::digest::Digest;
use crate::ids::{CheckId, EndpointKind, PolicyId};
use crate::observation::Reading;
use crate::policy::probe::Probe;
use crate::severity::Severity;
use crate::system::System;
use crate::text::Text;

/// One policy file, parsed and valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    pub id: PolicyId,
    /// The digest of the file's text.
    pub version: Digest,
    /// The kinds of endpoint it is written for.
    pub kinds: Vec<EndpointKind>,
    /// The system it is written for; `None`: any.
    pub system: Option<System>,
    pub title: Text,
    pub checks: Vec<Check>,
}

/// One rule of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub id: CheckId,
    pub title: Text,
    /// What can happen where the check fails.
    pub why: Text,
    /// What to do about a failure.
    pub remedy: Text,
    /// The documents the check comes from, as in `CIS Debian 12 5.1.20`.
    pub source: Vec<String>,
    /// How bad a failure is.
    pub severity: Severity,
    /// Where this does not hold, the check is not applicable.
    pub applies_if: Option<Condition>,
    pub condition: Condition,
}

/// What must hold. A branch that could not be seen is unknown, and stays so unless the others decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Every one holds.
    All(Vec<Condition>),
    /// At least one holds.
    Any(Vec<Condition>),
    /// Not one holds.
    None(Vec<Condition>),
    Not(Box<Condition>),
    Probe(Probe),
}

impl Policy {
    #[must_use]
    pub fn check(&self, id: &CheckId) -> Option<&Check> {
        self.checks.iter().find(|check| check.id == *id)
    }

    /// Everything the sensor has to read before this policy can be evaluated, each once.
    #[must_use]
    pub fn needs(&self) -> BTreeSet<Reading> {
        let mut readings = BTreeSet::new();
        for check in &self.checks {
            check.condition.collect_needs(&mut readings);
            if let Some(applies_if) = &check.applies_if {
                applies_if.collect_needs(&mut readings);
            }
        }
        readings
    }
}

impl Condition {
    fn collect_needs(&self, readings: &mut BTreeSet<Reading>) {
        match self {
            Self::All(branches) | Self::Any(branches) | Self::None(branches) => {
                branches.iter().for_each(|branch| branch.collect_needs(readings));
            }
            Self::Not(branch) => branch.collect_needs(readings),
            Self::Probe(probe) => {
                readings.insert(probe.reading());
            }
        }
    }
}
