//! The power goes while the agent scans, reports or becomes another version. Its state lies on a disk of its own, which is copied at random
//! moments as it is then, without what was not yet written; beside it the collector's data of the same moment. Each
//! of these worlds is then gone on with.
//!
//! What a flash memory does to blocks that it was just writing is not imitated.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use wardwatch_tests::chance::random;
use wardwatch_tests::disk::Disk;
use wardwatch_tests::namespace::has_own_mounts;
use wardwatch_tests::program::eventually;
use wardwatch_tests::release;
use wardwatch_tests::site::{Agent, PATIENCE, Site, write_executable};
use wardwatch_tests::truth::{agree, assert_no_suspicion, assert_nothing_twice, change};

const CUTS_WHILE_SCANNING: usize = 6;
const CUTS_WHILE_REPORTING: usize = 14;
const FILES: usize = 1000;
const DISK_BYTES: u64 = 24 * 1024 * 1024;
/// With room for programs that were not made small.
const DISK_FOR_UPGRADES_BYTES: u64 = 96 * 1024 * 1024;
const NEXT: &str = "0.2.0";
const BETWEEN_CHANGES: Duration = Duration::from_millis(4);
/// The collector has written what was on its way if it writes nothing for so long.
const REST: Duration = Duration::from_millis(300);

/// What stood on the disks when the power went.
struct Cut {
    state: PathBuf,
    collector: PathBuf,
}

impl Cut {
    async fn take(site: &Site, agent: &mut Agent, disk: &Disk, number: usize) -> Result<Self> {
        let folder = site.folder().join(format!("cut-{number}"));
        std::fs::create_dir(&folder)?;
        let cut = Self { state: folder.join("disk"), collector: folder.join("collector") };
        // From here on it does nothing more, whatever it was doing.
        agent.program()?.pause()?;
        disk.copy(&cut.state).await?;
        rests(site).await?;
        copy(&site.data(), &cut.collector)?;
        agent.program()?.go_on()?;
        Ok(cut)
    }

    /// Starts everything again from what stood on the disks.
    async fn go_on(&self, site: &mut Site, agent: &mut Agent, upgrade: Option<&Path>) -> Result<usize> {
        site.kill_collector();
        std::fs::remove_dir_all(site.data())?;
        std::fs::rename(&self.collector, site.data())?;
        let disk = Disk::mount(&self.state, &agent.state)?;
        site.start_collector().await?;
        agent.start()?;
        let proved = prove(site, agent, upgrade).await;
        agent.stop()?;
        drop(disk);
        proved
    }
}

async fn prove(site: &Site, agent: &Agent, upgrade: Option<&Path>) -> Result<usize> {
    if let Some(program) = upgrade {
        prove_upgraded(site, agent, program).await?;
    }
    agree(site, agent).await?;
    agent.settle(site).await?;
    assert_no_suspicion(site, agent).await?;
    assert_nothing_twice(site, agent).await
}

async fn rests(site: &Site) -> Result<()> {
    let stamps = || -> Result<Vec<_>> {
        let files = ["wardwatch.db", "wardwatch.db-wal"].map(|name| site.data().join(name));
        files.iter().map(|file| Ok((file.metadata()?.len(), file.metadata()?.modified()?))).collect()
    };
    eventually("the collector rests", PATIENCE, async || {
        let before = stamps()?;
        tokio::time::sleep(REST).await;
        Ok((stamps()? == before).then_some(()))
    })
    .await
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    ensure!(status.success(), "cp: {status}");
    Ok(())
}

/// Takes minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and loop devices; tests/run --all runs it"]
async fn after_a_power_cut_nothing_is_lost_and_nothing_is_told_twice() -> Result<()> {
    if !has_own_mounts("after_a_power_cut_nothing_is_lost_and_nothing_is_told_twice")? {
        return Ok(());
    }
    let mut random = random();
    let mut site = Site::start().await?;
    let mut agent = site.agent("recorder")?;
    std::fs::create_dir(&agent.state)?;
    let disk = Disk::make(&site.folder().join("disk"), DISK_BYTES, &agent.state)?;
    for file in 0..FILES {
        write_executable(&agent.watched.join(format!("program-{file:03}")), "as installed")?;
    }
    agent.enrol(&site.string(1).await?)?;
    agent.start()?;

    let mut cuts = Vec::new();
    for number in 0..CUTS_WHILE_SCANNING {
        tokio::time::sleep(Duration::from_millis(random.u64(20..400))).await;
        cuts.push(Cut::take(&site, &mut agent, &disk, number).await?);
    }
    agent.settle(&site).await?;
    let mut changes = 0;
    for number in 0..CUTS_WHILE_REPORTING {
        let until = Instant::now() + Duration::from_millis(random.u64(200..3000));
        while Instant::now() < until {
            change(&mut random, &agent.watched, FILES, changes)?;
            changes += 1;
            tokio::time::sleep(BETWEEN_CHANGES).await;
        }
        cuts.push(Cut::take(&site, &mut agent, &disk, CUTS_WHILE_SCANNING + number).await?);
    }
    agent.kill();
    drop(disk);

    for (number, cut) in cuts.iter().enumerate() {
        let found = cut.go_on(&mut site, &mut agent, None).await;
        let found = found.with_context(|| format!("cut {number} of {changes} changes"))?;
        println!("cut {number}: the store equals the disk, {found} findings");
    }
    Ok(())
}

