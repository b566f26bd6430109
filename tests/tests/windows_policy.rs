//! The policy of Windows office PCs on a real registry, service manager, disk and network, under Wine: the agent as built
//! for Windows meets the machines of `policies/fixtures/office-pc-windows.toml`, one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;
use toml::{Table, Value};
use wardwatch_tests::windows::Wine;

const FIXTURES: &str = include_str!("../../policies/fixtures/office-pc-windows.toml");
const POLICY: &str = "office-pc-windows";

/// Verdict by check, and everything that was printed.
struct Checked {
    verdicts: BTreeMap<String, String>,
    printed: String,
}

/// A Windows whose registry is set by importing files, as an administrator would.
struct Machine {
    wine: Wine,
    folder: TempDir,
}

impl Machine {
    fn start() -> Result<Self> {
        let wine = Wine::start()?;
        let folder = wine.folder()?;
        Ok(Self { wine, folder })
    }

    fn import(&self, keys: &str) -> Result<()> {
        let file = self.folder.path().join("set.reg");
        // Windows' editor reads a file without a mark as one of the local code page: all here is ASCII.
        fs::write(&file, format!("REGEDIT4\r\n\r\n{keys}"))?;
        let path = self.wine.windows_path(&file);
        let output = self.wine.command().args(["regedit", "/S", &path]).output()?;
        ensure!(output.status.success(), "{keys} was not imported: {output:?}");
        Ok(())
    }

    fn check(&self, policy: &str) -> Result<Checked> {
        let agent = self.wine.program("wardwatch-agent.exe");
        let output = self.wine.command().arg(agent).args(["check", policy, "--output", "json"]).output()?;
        let printed = String::from_utf8(output.stdout)?;
        let document: serde_json::Value = serde_json::from_str(&printed)
            .with_context(|| format!("{printed}{}", String::from_utf8_lossy(&output.stderr)))?;
        let word =
            |result: &serde_json::Value, key: &str| result[key].as_str().unwrap_or_default().to_owned();
        let results = document["results"].as_array().context("no results")?;
        let verdicts =
            results.iter().map(|result| (word(result, "check"), word(result, "verdict"))).collect();
        Ok(Checked { verdicts, printed })
    }
}

/// What a fixture sets, if the registry is all that it speaks of.
fn registry_of(fixture: &Table) -> Option<Table> {
    if fixture.keys().any(|key| key != "registry") {
        return None;
    }
    Some(fixture.get("registry").and_then(Value::as_table).cloned().unwrap_or_default())
}

fn fixtures_of<'t>(
    checks: &'t Table,
    check: &str,
    verdict: &str,
) -> impl Iterator<Item = (usize, &'t Table)> {
    let fixtures = checks[check].get(verdict).and_then(Value::as_array);
    fixtures.into_iter().flatten().filter_map(Value::as_table).enumerate()
}

/// Takes away all that any fixture sets: values everywhere, and whole keys where nothing but a policy or a program that
/// is not here would make them.
fn nothing(checks: &Table) -> String {
    let mut values = BTreeMap::<String, BTreeSet<String>>::new();
    let all = checks.iter().filter_map(|(_, check)| check.as_table());
    let fixtures = all.flat_map(|check| {
        let lists = check.values().filter_map(Value::as_array).flatten().filter_map(Value::as_table);
        lists.chain([check])
    });
    for (key, set) in fixtures.filter_map(|fixture| fixture.get("registry")?.as_table()).flatten() {
        let names = set.as_table().into_iter().flat_map(Table::keys).cloned();
        values.entry(key.clone()).or_default().extend(names);
    }
    values.iter().fold(String::new(), |mut text, (key, names)| {
        let is_whole =
            [r"\Policies\Microsoft\", r"\Office\", r"\mrxsmb10"].iter().any(|part| key.contains(part));
        let _ = if is_whole {
            write!(text, "[-{}]\r\n\r\n", full(key))
        } else {
            let names: String = names.iter().map(|name| format!("\"{name}\"=-\r\n")).collect();
            write!(text, "[{}]\r\n{names}\r\n", full(key))
        };
        text
    })
}

fn set(registry: &Table) -> String {
    registry.iter().fold(String::new(), |mut text, (key, values)| {
        let values = values.as_table().into_iter().flatten();
        let lines: String = values
            .map(|(name, value)| match value {
                Value::Integer(number) => format!("\"{name}\"=dword:{number:08x}\r\n"),
                other => format!("\"{name}\"={}\r\n", quoted(other.as_str().unwrap_or_default())),
            })
            .collect();
        if !lines.is_empty() {
            let _ = write!(text, "[{}]\r\n{lines}\r\n", full(key));
        }
        text
    })
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))
}

fn full(key: &str) -> String {
    key.replacen("HKLM", "HKEY_LOCAL_MACHINE", 1).replacen("HKU", "HKEY_USERS", 1)
}

