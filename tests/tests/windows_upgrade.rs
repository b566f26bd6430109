//! Upgrades from the centre on Windows, under Wine: there no process becomes another, so that the installed program
//! waits beside the one that took its place for as long as that runs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use serde_json::Value;
use wardwatch_tests::program::{cross, eventually};
use wardwatch_tests::release::{self, PATIENCE, alert, becomes, rollout, slots, version};
use wardwatch_tests::site::{Agent, Site};
use wardwatch_tests::windows::{TARGET, Wine};

/// A Windows PC with an agent that was enrolled and told its files.
struct Pc {
    agent: Agent,
    _folder: tempfile::TempDir,
}

impl Pc {
    async fn start(wine: &Wine, site: &Site, trial_seconds: &str) -> Result<Self> {
        let folder = wine.folder()?;
        let mut agent = wine.agent(site, "pc", folder.path())?;
        agent.set("UPGRADE_KIB_PER_SECOND", "1000000");
        agent.set("UPGRADE_TRIAL_SECONDS", trial_seconds);
        agent.enrol(&site.string(1).await?)?;
        agent.start()?;
        agent.settle(site).await?;
        Ok(Self { agent, _folder: folder })
    }

    /// The agent's processes: all that were called with its settings.
    fn processes(&self) -> Result<Vec<u32>> {
        let settings = self.agent.config.display().to_string();
        let is_of_agent = |process: &Path| {
            let call = fs::read(process.join("cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&call).contains(&settings)
        };
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let path = entry?.path();
            let id = path.file_name().and_then(|name| name.to_str()?.parse::<u32>().ok());
            found.extend(id.filter(|_| is_of_agent(&path)));
        }
        Ok(found)
    }

    async fn has_processes(&self, number: usize) -> Result<()> {
        let what = format!("{number} processes");
        eventually(&what, PATIENCE, async || Ok((self.processes()?.len() == number).then_some(()))).await
    }
}

/// Signs a program, gives it to the collector and begins to roll it out, to so many of a hundred first; returns the
/// number of the roll-out.
fn offer(site: &Site, name: &str, version: &str, canary: &str) -> Result<u64> {
    // Its name gets another ending for what is made of it.
    let program = site.folder().join(name);
    fs::copy(PathBuf::from(cross(TARGET, &format!("{name}.exe"))), &program)?;
    release::add(site, &program, version, TARGET)?;
    let begun = site.ask(&["releases", "roll-out", version, "--canary", canary])?;
    Ok(begun["id"].as_u64().unwrap_or_default())
}

/// Half a minute, more on a busy machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs wine, the agent and its stand-ins for Windows; tests/run --all runs it"]
async fn a_good_release_is_tried_and_confirmed_and_ends_with_the_installed_program() -> Result<()> {
    let (wine, site) = (Wine::start()?, Site::start().await?);
    let mut pc = Pc::start(&wine, &site, "120").await?;
    let process = pc.agent.program()?.id();
    let id = offer(&site, "next-agent", "0.2.0", "100")?;
    becomes(&site, &pc.agent, "0.2.0").await?;
    eventually("it is healthy", PATIENCE, async || {
        Ok((rollout(&site, id).await?["healthy"] == 1).then_some(()))
    })
    .await?;
    eventually("it is confirmed", PATIENCE, async || {
        Ok((slots(&pc.agent)["trial"] == Value::Null).then_some(()))
    })
    .await?;
    assert_eq!(pc.agent.program()?.id(), process, "the process is still the one that was started");
    pc.has_processes(2).await?;

    let ended = pc.agent.program()?.interrupt()?;
    assert!(ended.success(), "{ended}\n{}", pc.agent.log_text());
    pc.has_processes(0).await?;

    // The confirmed program runs at the next start, from the slot, and ends with one that is killed.
    pc.agent.start()?;
    pc.agent.settle(&site).await?;
    assert_eq!(version(&site, &pc.agent).await?, "0.2.0");
    pc.has_processes(2).await?;
    pc.agent.kill();
    pc.has_processes(0).await
}

/// A minute, more on a busy machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs wine, the agent and its stand-ins for Windows; tests/run --all runs it"]
async fn programs_that_do_not_work_lead_back_to_the_installed_one() -> Result<()> {
    let (wine, site) = (Wine::start()?, Site::start().await?);
    let mut pc = Pc::start(&wine, &site, "10").await?;
    let ends = [("broken-agent", "0.3.0", "exit code: 1"), ("deaf-agent", "0.4.0", "not healthy after 10 s")];
    for (name, version, reason) in ends {
        let id = offer(&site, name, version, "50")?;
        alert(&site, &pc.agent, "upgrade-returned", reason).await?;
        eventually("the roll-out stops itself", PATIENCE, async || {
            Ok((rollout(&site, id).await?["state"] == "stopped").then_some(()))
        })
        .await?;
        assert_eq!(slots(&pc.agent)["trial"], Value::Null);
        pc.agent.settle(&site).await?;
        pc.has_processes(1).await?;
    }
    assert_eq!(version(&site, &pc.agent).await?, "0.1.0");
    let ended = pc.agent.program()?.interrupt()?;
    assert!(ended.success(), "{ended}\n{}", pc.agent.log_text());
    Ok(())
}

/// A program that hears nothing does not see its standard input end either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs wine, the agent and its stand-ins for Windows; tests/run --all runs it"]
async fn a_deaf_program_on_trial_ends_with_the_installed_one_that_is_killed() -> Result<()> {
    let (wine, site) = (Wine::start()?, Site::start().await?);
    let mut pc = Pc::start(&wine, &site, "600").await?;
    offer(&site, "deaf-agent", "0.4.0", "50")?;
    pc.has_processes(2).await?;
    pc.agent.kill();
    pc.has_processes(0).await
}
