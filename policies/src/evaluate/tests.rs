mod registry;

use proptest::prelude::*;

use super::*;
use crate::observation::{KeySeen, Observation, Unreadable};
use crate::parse::parse;

fn policy(condition: &str) -> Policy {
    let text = format!(
        r#"id = "p"
kinds = ["server"]
title = {{ vi = "T", en = "T" }}
[[check]]
id = "c"
severity = "low"
title = {{ vi = "T", en = "T" }}
why = {{ vi = "W", en = "W" }}
remedy = {{ vi = "R", en = "R" }}
source = ["S"]
{condition}
"#
    );
    parse("p.toml", &text).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Sysctls named `t`, `f` and `u` answer 1, 0 and not at all.
fn result(condition: &str) -> CheckResult {
    let policy = policy(condition);
    let observations = policy
        .needs()
        .into_iter()
        .map(|reading| {
            let name = format!("{reading:?}");
            let answer = match name.as_str() {
                name if name.contains("\"t\"") => Ok(Observation::Sysctl(Some("1".into()))),
                name if name.contains("\"f\"") => Ok(Observation::Sysctl(Some("0".into()))),
                _ => Err(Unreadable("permission denied".into())),
            };
            (reading, answer)
        })
        .collect();
    evaluate(&policy, &observations).results.remove(0)
}

fn verdict(form: &str, names: &str) -> Verdict {
    let branches: Vec<_> =
        names.chars().map(|name| format!("{{ probe = \"sysctl\", name = \"{name}\", eq = 1 }}")).collect();
    result(&format!("condition = {{ {form} = [{}] }}", branches.join(", "))).verdict
}

fn unknown() -> Verdict {
    Verdict::Unknown("sysctl u: permission denied".into())
}

#[test]
fn any_passes_on_one_pass_whatever_is_unknown() {
    assert_eq!(verdict("any", "ut"), Verdict::Pass);
    assert_eq!(verdict("any", "uf"), unknown());
    assert_eq!(verdict("any", "ff"), Verdict::Fail);
}

#[test]
fn all_fails_on_one_failure_whatever_is_unknown() {
    assert_eq!(verdict("all", "uf"), Verdict::Fail);
    assert_eq!(verdict("all", "ut"), unknown());
    assert_eq!(verdict("all", "tt"), Verdict::Pass);
}

#[test]
fn none_fails_on_one_that_holds_whatever_is_unknown() {
    assert_eq!(verdict("none", "ut"), Verdict::Fail);
    assert_eq!(verdict("none", "uf"), unknown());
    assert_eq!(verdict("none", "ff"), Verdict::Pass);
}

#[test]
fn a_negated_unknown_stays_unknown() {
    let condition = "condition = { not = { probe = \"sysctl\", name = \"u\", eq = 1 } }";
    assert_eq!(result(condition).verdict, unknown());
}

#[test]
fn where_the_premise_does_not_hold_the_check_is_not_applicable() {
    let check = |name: &str| {
        result(&format!(
            "applies_if = {{ probe = \"sysctl\", name = \"{name}\", eq = 1 }}\n\
             condition = {{ probe = \"sysctl\", name = \"f\", eq = 1 }}"
        ))
        .verdict
    };
    assert_eq!(check("f"), Verdict::NotApplicable);
    assert_eq!(check("u"), unknown());
    assert_eq!(check("t"), Verdict::Fail);
}

#[test]
fn evidence_is_only_of_branches_that_decided() {
    let result = result(
        "condition = { any = [{ probe = \"sysctl\", name = \"f\", eq = 1 }, { probe = \"sysctl\", name = \"t\", eq = 1 }] }",
    );
    let subjects: Vec<_> = result.evidence.iter().map(|evidence| evidence.subject.as_str()).collect();
    assert_eq!(subjects, ["sysctl t"]);
}

#[test]
fn below_a_negation_the_opposite_is_expected() {
    let result = result("condition = { not = { probe = \"sysctl\", name = \"t\", eq = 1 } }");
    assert_eq!(result.verdict, Verdict::Fail);
    assert_eq!(result.evidence[0].expected, "not 1");
}

#[test]
fn a_reading_without_an_observation_is_unknown() {
    let policy = policy("condition = { probe = \"sysctl\", name = \"t\", eq = 1 }");
    let result = evaluate(&policy, &Observations::new()).results.remove(0);
    assert_eq!(result.verdict, Verdict::Unknown("sysctl t: it was not read".into()));
}

#[test]
fn an_observation_of_another_kind_is_unknown() {
    let policy = policy("condition = { probe = \"sysctl\", name = \"t\", eq = 1 }");
    let observations =
        policy.needs().into_iter().map(|reading| (reading, Ok(Observation::Processes(Vec::new())))).collect();
    assert!(matches!(evaluate(&policy, &observations).results[0].verdict, Verdict::Unknown(_)));
}

#[test]
fn evidence_is_bounded_and_cut_at_a_character() {
    let entry =
        |n: usize| Evidence { subject: n.to_string(), expected: "ắ".repeat(200), found: String::new() };
    let bounded = bounded((0..40).map(entry).collect());
    assert_eq!(bounded.len(), 12);
    assert!(bounded.iter().all(|entry| entry.expected.len() <= 200));
    assert_eq!(bounded[11].subject, "29 more");
}

#[test]
fn control_characters_of_a_file_do_not_reach_a_terminal() {
    let read = Evidence { subject: String::new(), expected: String::new(), found: "a\u{1b}[2Jb\n".into() };
    assert_eq!(bounded(vec![read])[0].found, "a\\u{1b}[2Jb\\n");
}

#[test]
fn a_secret_value_is_hidden_in_evidence() {
    let policy = policy(
        "condition = { probe = \"key\", path = \"/etc/x\", format = \"shell\", key = \"WIFI_PSK\", ne = \"12345678\" }",
    );
    let path: crate::path::EndpointPath = "/etc/x".parse().unwrap();
    let value = crate::observation::KeyValue { value: "12345678".into(), path: path.clone(), line: 3 };
    let seen = KeySeen { files: vec![path], value: Some(value) };
    let observations =
        policy.needs().into_iter().map(|reading| (reading, Ok(Observation::Key(seen.clone())))).collect();
    let result = evaluate(&policy, &observations).results.remove(0);
    assert_eq!(result.verdict, Verdict::Fail);
    assert_eq!(result.evidence[0].found, "(hidden) (/etc/x:3)");
}

#[test]
fn the_score_counts_decided_checks_and_rounds_down() {
    let with = |verdict| CheckResult { check: "c".parse().unwrap(), verdict, evidence: Vec::new() };
    let results = [
        with(Verdict::Pass),
        with(Verdict::Pass),
        with(Verdict::Fail),
        with(Verdict::NotApplicable),
        with(Verdict::Unknown(String::new())),
    ];
    assert_eq!(score(&results), Some(66));
    assert_eq!(score(&results[3..]), None);
}

/// A tree over three sysctls.
fn tree() -> impl Strategy<Value = String> {
    let leaf = prop_oneof!["t", "f", "u"]
        .prop_map(|name| format!("{{ probe = \"sysctl\", name = \"{name}\", eq = 1 }}"));
    leaf.prop_recursive(4, 24, 4, |inner| {
        let several = proptest::collection::vec(inner.clone(), 1..4).prop_map(|branches| branches.join(", "));
        prop_oneof![
            several.clone().prop_map(|branches| format!("{{ all = [{branches}] }}")),
            several.clone().prop_map(|branches| format!("{{ any = [{branches}] }}")),
            several.prop_map(|branches| format!("{{ none = [{branches}] }}")),
            inner.prop_map(|branch| format!("{{ not = {branch} }}")),
        ]
    })
}

proptest! {
    /// What is decided without the unknown stays so whatever the unknown turns out to be.
    #[test]
    fn no_later_knowledge_overturns_a_decided_verdict(tree in tree()) {
        let now = result(&format!("condition = {tree}")).verdict;
        if !matches!(now, Verdict::Unknown(_)) {
            for known in ["t", "f"] {
                let later = tree.replace("name = \"u\"", &format!("name = \"{known}\""));
                prop_assert_eq!(&result(&format!("condition = {later}")).verdict, &now);
            }
        }
    }

    #[test]
    fn nothing_unknown_leaves_nothing_undecided(tree in tree()) {
        let known = tree.replace("name = \"u\"", "name = \"t\"");
        let verdict = result(&format!("condition = {known}")).verdict;
        prop_assert!(matches!(verdict, Verdict::Pass | Verdict::Fail));
    }
}