/// One policy of one file, with a check for each condition.
fn policy(folder: &Path, conditions: &[(&str, String)]) -> Result<String> {
    let mut text =
        String::from("id = \"probes\"\nkinds = [\"office-pc\"]\ntitle = { vi = \"T\", en = \"T\" }\n");
    for (id, condition) in conditions {
        write!(
            text,
            "[[check]]\nid = \"{id}\"\nseverity = \"low\"\ntitle = {{ vi = \"T\", en = \"T\" }}\nwhy = {{ vi = \
             \"W\", en = \"W\" }}\nremedy = {{ vi = \"R\", en = \"R\" }}\nsource = [\"S\"]\ncondition = {condition}\n"
        )?;
    }
    let file = folder.join("probes.toml");
    fs::write(&file, text)?;
    Ok(file.display().to_string())
}

#[test]
#[ignore = "needs Wine and the agent for Windows; tests/run runs it"]
fn each_verdict_follows_the_registry() -> Result<()> {
    let machine = Machine::start()?;
    let mut checks: Table = FIXTURES.parse()?;
    let nothing = nothing(&checks);
    let base = checks.remove("base").and_then(|base| base.get("registry")?.as_table().cloned());
    let base = base.context("the fixtures have no base")?;
    // What runs as a service there does not run under Wine.
    let beyond = ["firewall-service"];
    let mut flipped = BTreeMap::<String, BTreeSet<&str>>::new();
    for (verdict, index) in [("pass", 0), ("fail", 0), ("fail", 1), ("pass", 1), ("unknown", 0)] {
        let chosen: BTreeMap<_, _> = checks
            .keys()
            .filter(|check| !beyond.contains(&check.as_str()))
            .filter_map(|check| {
                let (_, fixture) = fixtures_of(&checks, check, verdict).find(|(at, _)| *at == index)?;
                Some((check.clone(), registry_of(fixture)?))
            })
            .collect();
        let all: String = std::iter::once(&base).chain(chosen.values()).map(set).collect();
        machine.import(&format!("{nothing}{all}"))?;
        let checked = machine.check(POLICY)?;
        assert_eq!(checked.verdicts.len(), checks.len(), "{}", checked.printed);
        assert!(!checked.printed.contains("phuong-2026"), "{}", checked.printed);
        for check in chosen.keys() {
            assert_eq!(checked.verdicts[check], verdict, "{check} {index}: {}", checked.printed);
            flipped.entry(check.clone()).or_default().insert(verdict);
        }
    }
    machine.import(&nothing)?;
    let both = flipped.values().filter(|verdicts| verdicts.contains("pass") && verdicts.contains("fail"));
    assert!(both.count() >= 20, "{flipped:?}");
    assert!(flipped.values().filter(|verdicts| verdicts.contains("unknown")).count() >= 2, "{flipped:?}");
    Ok(())
}

#[test]
#[ignore = "needs Wine and the agent for Windows; tests/run runs it"]
fn files_services_and_sockets_are_those_of_the_machine() -> Result<()> {
    let machine = Machine::start()?;
    let there = TcpListener::bind("0.0.0.0:0")?;
    let inside = TcpListener::bind("127.0.0.1:0")?;
    let listening = |socket: &TcpListener| -> Result<String> {
        Ok(format!("{{ probe = \"listening\", port = {}, protocol = \"tcp\" }}", socket.local_addr()?.port()))
    };
    let file = |path: &str| format!("{{ probe = \"file\", path = '{path}' }}");
    let service =
        |name: &str, is: &str| format!("{{ probe = \"service\", name = \"{name}\", is = \"{is}\" }}");
    let cases = [
        ("socket", listening(&there)?, "pass"),
        ("socket-on-loopback", listening(&inside)?, "fail"),
        ("file", file(r"%SystemRoot%\SYSTEM32\Kernel32.DLL"), "pass"),
        ("files", file(r"C:\Windows\system32\NTD*.dll"), "pass"),
        ("no-file", file(r"C:\Windows\system32\phường.dll"), "fail"),
        ("linux-file", file("/etc/passwd"), "unknown"),
        ("mode", r"{ probe = 'mode', path = 'C:\Windows\win.ini', no_more_than = 0o644 }".into(), "unknown"),
        ("service", service("EventLog", "active"), "pass"),
        ("manual-service", service("wuauserv", "enabled"), "fail"),
        ("no-service", service("RemoteRegistryX", "disabled"), "pass"),
        ("package", "{ probe = \"package\", name = \"telnetd\" }".into(), "unknown"),
    ];
    let conditions: Vec<_> = cases.iter().map(|(id, condition, _)| (*id, condition.clone())).collect();
    let file = policy(machine.folder.path(), &conditions)?;
    let checked = machine.check(&machine.wine.windows_path(Path::new(&file)))?;
    for (id, _, verdict) in cases {
        assert_eq!(checked.verdicts[id], verdict, "{id}: {}", checked.printed);
    }
    Ok(())
}
