//! What the shipped rules and policies say of themselves, in the page's language.
//!
//! A record may name a rule or a check that this version does not have; then its id stands for it.

use wardwatch_policies::detection;
use wardwatch_policies::policy::Check;
use wardwatch_policies::severity::Severity;
use wardwatch_policies::shipped;
use wardwatch_policies::text::Language;

use super::language::Words as _;

/// A detection rule for a person.
pub(super) struct RuleWords {
    pub title: String,
    pub why: String,
    /// What to do first.
    pub first: String,
}

pub(super) fn rule(language: Language, id: &str) -> RuleWords {
    let known = id.parse().ok().and_then(|id| detection::city().rule(&id));
    match known {
        Some(rule) => RuleWords {
            title: rule.title.get(language).to_owned(),
            why: rule.why.get(language).to_owned(),
            first: rule.first.get(language).to_owned(),
        },
        None => RuleWords {
            title: id.to_owned(),
            why: language.text("rule-unknown").into_owned(),
            first: language.text("first-other").into_owned(),
        },
    }
}

/// A check for a person.
pub(super) struct CheckWords {
    pub title: String,
    pub why: String,
    pub remedy: String,
    /// The documents it comes from.
    pub source: String,
}

fn known(policy: &str, id: &str) -> Option<&'static Check> {
    shipped::named(policy)?.check(&id.parse().ok()?)
}

/// How bad it is that a check fails, if this version has it.
pub(super) fn severity(policy: &str, id: &str) -> Option<Severity> {
    known(policy, id).map(|check| check.severity)
}

pub(super) fn check(language: Language, policy: &str, id: &str) -> CheckWords {
    match known(policy, id) {
        Some(check) => CheckWords {
            title: check.title.get(language).to_owned(),
            why: check.why.get(language).to_owned(),
            remedy: check.remedy.get(language).to_owned(),
            source: check.source.join("; "),
        },
        None => CheckWords {
            title: id.to_owned(),
            why: String::new(),
            remedy: String::new(),
            source: String::new(),
        },
    }
}
