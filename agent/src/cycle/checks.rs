//! Evaluates the policies of this kind of endpoint and tells what differs from what was told before.

use wardwatch_policies::digest::Digest;
use wardwatch_policies::ids::EndpointKind;
use wardwatch_policies::shipped;
use wardwatch_policies::verdict::{CheckResult, PolicyResults, Verdict};
use wardwatch_wire::report::Body;

use crate::outbox::{Outbox, OutboxError};
use crate::platform;
use crate::sensor::settings;
use crate::status::PolicyStatus;

/// Bytes of results in one report, about.
const REPORT_BYTES: usize = 48 * 1024;

/// Reads this machine's settings and judges them. Takes a while; not for the thread that keeps the link.
pub(super) fn evaluate(kind: EndpointKind) -> Vec<PolicyResults> {
    settings::evaluate_all(shipped::for_endpoint(kind, settings::SYSTEM), &platform::system_root())
}

/// Tells the results that were not told yet in this stream, or were different.
pub(super) fn tell(outbox: &Outbox, policies: &[PolicyResults]) -> Result<(), OutboxError> {
    let stream = outbox.stream();
    let mut bodies = Vec::new();
    let mut marks = Vec::new();
    for policy in policies {
        let mut changed = Vec::new();
        for result in &policy.results {
            let name = format!("check/{}/{}", policy.policy, result.check);
            let digest = digest_of(policy, result);
            if outbox.mark(&name)? != Some(digest) {
                changed.push(result.clone());
                marks.push((name, digest));
            }
        }
        bodies.extend(chunks(changed).into_iter().map(|results| {
            Body::Verdicts(PolicyResults { policy: policy.policy.clone(), version: policy.version, results })
        }));
    }
    if bodies.is_empty() { Ok(()) } else { outbox.append(stream, bodies, &marks) }
}

/// For the status: how many checks ended how.
pub(super) fn count(policies: &[PolicyResults]) -> Vec<PolicyStatus> {
    policies
        .iter()
        .map(|policy| {
            let of = |wanted: fn(&Verdict) -> bool| {
                policy.results.iter().filter(|result| wanted(&result.verdict)).count() as u64
            };
            PolicyStatus {
                policy: policy.policy.to_string(),
                pass: of(|verdict| matches!(verdict, Verdict::Pass)),
                fail: of(|verdict| matches!(verdict, Verdict::Fail)),
                unknown: of(|verdict| matches!(verdict, Verdict::Unknown(_))),
                not_applicable: of(|verdict| matches!(verdict, Verdict::NotApplicable)),
            }
        })
        .collect()
}

fn digest_of(policy: &PolicyResults, result: &CheckResult) -> Digest {
    Digest::of(&serde_json::to_vec(&(policy.version, result)).unwrap_or_default())
}

fn chunks(results: Vec<CheckResult>) -> Vec<Vec<CheckResult>> {
    let mut chunks: Vec<Vec<CheckResult>> = Vec::new();
    let mut bytes = REPORT_BYTES;
    for result in results {
        let size = serde_json::to_vec(&result).map_or(0, |json| json.len());
        if bytes + size > REPORT_BYTES {
            chunks.push(Vec::new());
            bytes = 0;
        }
        bytes += size;
        if let Some(chunk) = chunks.last_mut() {
            chunk.push(result);
        }
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;
    use wardwatch_policies::verdict::Evidence;

    fn result(check: &str, found: &str) -> CheckResult {
        let evidence = Evidence { subject: "s".into(), expected: "e".into(), found: found.into() };
        CheckResult { check: check.parse().unwrap(), verdict: Verdict::Fail, evidence: vec![evidence] }
    }

    #[test]
    fn many_results_go_in_several_reports_and_none_is_lost() {
        let results: Vec<_> = (0..10).map(|n| result(&format!("c{n}"), &"x".repeat(20_000))).collect();
        let chunks = chunks(results.clone());
        assert_eq!(chunks.len(), 5);
        assert_eq!(chunks.concat(), results);
        assert!(super::chunks(Vec::new()).is_empty());
    }
}
