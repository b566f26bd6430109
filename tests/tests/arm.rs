//! The agent of each ARM processor as a camera recorder: emulated, with BusyBox and without glibc, on a root that
//! is read-only but for the agent's state. What emulation cannot show stands in docs/hardware.md.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wardwatch_tests::link::{Link, Passes};
use wardwatch_tests::program::eventually;
use wardwatch_tests::recorder::{AARCH64, ARMV6, ARMV7, Processor, Recorder};
use wardwatch_tests::site::{Site, write_executable};

const AGENT: &str = "/usr/bin/wardwatch-agent";
/// After the last second that 32 bits can count.
const YEAR_2040: Duration = Duration::from_secs(2_208_988_800);

async fn works_on(processor: Processor) -> Result<()> {
    let site = Site::start().await?;
    let link = Link::to(site.mqtt).await;
    let mut recorder = Recorder::new(&site, processor)?;
    let program = recorder.root.join("usr/bin/recordd");
    write_executable(&program, "as shipped")?;
    let before = contents(&recorder.root)?;

    scans_and_checks(&recorder)?;
    installs_and_uninstalls(&recorder)?;
    enrol(&site, &link, &recorder).await?;
    recorder.agent.start()?;
    recorder.agent.settle(&site).await?;
    is_an_endpoint(&site, &recorder, processor).await?;

    let new = write_executable(&program, "as an attacker wants it")?;
    recorder.agent.alerted(&site, "/usr/bin/recordd", &new).await?;

    link.set(Passes::Nothing);
    let late = recorder.root.join("usr/bin/late");
    let new = write_executable(&late, "while nobody listened")?;
    eventually("the agent keeps its reports", recorder.agent.patience, async || {
        Ok((recorder.agent.status()?["outbox_reports"].as_u64() >= Some(1)).then_some(()))
    })
    .await
    .with_context(|| recorder.agent.log_text())?;
    link.set(Passes::Everything);
    recorder.agent.alerted(&site, "/usr/bin/late", &new).await?;

    recorder.agent.stop()?;
    fs::remove_file(&late)?;
    ensure!(contents(&recorder.root)? == before, "the agent changed its root");
    Ok(())
}

/// What needs no collector: real programs are hashed, also one of the year 2040, and the policy is evaluated.
fn scans_and_checks(recorder: &Recorder) -> Result<()> {
    let future = recorder.root.join("usr/bin/from-2040");
    write_executable(&future, "its time has more than 32 bits")?;
    File::options().write(true).open(&future)?.set_modified(SystemTime::UNIX_EPOCH + YEAR_2040)?;
    let scan = [AGENT, "scan", "/bin", "/usr", "--output", "json"];
    let scanned: Value = serde_json::from_slice(&recorder.output(&scan, &[0])?.stdout)?;
    for (path, local) in
        [("/bin/busybox", recorder.root.join("bin/busybox")), ("/usr/bin/from-2040", future.clone())]
    {
        let files = scanned["files"].as_array().context("no files")?;
        let file = files.iter().find(|file| file["path"] == path).with_context(|| scanned.to_string())?;
        ensure!(file["blake3"] == json!(blake3::hash(&fs::read(local)?).to_string()), "{file}");
    }
    recorder.output(&[AGENT, "scan", "/usr", "--save", "/mnt/baseline"], &[0])?;
    recorder.output(&[AGENT, "scan", "/usr", "--baseline", "/mnt/baseline"], &[0])?;
    fs::remove_file(&future)?;
    fs::remove_file(recorder.card.join("baseline"))?;
    let checked = recorder.output(&[AGENT, "check", "camera-recorder", "--output", "json"], &[0, 1])?;
    let checked: Value = serde_json::from_slice(&checked.stdout)?;
    ensure!(checked["results"].as_array().is_some_and(|results| results.len() > 10), "{checked}");
    Ok(())
}

/// On a system whose root lies on the card, since the recorder's own starts no program of another processor.
fn installs_and_uninstalls(recorder: &Recorder) -> Result<()> {
    let script = recorder.card.join("etc/init.d/S90wardwatch-agent");
    let program = recorder.card.join("usr/sbin/wardwatch-agent");
    fs::create_dir_all(recorder.card.join("etc/init.d"))?;
    let rc = "#!/bin/sh\nfor script in /etc/init.d/S??*; do \"$script\" start; done\n";
    fs::write(recorder.card.join("etc/init.d/rcS"), rc)?;
    recorder.output(&[AGENT, "install", "--root", "/mnt", "--init", "busybox"], &[0])?;
    ensure!(script.exists(), "no script was installed");
    ensure!(
        fs::read(&program)? == fs::read(recorder.root.join(&AGENT[1..]))?,
        "another program was installed"
    );
    recorder.output(&["/bin/sh", "-n", "/mnt/etc/init.d/S90wardwatch-agent"], &[0])?;
    recorder.output(&[AGENT, "uninstall", "--root", "/mnt", "--init", "busybox"], &[0])?;
    ensure!(!script.exists() && !program.exists(), "something of it stays");
    Ok(())
}

async fn enrol(site: &Site, link: &Link, recorder: &Recorder) -> Result<()> {
    let mut string = site.string_for("camera-recorder", 1).await?;
    string.mqtt_port = link.address.port();
    let file = site.folder().join("string");
    fs::write(&file, string.to_secret_text())?;
    let enrolled = recorder.agent.command("enrol").stdin(Stdio::from(File::open(file)?)).output()?;
    ensure!(enrolled.status.success(), "enrol: {}", String::from_utf8_lossy(&enrolled.stderr));
    Ok(())
}

/// The collector knows what machine it is, what lies on it, and how it is set up.
async fn is_an_endpoint(site: &Site, recorder: &Recorder, processor: Processor) -> Result<()> {
    let id = recorder.agent.id()?;
    let path = format!("/endpoints/{id}");
    let endpoint = eventually("the verdicts arrive", recorder.agent.patience, async || {
        let endpoint = site.get(&path).await?;
        Ok(endpoint["checks"].as_array().is_some_and(|checks| checks.len() > 10).then_some(endpoint))
    })
    .await?;
    ensure!(endpoint["kind"] == "camera-recorder", "{endpoint}");
    ensure!(endpoint["host"]["architecture"] == processor.kernel, "{}", endpoint["host"]);
    for path in ["/bin/busybox", AGENT] {
        let files = site.rows(&format!("/endpoints/{id}/files?search={path}")).await?;
        let digest = blake3::hash(&fs::read(recorder.root.join(&path[1..]))?).to_string();
        ensure!(files.iter().any(|file| file["digest"] == json!(digest)), "{path}: {files:?}");
    }
    Ok(())
}

/// All names below a folder.
fn contents(folder: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(contents(&entry.path())?);
        }
        found.insert(entry.path());
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root, qemu-user-static and the ARMv7 build; tests/run runs it"]
async fn an_agent_of_armv7_works_as_a_recorder() -> Result<()> {
    works_on(ARMV7).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root, qemu-user-static and the ARMv6 build; tests/run --all runs it"]
async fn an_agent_of_armv6_works_as_a_recorder() -> Result<()> {
    works_on(ARMV6).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root, qemu-user-static and the AArch64 build; tests/run --all runs it"]
async fn an_agent_of_aarch64_works_as_a_recorder() -> Result<()> {
    works_on(AARCH64).await
}
