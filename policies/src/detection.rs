//! Detection rules as data: which finding raises which alert, which of them an incident at once, and which end
//! an alert. Also how long each kind of endpoint may be silent.
//!
//! The first rule that matches wins; a finding that none matches raises nothing. What follows from a match
//! (repeat, attach, close) is decided by the incidents crate.

mod parse;
mod silence;
mod when;

use std::sync::LazyLock;

use serde::Serialize;

use crate::defect::Defects;
use crate::finding::Finding;
use crate::ids::{EndpointKind, RuleId};
use crate::severity::Severity;
use crate::text::Text;

pub use silence::{Patience, Silence, is_silent};
pub use when::{FileWhen, SightingState, UpgradeState, VerdictState, When};

/// The rules in their order, and the silence thresholds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detection {
    pub rules: Vec<Rule>,
    pub silence: Silence,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rule {
    pub id: RuleId,
    #[serde(skip)]
    pub when: When,
    pub then: Then,
    pub title: Text,
    /// Why this matters.
    pub why: Text,
    /// What to do first.
    pub first: Text,
}

/// What a match brings about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "then")]
pub enum Then {
    Alert {
        severity: Grade,
        scope: Scope,
        /// Raises an incident at once, or joins the open one of the same endpoint and group.
        incident: Option<Group>,
    },
    /// The matter is over: ends the alert of the same fingerprint, and raises nothing.
    Close { scope: Scope },
}

/// Rules of one group lead to one incident of an endpoint, so that 300 changed files are one incident.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Group(String);

impl Group {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where an alert's severity comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grade {
    Fixed(Severity),
    /// The severity that the check's policy gives; medium where the policy is not known.
    OfCheck,
}

impl Grade {
    #[must_use]
    pub fn resolve(self, check_severity: Option<Severity>) -> Severity {
        match self {
            Self::Fixed(severity) => severity,
            Self::OfCheck => check_severity.unwrap_or(Severity::Medium),
        }
    }
}

/// For whom one alert stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    Endpoint,
    /// All endpoints of one unit together.
    Unit,
}

/// A finding with what rules may ask about it.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub finding: &'a Finding,
    pub kind: EndpointKind,
    /// Of the check that the finding is about, where its policy is known.
    pub check_severity: Option<Severity>,
}

impl Rule {
    /// For whom an alert of this rule stands, or which one it closes.
    #[must_use]
    pub const fn scope(&self) -> Scope {
        match self.then {
            Then::Alert { scope, .. } | Then::Close { scope } => scope,
        }
    }

    /// The group of an incident that this rule raises by itself.
    #[must_use]
    pub const fn group(&self) -> Option<&Group> {
        match &self.then {
            Then::Alert { incident, .. } => incident.as_ref(),
            Then::Close { .. } => None,
        }
    }
}

impl Detection {
    /// Reads detection rules. `file` is the name that faults are reported under.
    ///
    /// # Errors
    /// All faults of the text, each with line, column and remedy.
    pub fn parse(file: &str, text: &str) -> Result<Self, Defects> {
        parse::parse(file, text)
    }

    /// The first rule that matches.
    #[must_use]
    pub fn matching(&self, subject: Subject<'_>) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.when.matches(subject))
    }

    #[must_use]
    pub fn rule(&self, id: &RuleId) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.id == *id)
    }

    /// All rules that lead to incidents of this group.
    pub fn rules_of_group(&self, group: &Group) -> impl Iterator<Item = &RuleId> {
        self.rules.iter().filter(move |rule| rule.group() == Some(group)).map(|rule| &rule.id)
    }
}

static CITY: LazyLock<Detection> = LazyLock::new(|| {
    Detection::parse("detections/city.toml", include_str!("../detections/city.toml"))
        .expect("a test reads the shipped rules")
});

/// The detection rules that come with the program.
#[must_use]
pub fn city() -> &'static Detection {
    &CITY
}

#[cfg(test)]
mod tests;
