//! The archives for recorders and servers, by their `install.sh`: under BusyBox, and beside a package system.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use wardwatch_tests::site::Site;

use super::chroot::Chroot;
use super::{all_text, output, package, run};

const AGENT: &str = "/usr/sbin/wardwatch-agent";
const STATE: &str = "/var/lib/wardwatch-agent";

/// Unpacks a package with the system's own tar, and returns the folder.
fn unpack(system: &Chroot, archive: &Path) -> Result<String> {
    let file = system.put(archive)?;
    system.run(&["tar", "-xzf", &file, "-C", "/tmp"])?;
    let name = archive.file_name().context("no name")?.to_string_lossy().into_owned();
    let name = name.trim_end_matches(".tar.gz").trim_end_matches("-unsigned");
    Ok(format!("/tmp/{name}"))
}

/// Whether a call fails, and why it says so.
fn refused(system: &Chroot, call: &[&str]) -> Result<String> {
    let said = output(&mut system.command(call))?;
    ensure!(!said.status.success(), "{call:?} passed: {}", all_text(&said));
    Ok(all_text(&said))
}

#[tokio::test]
#[ignore = "needs root, cross/package and busybox-static; tests/run --all runs it"]
async fn a_recorder_is_installed_upgraded_and_left_by_one_script() -> Result<()> {
    let (site, system) = (Site::start().await?, Chroot::busybox()?);
    let folder = unpack(&system, &package("wardwatch-agent", "x86_64-unknown-linux-musl", ".tar.gz"))?;
    let script = format!("{folder}/install.sh");
    let string = system.path(&folder).join("wardwatch-enrol.txt");
    std::fs::write(&string, site.string(1).await?.to_secret_text())?;
    system.run(&["chmod", "600", &format!("{folder}/wardwatch-enrol.txt")])?;

    let said = system.run(&["sh", &script])?;
    ensure!(said.contains("enrolled as"), "{said}");
    ensure!(!string.exists(), "the string was not removed");
    ensure!(system.has(AGENT) && system.has("/etc/init.d/S90wardwatch-agent"), "{said}");
    let identity = std::fs::read(system.path(STATE).join("identity.json"))?;

    // Whatever comes next is an upgrade to the script.
    std::fs::write(system.path(AGENT), "an older program")?;
    let said = system.run(&["sh", &script])?;
    ensure!(said.contains("enrolled already"), "{said}");
    ensure!(system.run(&[AGENT, "--version"])?.contains("wardwatch-agent"), "the program was not replaced");
    ensure!(std::fs::read(system.path(STATE).join("identity.json"))? == identity, "the identity changed");
    // The init system of the image starts it, in processes that end with this call.
    let said = system.run(&[
        "sh",
        "-c",
        "sh /etc/init.d/rcS && sleep 3 && wardwatch-agent status; /etc/init.d/S90wardwatch-agent stop",
    ])?;
    ensure!(said.contains("runs (process"), "{said}");

    let said = system.run(&["sh", &script, "--remove"])?;
    ensure!(!system.has(AGENT) && !system.has("/etc/init.d/S90wardwatch-agent"), "{said}");
    ensure!(
        std::fs::read(system.path(STATE).join("identity.json"))? == identity,
        "removal changed the identity"
    );
    system.run(&["sh", &script, "--remove", "--purge"])?;
    ensure!(!system.has(STATE), "the state was not purged");
    Ok(())
}

#[test]
#[ignore = "needs root, cross/package and busybox-static; tests/run --all runs it"]
fn an_upgrade_wants_space_only_where_the_program_was_put() -> Result<()> {
    let system = Chroot::busybox()?;
    let folder = unpack(&system, &package("wardwatch-agent", "x86_64-unknown-linux-musl", ".tar.gz"))?;
    let script = format!("{folder}/install.sh");
    system.run(&["sh", &script, "--program=/mnt/agent", "--state-dir", "/mnt/state"])?;
    std::fs::write(system.path("/mnt/agent"), "an older program")?;
    // A recorder's own file systems are full to the brim.
    let full = format!(
        "for folder in usr/sbin var/lib; do mount -t tmpfs -o size=64k none /$folder; done; sh {script}"
    );
    system.run(&["sh", "-c", &full])?;
    ensure!(
        system.run(&["/mnt/agent", "--version"])?.contains("wardwatch-agent"),
        "the program was not replaced"
    );
    Ok(())
}

