//! Machines with little memory: the agent does all its work within 16 MiB, its program and the files it reads
//! included. What it takes on ARM is not measured: i686 stands for the other machines of 32 bits.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use wardwatch_tests::memory_limit::MemoryLimit;
use wardwatch_tests::program::{self, eventually};
use wardwatch_tests::site::{AGENT, Site, write_executable, write_programs};
use wardwatch_tests::usage::Usage;

const LIMIT: u64 = 16 * 1024 * 1024;
const FILES: usize = 5000;
/// With so little memory everything takes longer.
const PATIENCE: Duration = Duration::from_secs(300);
const MIB: f64 = 1024.0 * 1024.0;

async fn works_in_sixteen_mebibytes(target: &str) -> Result<()> {
    let site = Site::start().await?;
    let limit = MemoryLimit::of(LIMIT)?;
    let mut agent = site.agent("recorder")?;
    agent.binary = program::cross(target, AGENT);
    agent.patience = PATIENCE;
    agent.launcher = limit.launcher(&site.folder().join("wardwatch-agent"));
    write_programs(&agent.watched, FILES)?;
    agent.enrol(&site.string(1).await?)?;
    agent.start()?;
    let id = agent.id()?;
    let path = format!("/endpoints/{id}");
    eventually("all is told, the policies too", PATIENCE, async || {
        let endpoint = site.get(&path).await?;
        let told = endpoint["inventory_complete"] == json!(true)
            && endpoint["checks"].as_array().is_some_and(|checks| !checks.is_empty())
            && endpoint["outbox_reports"] == json!(0);
        Ok(told.then_some(()))
    })
    .await
    .with_context(|| agent.log_text())?;

    for order in ["rescan", "recheck"] {
        site.ask(&["endpoints", order, &id])?;
    }
    let program = agent.watched.join("0/0");
    let new = write_executable(&program, "as an attacker wants it")?;
    agent.alerted(&site, &program, &new).await?;
    eventually("the second scan ends", PATIENCE, async || {
        Ok((agent.log_text().matches("scan ends").count() >= 2).then_some(()))
    })
    .await?;
    tokio::time::sleep(Duration::from_secs(5)).await;

    let usage = Usage::of(agent.program()?.id())?;
    let pressure = limit.pressure()?;
    println!(
        "{target}: resident {:.1} MiB idle, {:.1} MiB at most; with files {:.1} MiB at most, limit reached {} times",
        usage.resident as f64 / MIB,
        usage.highest as f64 / MIB,
        pressure.highest as f64 / MIB,
        pressure.reached
    );
    assert_eq!(pressure.kills, 0, "the kernel killed for want of memory");
    // Another group would have no limit, and this one nobody in it.
    assert!((usage.resident..=LIMIT).contains(&pressure.highest), "{pressure:?}, {usage:?}");
    agent.stop()?;
    let log = fs::read_to_string(&agent.log)?;
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and the musl build of x86_64; tests/run runs it"]
async fn an_agent_of_64_bits_needs_less_than_sixteen_mebibytes() -> Result<()> {
    works_in_sixteen_mebibytes("x86_64-unknown-linux-musl").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root and the musl build of i686; tests/run --all runs it"]
async fn an_agent_of_32_bits_needs_less_than_sixteen_mebibytes() -> Result<()> {
    works_in_sixteen_mebibytes("i686-unknown-linux-musl").await
}
