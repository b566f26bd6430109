//! Judges observations by a policy. Nothing is read here, and the same input always gives the same results.
//!
//! Three values: what could not be seen is unknown, with its reason, unless what was seen decides. So `any`
//! passes on one branch that passes, `all` fails on one that fails, whatever the others are.

mod evidence;
mod judge;

use std::collections::BTreeSet;

use crate::evaluate::evidence::bounded;
use crate::foreign::shorten_to_bytes;
use crate::observation::Observations;
use crate::policy::{Check, Condition, Policy};
use crate::verdict::{CheckResult, Evidence, PolicyResults, Verdict};

/// What a condition comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Truth {
    True,
    False,
    Unknown,
}

/// A truth with what decided it. Branches that did not decide leave no evidence.
#[derive(Debug)]
struct Judgement {
    truth: Truth,
    evidence: Vec<Evidence>,
    /// Why it is unknown; empty unless it is.
    reasons: BTreeSet<String>,
}

/// Evaluates all checks of a policy, in its order.
#[must_use]
pub fn evaluate(policy: &Policy, observations: &Observations) -> PolicyResults {
    PolicyResults {
        policy: policy.id.clone(),
        version: policy.version,
        results: policy.checks.iter().map(|check| evaluate_check(check, observations)).collect(),
    }
}

/// The part of decided checks that pass, in whole percent rounded down: 100 means that not one failed. `None`
/// when none was decided.
#[must_use]
pub fn score<'a>(results: impl IntoIterator<Item = &'a CheckResult>) -> Option<u8> {
    let (mut passed, mut decided) = (0_u64, 0_u64);
    for result in results {
        match result.verdict {
            Verdict::Pass => {
                passed += 1;
                decided += 1;
            }
            Verdict::Fail => decided += 1,
            Verdict::NotApplicable | Verdict::Unknown(_) => {}
        }
    }
    u8::try_from((passed * 100).checked_div(decided)?).ok()
}

fn evaluate_check(check: &Check, observations: &Observations) -> CheckResult {
    let result =
        |verdict, evidence| CheckResult { check: check.id.clone(), verdict, evidence: bounded(evidence) };
    if let Some(applies_if) = &check.applies_if {
        let applies = decide(applies_if, observations, true);
        match applies.truth {
            Truth::True => {}
            Truth::False => return result(Verdict::NotApplicable, applies.evidence),
            Truth::Unknown => return result(Verdict::Unknown(join(&applies.reasons)), applies.evidence),
        }
    }
    let judgement = decide(&check.condition, observations, true);
    let verdict = match judgement.truth {
        Truth::True => Verdict::Pass,
        Truth::False => Verdict::Fail,
        Truth::Unknown => Verdict::Unknown(join(&judgement.reasons)),
    };
    result(verdict, judgement.evidence)
}

fn join(reasons: &BTreeSet<String>) -> String {
    let mut text = String::new();
    for reason in reasons {
        if !text.is_empty() {
            text.push_str("; ");
        }
        text.push_str(reason);
    }
    shorten_to_bytes(&text, evidence::MAX_REASON_BYTES)
}

/// `wanted` is false below a negation: evidence then names the opposite as what was expected.
fn decide(condition: &Condition, observations: &Observations, wanted: bool) -> Judgement {
    match condition {
        Condition::All(branches) => all(branches, observations, wanted),
        Condition::Any(branches) => any(branches, observations, wanted),
        Condition::None(branches) => any(branches, observations, !wanted).negated(),
        Condition::Not(branch) => decide(branch, observations, !wanted).negated(),
        Condition::Probe(probe) => judge::judge(probe, observations, wanted),
    }
}

fn all(branches: &[Condition], observations: &Observations, wanted: bool) -> Judgement {
    combine(branches, observations, wanted, Truth::False, Truth::True)
}

fn any(branches: &[Condition], observations: &Observations, wanted: bool) -> Judgement {
    combine(branches, observations, wanted, Truth::True, Truth::False)
}

/// One branch that is `decisive` decides; else one unknown branch leaves it unknown; else it is `otherwise`.
fn combine(
    branches: &[Condition],
    observations: &Observations,
    wanted: bool,
    decisive: Truth,
    otherwise: Truth,
) -> Judgement {
    let judgements: Vec<_> = branches.iter().map(|branch| decide(branch, observations, wanted)).collect();
    let truth = [decisive, Truth::Unknown]
        .into_iter()
        .find(|truth| judgements.iter().any(|judgement| judgement.truth == *truth))
        .unwrap_or(otherwise);
    let mut combined = Judgement { truth, evidence: Vec::new(), reasons: BTreeSet::new() };
    for judgement in judgements.into_iter().filter(|judgement| judgement.truth == truth) {
        combined.evidence.extend(judgement.evidence);
        combined.reasons.extend(judgement.reasons);
    }
    combined
}

impl Judgement {
    fn negated(self) -> Self {
        let truth = match self.truth {
            Truth::True => Truth::False,
            Truth::False => Truth::True,
            Truth::Unknown => Truth::Unknown,
        };
        Self { truth, ..self }
    }
}

#[cfg(test)]
mod tests;
