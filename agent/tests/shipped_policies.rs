//! Runs every check of the shipped policies on small roots, through the sensor that reads real machines.

#[path = "shipped_policies/fixture.rs"]
mod fixture;

use std::collections::BTreeMap;
use std::path::Path;

use fixture::Root;
use wardwatch_agent::sensor::settings::evaluate_all;
use wardwatch_policies::policy::probe::Probe;
use wardwatch_policies::policy::{Check, Condition, Policy};
use wardwatch_policies::shipped;
use wardwatch_policies::system::System;
use wardwatch_policies::verdict::{CheckResult, Verdict};

/// The fixtures of one policy: for each check and each verdict, the roots that bring it about.
#[derive(serde::Deserialize)]
struct Fixtures {
    base: Root,
    #[serde(flatten)]
    checks: BTreeMap<String, BTreeMap<String, Vec<Root>>>,
}

fn of_linux() -> impl Iterator<Item = &'static Policy> {
    shipped::all().filter(|policy| policy.system == Some(System::Linux))
}

fn fixtures(policy: &Policy) -> Fixtures {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../policies/fixtures/{}.toml", policy.id));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn asks_for_owner(condition: &Condition) -> bool {
    match condition {
        Condition::All(branches) | Condition::Any(branches) | Condition::None(branches) => {
            branches.iter().any(asks_for_owner)
        }
        Condition::Not(branch) => asks_for_owner(branch),
        Condition::Probe(probe) => matches!(probe, Probe::Owner { .. }),
    }
}

fn evaluate(policy: &Policy, check: &Check, root: &Path) -> CheckResult {
    let alone = Policy { checks: vec![check.clone()], ..policy.clone() };
    evaluate_all([&alone], root).remove(0).results.remove(0)
}

#[test]
fn every_check_has_a_root_that_passes_and_one_that_fails() {
    for policy in of_linux() {
        let fixtures = fixtures(policy);
        for check in &policy.checks {
            let of_check = fixtures.checks.get(check.id.as_str());
            for verdict in ["pass", "fail"] {
                let has = of_check.is_some_and(|verdicts| verdicts.contains_key(verdict));
                assert!(has, "{}/{}: no fixture for {verdict}", policy.id, check.id);
            }
        }
        for id in fixtures.checks.keys() {
            assert!(
                policy.checks.iter().any(|check| check.id.as_str() == id),
                "{}: no check {id}",
                policy.id
            );
        }
    }
}

#[test]
fn every_root_brings_about_its_verdict() {
    let is_root = rustix::process::geteuid().is_root();
    let mut wrong = Vec::new();
    let mut tried = 0;
    for policy in of_linux() {
        let fixtures = fixtures(policy);
        for check in &policy.checks {
            if !is_root && asks_for_owner(&check.condition) {
                eprintln!("{}/{}: not tried; only root can give files to others", policy.id, check.id);
                continue;
            }
            for (verdict, roots) in fixtures.checks.get(check.id.as_str()).into_iter().flatten() {
                for (index, root) in roots.iter().enumerate() {
                    let folder = fixture::build(&fixtures.base, root, is_root);
                    let result = evaluate(policy, check, folder.path());
                    tried += 1;
                    if result.verdict.as_str() != verdict {
                        wrong.push(format!("{}/{} {verdict} {index}: {result:#?}", policy.id, check.id));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn an_empty_root_passes_nothing_it_cannot_see() {
    let folder = tempfile::tempdir().unwrap();
    for policy in of_linux() {
        for results in evaluate_all([policy], folder.path()) {
            for result in results.results {
                let live = ["telnet", "ftp", "upnp", "only-root-uid-0", "empty-passwords", "ip-forwarding"];
                if live.contains(&result.check.as_str()) {
                    assert_eq!(result.verdict.as_str(), "unknown", "{}/{result:#?}", policy.id);
                }
            }
        }
    }
}

#[test]
fn a_root_that_is_not_there_makes_every_verdict_unknown() {
    for policy in of_linux() {
        for results in evaluate_all([policy], Path::new("/no/such/root")) {
            assert!(results.results.iter().all(|result| result.verdict.as_str() == "unknown"));
        }
    }
}

#[test]
fn a_policy_of_windows_passes_nothing_on_linux() {
    let policy = shipped::named("office-pc-windows").unwrap();
    let mounted = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(mounted.path().join("Windows/System32/config")).unwrap();
    for root in [Path::new("/"), mounted.path()] {
        for result in evaluate_all([policy], root).remove(0).results {
            let Verdict::Unknown(reason) = &result.verdict else { panic!("{result:#?}") };
            assert!(reason.contains("the policy is written for Windows, and this is Linux"), "{reason}");
        }
    }
}

#[test]
fn no_hash_and_no_password_stands_in_evidence() {
    for policy in of_linux() {
        let fixtures = fixtures(policy);
        for check in &policy.checks {
            for root in
                fixtures.checks.get(check.id.as_str()).into_iter().flatten().flat_map(|(_, roots)| roots)
            {
                let folder = fixture::build(&fixtures.base, root, false);
                let result = format!("{:?}", evaluate(policy, check, folder.path()));
                for secret in ["$1$", "$6$", "$y$", "absxcf", "xc3511"] {
                    assert!(!result.contains(secret), "{}/{}: {result}", policy.id, check.id);
                }
            }
        }
    }
}
