//! Nothing lost, nothing twice: whatever is killed or cut while files change, in the end the collector knows
//! what lies on the disk, and has counted no change twice.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;
use wardwatch_tests::chance::random;
use wardwatch_tests::link::{Link, Passes};
use wardwatch_tests::program::eventually;
use wardwatch_tests::site::{Agent, PATIENCE, Site, write_executable};
use wardwatch_tests::truth::{agree, assert_no_suspicion, assert_nothing_twice, change, findings, in_store};

const CHANGES: usize = 10_000;
const KILLS: usize = 20;
const FILES: usize = 500;
/// Between two changes, so that kills fall among them.
const PACE: Duration = Duration::from_millis(4);
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_kills_among_ten_thousand_changes_lose_nothing_and_count_nothing_twice() -> Result<()> {
    let mut random = random();
    let mut site = Site::start().await?;
    let link = Link::to(site.mqtt).await;
    let mut agent = site.enrolled("office", Some(&link)).await?;
    for file in 0..FILES / 2 {
        write_executable(&agent.watched.join(format!("program-{file:03}")), "as installed")?;
    }
    agent.start()?;

    let mut tick = tokio::time::interval(PACE);
    let mut mend_at = usize::MAX;
    let mut killed = [0; 3];
    for number in 0..CHANGES {
        tick.tick().await;
        change(&mut random, &agent.watched, FILES, number)?;
        if number % (CHANGES / KILLS) == 0 {
            let which = random.usize(..3);
            killed[which] += 1;
            match which {
                0 => site.kill_collector(),
                1 => agent.kill(),
                _ => link.set(Passes::Nothing),
            }
            mend_at = number + random.usize(10..CHANGES / KILLS - 10);
        }
        if number == mend_at {
            site.launch_collector()?;
            if !agent.runs() {
                agent.start()?;
            }
            link.set(Passes::Everything);
        }
    }
    println!("killed: collector {}, agent {}, link {}", killed[0], killed[1], killed[2]);
    let begin = Instant::now();
    site.start_collector().await?;
    agree(&site, &agent).await?;
    println!("the store equals the disk {:.1} s after the last change", begin.elapsed().as_secs_f32());
    agent.settle(&site).await?;
    let found = assert_nothing_twice(&site, &agent).await?;
    println!("{found} findings of {CHANGES} changes");
    let verified = site.ask(&["audit", "verify"])?;
    assert_eq!(verified["intact"], json!(true));
    assert_no_suspicion(&site, &agent).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_is_offline_keeps_its_reports_through_a_restart() -> Result<()> {
    let site = Site::start().await?;
    let link = Link::to(site.mqtt).await;
    let mut agent = site.enrolled("office", Some(&link)).await?;
    agent.start()?;
    agent.settle(&site).await?;

    link.set(Passes::Nothing);
    let program = agent.watched.join("program");
    write_executable(&program, "first")?;
    waits(&agent, 1).await?;
    agent.kill();
    write_executable(&program, "second")?;
    agent.start()?;
    waits(&agent, 2).await?;
    assert!(in_store(&site, &agent).await?.is_empty());

    link.set(Passes::Everything);
    agree(&site, &agent).await?;
    agent.settle(&site).await?;
    let found = findings(&site, &agent).await?;
    let path = program.to_string_lossy().into_owned();
    assert_eq!(found[&path].len(), 2, "what was seen before the restart is told as well: {found:?}");
    assert_nothing_twice(&site, &agent).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_acks_stall_nobody_and_count_nothing_twice() -> Result<()> {
    let site = Site::start().await?;
    let link = Link::to(site.mqtt).await;
    let mut agent = site.enrolled("office", Some(&link)).await?;
    agent.start()?;
    agent.settle(&site).await?;

    link.set(Passes::UpOnly);
    for number in 0..20 {
        write_executable(&agent.watched.join(format!("program-{number}")), "new")?;
    }
    // They arrive and are committed, but the agent does not hear of it.
    agree(&site, &agent).await?;
    waits(&agent, 1).await?;
    link.set(Passes::Everything);
    write_executable(&agent.watched.join("program-0"), "changed")?;
    agree(&site, &agent).await?;
    agent.settle(&site).await?;
    assert_eq!(assert_nothing_twice(&site, &agent).await?, 21);
    Ok(())
}

/// Waits until the agent itself says that so many reports wait.
async fn waits(agent: &Agent, reports: u64) -> Result<()> {
    eventually("the agent keeps its reports", PATIENCE, async || {
        Ok((agent.status()?["outbox_reports"].as_u64() >= Some(reports)).then_some(()))
    })
    .await
    .with_context(|| agent.log_text())
}
