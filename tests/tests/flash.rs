//! Small flash memories: how large the agent's state is, and what it writes in a day.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use wardwatch_tests::program::eventually;
use wardwatch_tests::site::{Agent, PATIENCE, Site, write_executable, write_programs};
use wardwatch_tests::usage::{Usage, bytes_below};

const FILES: usize = 5000;
const STATE_LIMIT: u64 = 8 * 1024 * 1024;
/// What a day without any change may write, in bytes.
const DAY_LIMIT: u64 = 8 * 1024 * 1024;
const WATCHED_FOR: Duration = Duration::from_secs(60);
/// Acks and the status are written down by then.
const SETTLING: Duration = Duration::from_secs(12);

fn state_is_small(agent: &Agent, when: &str) -> Result<()> {
    let bytes = bytes_below(&agent.state)?;
    println!("state {when}: {} KiB", bytes / 1024);
    ensure!(bytes <= STATE_LIMIT, "{when} the state has {bytes} bytes");
    Ok(())
}

/// Has the agent look at everything again, trusting no stamp.
async fn rescan(site: &Site, agent: &Agent) -> Result<()> {
    let scans = || agent.log_text().matches("scan ends").count();
    let before = scans();
    site.ask(&["endpoints", "rescan", &agent.id()?])?;
    eventually("another scan ends", PATIENCE, async || Ok((scans() > before).then_some(()))).await
}

async fn enrolled_with_files(site: &Site) -> Result<Agent> {
    let mut agent = site.enrolled("recorder", None).await?;
    write_programs(&agent.watched, FILES)?;
    agent.start()?;
    agent.settle(site).await?;
    Ok(agent)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "watches for minutes; tests/run --all runs it"]
async fn the_state_of_five_thousand_files_stays_below_eight_mebibytes() -> Result<()> {
    let site = Site::start().await?;
    let mut agent = enrolled_with_files(&site).await?;
    state_is_small(&agent, "after the first scan")?;
    for round in 0..3 {
        for number in (round..FILES).step_by(7) {
            let program = agent.watched.join(format!("{}/{}", number / 100, number % 100));
            write_executable(&program, &format!("version {round}"))?;
        }
        rescan(&site, &agent).await?;
        agent.settle(&site).await?;
        state_is_small(&agent, &format!("after {} changes", (round + 1) * FILES / 7))?;
    }
    for folder in 0..25 {
        fs::remove_dir_all(agent.watched.join(folder.to_string()))?;
    }
    rescan(&site, &agent).await?;
    agent.settle(&site).await?;
    state_is_small(&agent, "after half of them went")?;
    agent.stop()?;
    agent.start()?;
    agent.settle(&site).await?;
    state_is_small(&agent, "after a restart")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "watches for minutes; tests/run --all runs it"]
async fn a_day_without_changes_hardly_wears_the_flash() -> Result<()> {
    let site = Site::start().await?;
    let mut agent = enrolled_with_files(&site).await?;
    tokio::time::sleep(SETTLING).await;
    let process = agent.program()?.id();
    let written = || Ok::<_, anyhow::Error>(Usage::of(process)?.written);

    let begin = written()?;
    tokio::time::sleep(WATCHED_FOR).await;
    let idle = written()? - begin;

    let begin = written()?;
    let cache = fs::read(agent.state.join("files.redb"))?;
    rescan(&site, &agent).await?;
    tokio::time::sleep(SETTLING).await;
    let scan = written()? - begin;
    let same = fs::read(agent.state.join("files.redb"))? == cache;
    ensure!(same, "a scan of unchanged files changed what is remembered of them");

    // It writes a report, what is remembered, an ack and the status: all that an hourly write has, and more.
    let begin = written()?;
    write_executable(&agent.watched.join("0/0"), "changed")?;
    eventually("the change is told", PATIENCE, async || Ok((written()? > begin).then_some(()))).await?;
    tokio::time::sleep(SETTLING).await;
    let change = written()? - begin;

    let day = idle * (24 * 3600 / WATCHED_FOR.as_secs()) + scan * 4 + change * 24;
    println!(
        "written: {idle} bytes in an idle minute, {scan} by a scan without changes, {change} by one change"
    );
    println!("a day without changes: at most {} KiB", day / 1024);
    ensure!(day <= DAY_LIMIT, "a day without changes writes {day} bytes");
    Ok(())
}
