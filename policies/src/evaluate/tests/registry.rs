use crate::evaluate::evaluate;
use crate::observation::registry::{Data, Found, RegistrySeen};
use crate::observation::{Observation, Observations};
use crate::policy::registry::View;
use crate::verdict::{CheckResult, Verdict};

/// The result of one registry probe on the value `V` of `HKLM\A`, or of the hives of two persons.
fn result(expectation: &str, found: impl IntoIterator<Item = Found>) -> CheckResult {
    let found: Vec<_> = found.into_iter().collect();
    let key = if found.len() > 1 { r"HKU\*\A" } else { r"HKLM\A" };
    let policy = super::policy(&format!(
        "condition = {{ probe = \"registry\", key = '{key}', value = \"V\", {expectation} }}"
    ));
    let persons = found.len() > 1;
    let seen: Vec<_> = found
        .into_iter()
        .enumerate()
        .map(|(index, found)| RegistrySeen {
            account: persons.then(|| format!("S-{index}")),
            path: "A".into(),
            view: View::Bits64,
            found,
        })
        .collect();
    let observations: Observations = policy
        .needs()
        .into_iter()
        .map(|reading| (reading, Ok(Observation::Registry(seen.clone()))))
        .collect();
    evaluate(&policy, &observations).results.remove(0)
}

fn told(result: &CheckResult) -> (&str, String) {
    let evidence = &result.evidence[0];
    (result.verdict.as_str(), format!("{}: {}; {}", evidence.subject, evidence.expected, evidence.found))
}

fn dword(number: u32) -> Found {
    Found::Value(Data::Dword(number))
}

#[test]
fn evidence_names_key_value_expectation_and_what_was_read() {
    let result = result("type = \"dword\", eq = 0", [dword(1)]);
    assert_eq!(told(&result), ("fail", r"HKLM\A: V: 0 (dword); 1".into()));
}

#[test]
fn an_absent_value_has_the_default_that_the_check_states() {
    let absent = result("type = \"dword\", default = 1, eq = 1", [Found::NoValue]);
    assert_eq!(told(&absent), ("pass", r"HKLM\A: V: 1 (dword); not set; the default is 1".into()));
    let without = result("type = \"dword\", eq = 1", [Found::NoKey]);
    assert_eq!(told(&without), ("fail", r"HKLM\A: V: 1 (dword); no such key".into()));
    let policy = super::policy(
        r#"condition = { probe = "registry", key = ['HKLM\A', 'HKLM\B'], value = "V", type = "dword", eq = 1 }"#,
    );
    let seen = RegistrySeen { account: None, path: "A".into(), view: View::Bits64, found: Found::NoKey };
    let answer = |reading| (reading, Ok(Observation::Registry(vec![seen.clone()])));
    let nowhere = evaluate(&policy, &policy.needs().into_iter().map(answer).collect()).results.remove(0);
    assert_eq!(told(&nowhere), ("fail", r"HKLM\A: V: 1 (dword); in none of 2 keys".into()));
}

#[test]
fn a_value_of_another_type_is_unknown_and_so_is_its_negation() {
    let text = || [Found::Value(Data::String("1".into()))];
    let Verdict::Unknown(reason) = result("type = \"dword\", eq = 1", text()).verdict else {
        panic!("a string is no dword")
    };
    assert!(reason.contains("it holds string \"1\", where a dword is meant"), "{reason}");
    assert_eq!(result("type = \"dword\", ne = 1", text()).verdict.as_str(), "unknown");
}

#[test]
fn every_persons_value_has_to_hold_and_who_differs_is_named() {
    let mixed = result("type = \"dword\", eq = 1", [dword(1), dword(0), Found::NoKey]);
    assert_eq!(told(&mixed), ("fail", r"HKU\*\A: V: 1 (dword); 0 (S-1), no such key (S-2)".into()));
    let all = result("type = \"dword\", eq = 1", [dword(1), dword(1)]);
    assert_eq!(told(&all), ("pass", r"HKU\*\A: V: 1 (dword); all 2 are so".into()));
}

#[test]
fn one_text_of_a_multi_string_is_enough() {
    let texts = || Found::Value(Data::MultiString(vec!["a".into(), "b".into()]));
    let holds = |expectation: &str| result(expectation, [texts()]).verdict.as_str().to_owned();
    assert_eq!(holds("type = \"multi-string\", eq = \"b\""), "pass");
    assert_eq!(holds("type = \"multi-string\", eq = \"c\""), "fail");
    assert_eq!(holds("type = \"multi-string\", matches = '^$'"), "fail");
}

#[test]
fn numbers_of_64_bits_and_bytes_are_compared_whole() {
    let large = || [Found::Value(Data::Qword(u64::MAX))];
    assert_eq!(result("type = \"qword\", ge = 1", large()).verdict, Verdict::Pass);
    let bytes = || [Found::Value(Data::Binary(vec![0, 255]))];
    assert_eq!(result("type = \"binary\", eq = \"00FF\"", bytes()).verdict, Verdict::Pass);
    assert_eq!(result("type = \"binary\", eq = \"ff\"", bytes()).verdict, Verdict::Fail);
}

#[test]
fn what_is_withheld_is_there_and_cannot_be_compared() {
    let present = result("is = \"absent\"", [Found::Withheld]);
    assert_eq!(told(&present), ("fail", r"HKLM\A: V: absent; present (hidden)".into()));
    assert_eq!(result("type = \"string\", eq = \"x\"", [Found::Withheld]).verdict.as_str(), "unknown");
}

#[test]
fn present_means_somewhere_and_absent_nowhere() {
    let somewhere = || [Found::NoKey, dword(1)];
    assert_eq!(result("is = \"present\"", somewhere()).verdict, Verdict::Pass);
    assert_eq!(result("is = \"absent\"", somewhere()).verdict, Verdict::Fail);
    assert_eq!(result("is = \"absent\"", [Found::NoKey, Found::NoValue]).verdict, Verdict::Pass);
}
