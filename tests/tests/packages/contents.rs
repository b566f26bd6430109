//! What lies in the packages: all of the one list, and nothing else.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::{made, package, run, workspace};

/// The places of the list for a program in a column: 3 for .deb, 4 for .tar.gz, 5 for Windows. A pattern stands for
/// what the man pages are.
fn listed(program: &str, column: usize) -> Result<BTreeSet<String>> {
    let list = std::fs::read_to_string(workspace().join("cross/packages/contents"))?;
    let mut places = BTreeSet::new();
    for line in list.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<_> = line.split_whitespace().collect();
        let place = *fields.get(column).with_context(|| line.to_owned())?;
        if fields[0] != program || place == "-" {
            continue;
        }
        let name = fields[1].rsplit('/').next().unwrap_or_default().trim_start_matches('@');
        let place = place.trim_start_matches("./");
        places.insert(if place.is_empty() || place.ends_with('/') {
            format!("{place}{name}")
        } else {
            place.into()
        });
    }
    Ok(places)
}

/// Asks that each place of the list is there, and each file in the list or in `more`. `*` stands for anything
/// without a slash.
fn compare(listed: &BTreeSet<String>, files: &BTreeSet<String>, more: &[&str]) -> Result<()> {
    let matches = |pattern: &str, file: &str| match pattern.split_once('*') {
        None => pattern == file,
        Some((begin, end)) => file
            .strip_prefix(begin)
            .and_then(|rest| rest.strip_suffix(end))
            .is_some_and(|rest| !rest.contains('/')),
    };
    let missing: Vec<_> =
        listed.iter().filter(|place| !files.iter().any(|file| matches(place, file))).collect();
    ensure!(missing.is_empty(), "missing: {missing:?}");
    let known =
        |file: &&String| listed.iter().any(|place| matches(place, file)) || more.contains(&file.as_str());
    let others: Vec<_> = files.iter().filter(|file| !known(file)).collect();
    ensure!(others.is_empty(), "not in the list: {others:?}");
    Ok(())
}

fn check_deb(program: &str) -> Result<()> {
    let deb = package(&format!("wardwatch-{program}_"), "_amd64", ".deb");
    let said = run(Command::new("dpkg-deb").arg("--contents").arg(deb))?;
    let mut files = BTreeSet::new();
    for line in said.lines() {
        let fields: Vec<_> = line.split_whitespace().collect();
        ensure!(fields[1] == "root/root", "{line}");
        ensure!(!fields[0].contains('s') && fields[0].as_bytes()[8] != b'w', "{line}");
        if !fields[5].ends_with('/') {
            files.insert(fields[5].trim_start_matches("./").to_owned());
        }
    }
    // Debian wants these compressed.
    let pressed = |place: String| {
        if place.contains("/man1/") || place.ends_with("licences.txt") { place + ".gz" } else { place }
    };
    let places = listed(program, 3)?.into_iter().map(pressed).collect();
    let document = |name| format!("usr/share/doc/wardwatch-{program}/{name}");
    let (copyright, changelog) = (document("copyright"), document("changelog.gz"));
    let overrides = format!("usr/share/lintian/overrides/wardwatch-{program}");
    compare(&places, &files, &[&copyright, &changelog, &overrides])
}

fn check_archives(program: &str) -> Result<()> {
    let is_it = |name: &str| name.starts_with(&format!("wardwatch-{program}-")) && name.ends_with(".tar.gz");
    let mut seen = 0;
    for archive in made() {
        let name = archive.file_name().unwrap_or_default().to_string_lossy();
        if !is_it(&name) {
            continue;
        }
        let said = run(Command::new("tar").arg("-tzf").arg(&archive))?;
        let files = said.lines().filter(|file| !file.ends_with('/'));
        let files = files.filter_map(|file| Some(file.split_once('/')?.1.to_owned())).collect();
        compare(&listed(program, 4)?, &files, &["PACKAGE", "SHA256SUMS"])
            .with_context(|| name.to_string())?;
        seen += 1;
    }
    ensure!(seen > 0, "target/packages holds no archive of the {program}; run `cross/package`");
    Ok(())
}

#[test]
#[ignore = "needs cross/package; tests/run --all runs it"]
fn debs_and_archives_of_the_agent_hold_what_the_list_says() -> Result<()> {
    check_deb("agent")?;
    check_archives("agent")
}

#[test]
#[ignore = "needs cross/package; tests/run --all runs it"]
fn debs_and_archives_of_the_collector_hold_what_the_list_says() -> Result<()> {
    check_deb("collector")?;
    check_archives("collector")
}

#[test]
#[ignore = "needs cross/package; tests/run --all runs it"]
fn packages_for_windows_hold_what_the_list_says() -> Result<()> {
    let said = run(Command::new("zipinfo").arg("-1").arg(package("wardwatch-agent", "windows", ".zip")))?;
    let files = said.lines().filter(|file| !file.ends_with('/'));
    let files = files.filter_map(|file| Some(file.split_once('/')?.1.to_owned())).collect();
    compare(&listed("agent", 5)?, &files, &[]).context("zip")?;

    let said =
        run(Command::new("msiextract").arg("--list").arg(package("wardwatch-agent", "windows", ".msi")))?;
    let files = said.lines().filter_map(|file| Some(file.split_once("Wardwatch/")?.1.to_owned())).collect();
    compare(&listed("agent", 5)?, &files, &[]).context("msi")
}
