//! The Debian packages in a Debian: installed, upgraded, removed, installed again, purged.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use wardwatch_tests::site::Site;

use super::chroot::Chroot;
use super::{package, run, scratch};

/// The same package one version on.
fn next_version(package: &Path, scratch: &Path) -> Result<PathBuf> {
    let tree = scratch.join("next");
    run(Command::new("dpkg-deb").arg("--raw-extract").arg(package).arg(&tree))?;
    let control = tree.join("DEBIAN/control");
    let text = std::fs::read_to_string(&control)?;
    let version = text.lines().find(|line| line.starts_with("Version: ")).context("no version")?;
    std::fs::write(&control, text.replace(version, "Version: 99.0.0"))?;
    let next = scratch.join("next.deb");
    run(Command::new("dpkg-deb").args(["--root-owner-group", "-Znone", "--build"]).arg(&tree).arg(&next))?;
    Ok(next)
}

const AGENT_LINK: &str = "/etc/systemd/system/multi-user.target.wants/wardwatch-agent.service";
const COLLECTOR_LINK: &str = "/etc/systemd/system/multi-user.target.wants/wardwatch-collector.service";
const IDENTITY: &str = "/var/lib/wardwatch-agent/identity.json";
const STRING: &str = "/etc/wardwatch/wardwatch-enrol.txt";

#[tokio::test]
#[ignore = "needs root, cross/package and mmdebstrap; tests/run --all runs it"]
async fn an_agent_from_a_deb_keeps_its_identity_until_it_is_purged() -> Result<()> {
    let (site, system, scratch) = (Site::start().await?, Chroot::debian()?, scratch()?);
    let deb = package("wardwatch-agent_", "_amd64", ".deb");
    let said = system.install(&deb)?;
    ensure!(said.contains("waits to be enrolled") && said.contains("/etc/wardwatch/"), "{said}");
    ensure!(system.has(AGENT_LINK), "the service is not enabled");

    std::fs::write(system.path(STRING), site.string(1).await?.to_secret_text())?;
    system.run(&["chmod", "600", STRING])?;
    system.run(&["wardwatch-agent", "enrol", "--string-file", STRING])?;
    let identity = std::fs::read(system.path(IDENTITY))?;
    ensure!(!system.has(STRING), "the string was not removed");

    // Somebody's own decision and settings outlast the upgrade too.
    // `systemctl disable` does this.
    std::fs::remove_file(system.path(AGENT_LINK))?;
    std::fs::write(system.path("/etc/wardwatch/agent.toml"), "heartbeat_seconds = 30\n")?;
    let said = system.install(&next_version(&deb, scratch.path())?)?;
    ensure!(!said.contains("waits to be enrolled"), "{said}");
    ensure!(!system.has(AGENT_LINK), "the upgrade enabled what was disabled");
    ensure!(system.run(&["dpkg-query", "-W", "wardwatch-agent"])?.contains("99.0.0"));

    system.run(&["dpkg", "--remove", "wardwatch-agent"])?;
    ensure!(!system.has("/usr/sbin/wardwatch-agent"));
    ensure!(std::fs::read(system.path(IDENTITY))? == identity, "removal changed the identity");
    let said = system.install(&deb)?;
    ensure!(!said.contains("waits to be enrolled"), "{said}");

    system.run(&["dpkg", "--purge", "wardwatch-agent"])?;
    for gone in ["/var/lib/wardwatch-agent", "/etc/wardwatch", "/etc/init.d/wardwatch-agent", AGENT_LINK] {
        ensure!(!system.has(gone), "{gone} was left behind");
    }
    Ok(())
}

#[test]
#[ignore = "needs root, cross/package and mmdebstrap; tests/run --all runs it"]
fn a_collector_from_a_deb_keeps_its_keys_until_it_is_purged() -> Result<()> {
    const DATA: &str = "/var/lib/wardwatch";
    let (system, scratch) = (Chroot::debian()?, scratch()?);
    let deb = package("wardwatch-collector_", "_amd64", ".deb");
    let said = system.install(&deb)?;
    ensure!(system.has(COLLECTOR_LINK), "the service is not enabled");
    // The step that is printed is the step that works.
    let line = said.lines().find(|line| line.contains("wardwatch-collector init")).context(said.clone())?;
    let line = line.trim().trim_end_matches("&&").replace("NAME", "192.0.2.1");
    system.run(&["sh", "-c", &line])?;
    let settings = system.path(DATA).join("collector.toml");
    let before = std::fs::read(&settings)?;
    ensure!(std::fs::metadata(&settings)?.uid() != 0, "the service could not read its settings");

    let said = system.install(&next_version(&deb, scratch.path())?)?;
    ensure!(!said.contains("needs keys"), "{said}");
    system.run(&["dpkg", "--remove", "wardwatch-collector"])?;
    ensure!(!system.has("/usr/bin/wardwatch-collector"));
    ensure!(std::fs::read(&settings)? == before, "removal changed the settings");

    system.run(&["dpkg", "--purge", "wardwatch-collector"])?;
    ensure!(!system.has(DATA) && !system.has(COLLECTOR_LINK), "something was left behind");
    let users = std::fs::read_to_string(system.path("/etc/passwd"))?;
    ensure!(!users.contains("wardwatch"), "{users}");
    Ok(())
}
