//! The agent on a kernel like those of old recorders: every system call newer than Linux 3.10 is unknown there.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use wardwatch_tests::program;
use wardwatch_tests::site::{AGENT, Agent, Site, write_executable};

/// What `scan` and `check` print, which need no collector.
fn printed(agent: &Agent, arguments: &[&str]) -> Result<Value> {
    let launcher = agent.launcher.first().context("no launcher")?;
    let program = program::path(&agent.binary).display().to_string();
    let output = program::run(launcher, &[&[program.as_str()], arguments].concat(), &agent.state)?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(matches!(output.status.code(), Some(0 | 1)), "{arguments:?}: {}\n{said}", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| said.into_owned())
}

async fn works(binary: &str) -> Result<()> {
    let site = Site::start().await?;
    let mut agent = site.agent("recorder")?;
    agent.binary = binary.to_owned();
    agent.launcher = vec!["old-kernel".to_owned()];
    let program = agent.watched.join("recordd");
    let digest = write_executable(&program, "as installed")?;

    let watched = agent.watched.display().to_string();
    let baseline = site.folder().join("baseline").display().to_string();
    let scanned = printed(&agent, &["scan", &watched, "--save", &baseline, "--output", "json"])?;
    assert_eq!(scanned["files"][0]["blake3"], json!(digest));
    let compared = printed(&agent, &["scan", &watched, "--baseline", &baseline, "--output", "json"])?;
    assert_eq!(compared["changes"], json!([]));
    let checked = printed(&agent, &["check", "camera-recorder", "--output", "json"])?;
    assert!(checked["results"].as_array().is_some_and(|results| results.len() > 10), "{checked}");

    agent.enrol(&site.string(1).await?)?;
    agent.start()?;
    agent.settle(&site).await?;
    let endpoint = site.get(&format!("/endpoints/{}", agent.id()?)).await?;
    assert_eq!(endpoint["coverage"][0]["watch"], json!("live"), "{endpoint}");

    let new = write_executable(&program, "as an attacker wants it")?;
    agent.alerted(&site, &program, &new).await?;
    agent.stop()?;
    let log = agent.log_text();
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_works_on_a_kernel_of_2013() -> Result<()> {
    works(AGENT).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the musl build of x86_64; tests/run runs it"]
async fn a_static_agent_works_on_a_kernel_of_2013() -> Result<()> {
    works(&program::cross("x86_64-unknown-linux-musl", AGENT)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the musl build of i686; tests/run --all runs it"]
async fn a_static_agent_of_32_bits_works_on_a_kernel_of_2013() -> Result<()> {
    works(&program::cross("i686-unknown-linux-musl", AGENT)).await
}
