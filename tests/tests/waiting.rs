//! An agent that is started before its machine is enrolled.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;
use wardwatch_tests::program::eventually;
use wardwatch_tests::site::{Agent, PATIENCE, Site};

/// An agent whose string is waited for in the file that is returned.
fn waiting_agent(site: &Site) -> Result<(Agent, PathBuf)> {
    let mut agent = site.agent("new")?;
    let file = site.folder().join("wardwatch-enrol.txt");
    agent.environment.push(("WARDWATCH_ENROLMENT_FILE".into(), file.display().to_string()));
    agent.start()?;
    Ok((agent, file))
}

fn put(file: &Path, text: &str, mode: u32) -> Result<()> {
    let draft = file.with_extension("draft");
    std::fs::write(&draft, text)?;
    std::fs::set_permissions(&draft, Permissions::from_mode(mode))?;
    Ok(std::fs::rename(draft, file)?)
}

async fn status_with(agent: &Agent, what: &str, is_so: impl Fn(&Value) -> bool) -> Result<Value> {
    eventually(what, PATIENCE, async || Ok(agent.status().ok().filter(&is_so)))
        .await
        .with_context(|| agent.log_text())
}

fn problem_holds(words: &str) -> impl Fn(&Value) -> bool {
    move |status| status["problem"].as_str().is_some_and(|problem| problem.contains(words))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_enrols_when_a_usable_string_is_put_in_its_place() -> Result<()> {
    let site = Site::start().await?;
    let (mut agent, file) = waiting_agent(&site)?;
    let status = status_with(&agent, "it says that it waits", |status| status["running"] == true).await?;
    assert!(
        status["link"].as_str().unwrap().contains(&format!("waiting for {}", file.display())),
        "{status}"
    );
    assert_eq!(status["agent"], Value::Null);

    let string = site.string(1).await?.to_secret_text();
    put(&file, "no string", 0o600)?;
    status_with(&agent, "it refuses nonsense", problem_holds("this is not an enrolment string")).await?;
    put(&file, &string, 0o644)?;
    status_with(&agent, "it refuses a file for all", problem_holds("others may read")).await?;
    let elsewhere = file.with_extension("elsewhere");
    put(&elsewhere, &string, 0o600)?;
    std::fs::remove_file(&file)?;
    symlink(&elsewhere, &file)?;
    status_with(&agent, "it refuses a link", problem_holds("it is a link")).await?;

    std::fs::remove_file(&file)?;
    put(&file, &string, 0o600)?;
    status_with(&agent, "it has enrolled", |status| status["agent"].is_string()).await?;
    assert!(!file.exists(), "the string is a secret and stays");
    agent.settle(&site).await?;
    agent.stop()?;
    assert!(!agent.log_text().contains(string.trim()), "the string stands in the log");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_goes_on_when_somebody_enrols_beside_it() -> Result<()> {
    let site = Site::start().await?;
    let (mut agent, _) = waiting_agent(&site)?;
    status_with(&agent, "it waits", |status| status["running"] == true).await?;
    agent.enrol(&site.string(1).await?)?;
    agent.settle(&site).await?;
    agent.stop()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_stops_cleanly_while_it_waits() -> Result<()> {
    let site = Site::start().await?;
    let (mut agent, _) = waiting_agent(&site)?;
    status_with(&agent, "it waits", |status| status["running"] == true).await?;
    agent.stop()?;
    let status = agent.status()?;
    assert_eq!((&status["running"], &status["problem"]), (&Value::Bool(false), &Value::Null));
    Ok(())
}
