use super::*;

/// A whole policy with `check` as its only check's remaining keys.
fn with_condition(condition: &str) -> String {
    format!(
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
condition = {condition}
"#
    )
}

fn mistakes(text: &str) -> String {
    parse("p.toml", text).expect_err("the policy should be refused").to_string()
}

#[test]
fn a_policy_with_every_probe_is_read() {
    let policy =
        parse("p.toml", &with_condition(include_str!("every_probe.txt"))).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(policy.checks.len(), 1);
    assert_eq!(policy.needs().len(), 21);
}

#[test]
fn all_mistakes_of_a_file_are_reported_at_once() {
    let text = r#"id = "Bad Id"
kinds = ["office-pc", "toaster"]
titel = { vi = "T", en = "T" }

[[check]]
id = "one"
severity = "sever"
title = { vi = "T" }
why = "text"
remedy = { vi = "", en = "R" }
source = []
condition = { probe = "moed", path = "/etc/passwd" }

[[check]]
id = "one"
severity = "low"
title = { vi = "T", en = "T" }
why = { vi = "W", en = "W" }
remedy = { vi = "R", en = "R" }
source = ["S", 5]
applies_if = { probe = "file", path = "etc/passwd" }
condition = { all = [
  { probe = "mode", path = "/etc/passwd", moed = 0o644 },
  { probe = "mode", path = "/etc/../x", no_more_than = 0o77777 },
  { probe = "mode", path = "/etc/x", no_more_than = "0644" },
  { probe = "content", path = "/etc/x", line = '(' },
  { probe = "content", path = "/etc/shadow", line = 'root' },
  { probe = "key", path = "/etc/x", format = "shel", key = "A", eq = "b" },
  { probe = "key", path = "/etc/x", format = "shell", section = "s", key = "A", eq = "b" },
  { probe = "sysctl", name = "kernel..x", eq = 1 },
  { probe = "sysctl", name = "kernel.x" },
  { probe = "sysctl", name = "kernel.x", ge = 1, le = 2 },
  { probe = "listening", port = 70000 },
  { probe = "service", name = "a/b", is = "enabeld" },
  { probe = "accounts", rule = "no-default-password" },
  { probe = "accounts", rule = "shadowed", passwords = ["x"] },
  { all = [], any = [] },
  { not = "x" },
  { },
] }
"#;
    insta::assert_snapshot!(mistakes(text));
}

#[test]
fn a_registry_probe_that_asks_amiss_is_told_what_was_meant() {
    let probes = [
        r#"key = 'HKCU\Software\A', value = "B", type = "dword", eq = 1"#,
        r#"key = 'SOFTWARE\A', value = "B", type = "dword", eq = 1"#,
        r#"key = 'HKLM\A\', value = "B", type = "dword", eq = 1"#,
        r#"key = ['HKLM\A', 'HKLM\*\B'], value = "B", type = "dword", eq = 1"#,
        r#"key = 'HKLM\A'"#,
        r#"key = 'HKLM\A', value = "B""#,
        r#"key = 'HKLM\A', eq = 1"#,
        r#"key = 'HKLM\A', value = "B", eq = 1"#,
        r#"key = 'HKLM\A', value = "B", type = "dwrod", eq = 1"#,
        r#"key = 'HKLM\A', value = "B", type = "dword", eq = "1""#,
        r#"key = 'HKLM\A', value = "B", type = "dword", default = "0", eq = 1"#,
        r#"key = 'HKLM\A', value = "B", type = "string", one_of = ["0", 1]"#,
        r#"key = 'HKLM\A', value = "B", type = "qword", matches = '^1$'"#,
        r#"key = 'HKLM\A', value = "B", type = "multi-string", ge = 1"#,
        r#"key = 'HKLM\A', value = "B", type = "multi-string", ne = "a""#,
        r#"key = 'HKLM\A', value = "B", type = "binary", eq = "0f1""#,
        r#"key = 'HKLM\A', value = "B", view = 32, type = "dword", eq = 1"#,
        r#"key = 'HKLM\A', value = "B", view = "16", type = "dword", eq = 1"#,
        r#"key = 'HKLM\A', value = "B", is = "absent", eq = 1"#,
        r#"key = 'HKLM\A', value = "B", is = "gone""#,
        r#"key = 'HKLM\A', value = "DefaultPassword", type = "string", eq = "x""#,
        r#"key = 'HKLM\A', value = "B", type = "dword", eq = 1, mode = 0o644"#,
    ];
    let lines: String =
        probes.iter().map(|keys| format!("  {{ probe = \"registry\", {keys} }},\n")).collect();
    insta::assert_snapshot!(mistakes(&with_condition(&format!("{{ all = [\n{lines}] }}"))));
}

#[test]
fn a_system_and_paths_of_it_are_checked() {
    let text = with_condition(
        r#"{ all = [
  { probe = "file", path = 'C:\Windows\..\x' },
  { probe = "file", path = '%TEMP%\x' },
  { probe = "mount", point = 'C:\Windows' },
] }"#,
    )
    .replace("kinds = [\"server\"]", "kinds = [\"server\"]\nsystem = \"win\"");
    insta::assert_snapshot!(mistakes(&text));
}

#[test]
fn text_that_is_no_toml_is_reported_with_its_place() {
    insta::assert_snapshot!(mistakes("id = \"p\"\nkinds = [\"server\"\ntitle = { vi = \"Ô\" en = \"x\" }\n"));
}

#[test]
fn conditions_that_stand_too_deep_are_refused() {
    let deep = format!("{}{{ probe = \"process\", name = \"x\" }}{}", "{ not = ".repeat(9), " }".repeat(9));
    insta::assert_snapshot!(mistakes(&with_condition(&deep)));
}

#[test]
fn a_file_that_is_too_large_is_refused_unread() {
    let mut text = with_condition("{ probe = \"process\", name = \"x\" }");
    text.push_str(&"#".repeat(MAX_FILE_BYTES));
    assert!(mistakes(&text).starts_with("p.toml:1:1: the file has"));
}

#[test]
fn the_example_of_the_reference_is_a_policy() {
    let reference = include_str!("../../../docs/policies.md");
    let example = reference.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let policy = parse("example.toml", example).unwrap_or_else(|defects| panic!("{defects}"));
    assert_eq!(policy.id.as_str(), "ward-desk");
}

#[test]
fn the_example_of_the_registry_is_a_condition() {
    let reference = include_str!("../../../docs/policies.md");
    let (_, registry) = reference.split_once("**Registry**").unwrap();
    let example = registry.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let condition = example.strip_prefix("condition = ").unwrap();
    parse("example.toml", &with_condition(condition)).unwrap_or_else(|defects| panic!("{defects}"));
}

#[test]
fn columns_count_characters_not_bytes() {
    let Defects(defects) = parse("p.toml", "title = { vi = \"Phường Vĩnh Nguyên\", en = 5 }").unwrap_err();
    let number = defects.iter().find(|defect| defect.problem.contains("whole number")).unwrap();
    assert_eq!((number.line, number.column), (1, 43));
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "[a-z\\[\\]{}=\"',.# \n0-9é]{0,200}") {
        let _ = parse("p.toml", &text);
    }

    #[test]
    fn no_condition_makes_the_parser_panic(text in r#"(\{|\}|\[|\]|,| = |probe|"mode"|"key"|all|not|path|"/x"|eq|1|'\('){0,30}"#) {
        let _ = parse("p.toml", &with_condition(&text));
    }
}