/// How far an upgrade has come, as the state folder shows it.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
enum Stage {
    Waiting,
    /// This share of the program has come.
    Fetching(f64),
    Placed,
    Trying,
    Confirmed,
}

fn stage(agent: &Agent, size: u64) -> Stage {
    let folder = agent.state.join("slots");
    let text = std::fs::read_to_string(folder.join("current.json")).unwrap_or_default();
    let slots: Value = serde_json::from_str(&text).unwrap_or_default();
    if slots["current"].is_object() {
        return Stage::Confirmed;
    }
    if let Some(left) = slots["trial"]["attempts_left"].as_u64() {
        return if left < 3 { Stage::Trying } else { Stage::Placed };
    }
    match folder.join("a.part").metadata() {
        Ok(part) => Stage::Fetching(part.len() as f64 / size as f64),
        Err(_) if folder.join("a").exists() => Stage::Placed,
        Err(_) => Stage::Waiting,
    }
}

/// The upgrade ends well, with the program that was signed, and is told once.
async fn prove_upgraded(site: &Site, agent: &Agent, program: &Path) -> Result<()> {
    let id = agent.id()?;
    eventually("the endpoint is upgraded", PATIENCE * 4, async || {
        let shown = site.get(&format!("/endpoints/{id}")).await?;
        let told = release::outcome(site, &id).await?;
        Ok((shown["host"]["agent_version"] == NEXT && told.as_deref() == Some("healthy")).then_some(()))
    })
    .await
    .with_context(|| agent.log_text())?;
    let slot = std::fs::read(agent.state.join("slots/a/wardwatch-agent"))?;
    ensure!(slot == std::fs::read(program)?, "the program in the slot is torn");
    let log = site.collector_log_text();
    ensure!(!log.contains("what came of an upgrade is not counted"), "it was told twice: {log}");
    Ok(())
}

/// Takes minutes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and loop devices; tests/run --all runs it"]
async fn after_a_power_cut_in_an_upgrade_a_whole_program_runs_and_the_upgrade_ends() -> Result<()> {
    if !has_own_mounts("after_a_power_cut_in_an_upgrade_a_whole_program_runs_and_the_upgrade_ends")? {
        return Ok(());
    }
    let mut random = random();
    let mut site = Site::start().await?;
    let mut agent = site.agent("recorder")?;
    std::fs::create_dir(&agent.state)?;
    let disk = Disk::make(&site.folder().join("disk"), DISK_FOR_UPGRADES_BYTES, &agent.state)?;
    for file in 0..FILES / 10 {
        write_executable(&agent.watched.join(format!("program-{file:03}")), "as installed")?;
    }
    agent.enrol(&site.string(1).await?)?;
    agent.environment.push(("WARDWATCH_UPGRADE_KIB_PER_SECOND".into(), "4096".into()));
    agent.start()?;
    agent.settle(&site).await?;
    let program = release::program(&site, "next-agent")?;
    let size = program.metadata()?.len();
    release::add(&site, &program, NEXT, &release::target(&site, &agent.id()?).await?)?;
    site.ask(&["releases", "roll-out", NEXT, "--canary", "100"])?;

    let moments = [
        Stage::Fetching(0.0),
        Stage::Fetching(random.f64() * 0.5),
        Stage::Fetching(0.5 + random.f64() * 0.4),
        Stage::Placed,
        Stage::Trying,
        Stage::Trying,
        Stage::Trying,
        Stage::Confirmed,
        Stage::Confirmed,
    ];
    let mut cuts = Vec::new();
    for (number, moment) in moments.into_iter().enumerate() {
        eventually("the moment comes", PATIENCE * 4, async || {
            Ok((stage(&agent, size) >= moment).then_some(()))
        })
        .await
        .with_context(|| agent.log_text())?;
        change(&mut random, &agent.watched, FILES / 10, number)?;
        tokio::time::sleep(Duration::from_millis(random.u64(0..150))).await;
        let found = stage(&agent, size);
        cuts.push((found, Cut::take(&site, &mut agent, &disk, number).await?));
    }
    agent.kill();
    drop(disk);

    for (number, (found, cut)) in cuts.iter().enumerate() {
        let gone_on = cut.go_on(&mut site, &mut agent, Some(&program)).await;
        gone_on.with_context(|| format!("cut {number}, {found:?}"))?;
        println!("cut {number}, {found:?}: the upgrade ended");
    }
    Ok(())
}
