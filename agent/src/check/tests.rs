use std::fs;

use super::*;

const POLICY: &str = r#"id = "ward"
kinds = ["server"]
title = { vi = "Phường", en = "Ward" }

[[check]]
id = "motd"
severity = "low"
title = { vi = "Có lời chào", en = "There is a greeting" }
why = { vi = "Vì thế", en = "So" }
remedy = { vi = "Viết một lời", en = "Write one into /etc/motd, in both languages, so that everyone who logs in knows whose machine this is." }
source = ["the city"]
condition = { probe = "file", path = "/etc/motd" }

[[check]]
id = "quiet"
severity = "high"
title = { vi = "Yên", en = "Nothing listens on port 23" }
why = { vi = "Vì thế", en = "So" }
remedy = { vi = "Tắt", en = "Turn it off" }
source = ["the city"]
condition = { not = { probe = "listening", port = 23 } }
"#;

fn run_on(motd: bool, form: Form) -> (Outcome, String) {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("ward.toml");
    fs::write(&policy, POLICY).unwrap();
    let root = folder.path().join("root");
    fs::create_dir_all(root.join("etc")).unwrap();
    if motd {
        fs::write(root.join("etc/motd"), "Xin chào").unwrap();
    }
    let request = Request { policies: vec![policy.to_str().unwrap().to_owned()], root, form };
    let mut out = Vec::new();
    let outcome = run(&request, &mut out).unwrap();
    (outcome, String::from_utf8(out).unwrap())
}

#[test]
fn the_table_tells_failures_with_evidence_and_remedy_and_fits_the_terminal() {
    let (outcome, text) = run_on(false, Form::Table);
    assert_eq!(outcome, Outcome::SomeFailed);
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn json_has_results_and_a_score() {
    let (outcome, text) = run_on(false, Form::Json);
    assert_eq!(outcome, Outcome::SomeFailed);
    insta::assert_snapshot!(text);
}

#[test]
fn what_is_unknown_does_not_fail_and_does_not_score() {
    let (outcome, text) = run_on(true, Form::Table);
    assert_eq!(outcome, Outcome::NoneFailed);
    assert!(
        text.ends_with("2 checks: 1 passed, 0 failed, 0 not applicable, 1 unknown; score 100 of 100\n"),
        "{text}"
    );
}

#[test]
fn a_policy_that_is_not_there_is_named_with_those_that_are() {
    let request = Request { policies: vec!["office".into()], root: "/".into(), form: Form::Table };
    insta::assert_snapshot!(run(&request, &mut Vec::new()).unwrap_err());
}

#[test]
fn a_root_that_is_not_there_is_refused() {
    let request =
        Request { policies: vec!["office-pc-linux".into()], root: "/no/such".into(), form: Form::Table };
    insta::assert_snapshot!(run(&request, &mut Vec::new()).unwrap_err());
}
