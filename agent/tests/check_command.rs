//! The command `check` as scripts use it: exit codes, and JSON alone on standard output.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const POLICY: &str = r#"id = "ward"
kinds = ["server"]
title = { vi = "Phường", en = "Ward" }

[[check]]
id = "greeting"
severity = "low"
title = { vi = "Có lời chào", en = "There is a greeting" }
why = { vi = "Để biết", en = "To know" }
remedy = { vi = "Viết một lời", en = "Write one" }
source = ["the city"]
condition = { probe = "file", path = "/etc/motd" }
"#;

fn check(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wardwatch-agent")).arg("check").args(arguments).output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_exit_code_tells_whether_a_check_failed() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("ward.toml");
    fs::write(&policy, POLICY).unwrap();
    fs::create_dir(folder.path().join("etc")).unwrap();
    let run = || check(&[text(&policy), "--root", text(folder.path()), "--output", "json"]);

    let failed = run();
    assert_eq!(failed.status.code(), Some(1));
    let document: serde_json::Value = serde_json::from_slice(&failed.stdout).unwrap();
    assert_eq!(document["results"][0]["check"], "greeting");
    assert_eq!(document["results"][0]["verdict"], "fail");
    assert_eq!(document["score"], 0);

    fs::write(folder.path().join("etc/motd"), "").unwrap();
    let passed = run();
    assert_eq!(passed.status.code(), Some(0));
    let document: serde_json::Value = serde_json::from_slice(&passed.stdout).unwrap();
    assert_eq!((document["score"].as_u64(), document["results"][0]["reason"].is_null()), (Some(100), true));
}

#[test]
fn what_could_not_be_done_is_told_on_standard_error_only() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("ward.toml");
    fs::write(&policy, POLICY.replace("severity", "severty").replace("[\"server\"]", "[\"sever\"]")).unwrap();
    let refused = check(&[text(&policy)]);
    assert_eq!((refused.status.code(), refused.stdout.as_slice()), (Some(3), b"".as_slice()));
    let told = String::from_utf8(refused.stderr).unwrap();
    for place in ["ward.toml:2:10:", "ward.toml:7:1:", "did you mean `severity`?"] {
        assert!(told.contains(place), "{told}");
    }
    assert_eq!(check(&["no-such-policy"]).status.code(), Some(3));
    assert_eq!(check(&[text(&policy), "--root", "/no/such/root"]).status.code(), Some(3));
    assert_eq!(check(&[]).status.code(), Some(2));
}

#[test]
fn shipped_policies_are_evaluated_by_name() {
    let done = check(&["office-pc-linux", "camera-recorder", "--output", "json"]);
    assert!(matches!(done.status.code(), Some(0 | 1)));
    let document: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(document["results"].as_array().unwrap().len(), 70);
}