#[test]
#[ignore = "needs root, cross/package and busybox-static; tests/run --all runs it"]
fn a_package_that_is_damaged_foreign_or_too_large_changes_nothing() -> Result<()> {
    let system = Chroot::busybox()?;
    let folder = unpack(&system, &package("wardwatch-agent", "x86_64-unknown-linux-musl", ".tar.gz"))?;
    let script = format!("{folder}/install.sh");

    let tight = format!("mount -t tmpfs -o size=4m none /var/lib && sh {script}");
    let said = refused(&system, &["sh", "-c", &tight])?;
    ensure!(said.contains("KiB are needed"), "{said}");

    let document = system.path(&folder).join("README.txt");
    let text = std::fs::read_to_string(&document)?;
    std::fs::write(&document, text.replace('1', "2"))?;
    let said = refused(&system, &["sh", &script])?;
    ensure!(said.contains("damaged") && said.contains("README.txt"), "{said}");
    std::fs::write(&document, text)?;

    let agent = system.path(&folder).join("wardwatch-agent");
    let mut program = std::fs::read(&agent)?;
    std::fs::write(&agent, "#!/bin/sh\ntouch /ran\n")?;
    let said = refused(&system, &["sh", &script, "--remove"])?;
    ensure!(said.contains("damaged") && !system.has("/ran"), "a changed program was run: {said}");
    // The machine that an ELF file is for: none.
    program[18..20].copy_from_slice(&[0, 0]);
    std::fs::write(&agent, program)?;
    let sums = "sha256sum $(sed 's/^[^ ]* *//' SHA256SUMS) >sums && mv sums SHA256SUMS";
    run(Command::new("sh").args(["-c", sums]).current_dir(system.path(&folder)))?;
    let said = refused(&system, &["sh", &script])?;
    ensure!(said.contains("for another machine"), "{said}");
    ensure!(!system.has(AGENT) && !system.has(STATE), "something was installed");
    Ok(())
}

#[test]
#[ignore = "needs root, cross/package and mmdebstrap; tests/run --all runs it"]
fn a_collector_without_a_package_system_is_installed_by_the_same_script() -> Result<()> {
    const PROGRAM: &str = "/usr/local/bin/wardwatch-collector";
    let system = Chroot::debian()?;
    let folder = unpack(&system, &package("wardwatch-collector", "x86_64-unknown-linux-musl", ".tar.gz"))?;
    let script = format!("{folder}/install.sh");
    let said = system.run(&["sh", &script])?;
    let line = said.lines().find(|line| line.contains(" init ")).context(said.clone())?;
    system.run(&["sh", "-c", &line.trim().replace("NAME", "192.0.2.1")])?;
    let settings = system.path("/var/lib/wardwatch/collector.toml");
    let before = std::fs::read(&settings)?;

    std::fs::write(system.path(PROGRAM), "an older program")?;
    let said = system.run(&["sh", &script])?;
    ensure!(!said.contains("needs keys"), "{said}");
    ensure!(
        system.run(&[PROGRAM, "--version"])?.contains("wardwatch-collector"),
        "the program was not replaced"
    );
    system.run(&["sh", &script, "--remove"])?;
    ensure!(!system.has(PROGRAM) && std::fs::read(&settings)? == before, "removal changed the settings");
    system.run(&["sh", &script, "--remove", "--purge"])?;
    ensure!(!system.has("/var/lib/wardwatch"), "keys were left behind");
    Ok(())
}
