//! Upgrades from the centre with real programs: a good one, ones that do not work, ones that must be refused,
//! and interruptions at every step.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ed25519_dalek::SigningKey;
use serde_json::{Value, json};
use wardwatch_tests::link::{Link, Passes};
use wardwatch_tests::program::{self, eventually};
use wardwatch_tests::release::{
    self, PATIENCE, alert, alerts, becomes, ends, invented, rollout, slots, version,
};
use wardwatch_tests::site::{AGENT, Agent, Site, write_executable};

const TRIAL_SECONDS: &str = "60";

/// An agent that is enrolled and whose program lies in a folder of its own, as a package installs it.
async fn installed(site: &Site, name: &str) -> Result<Agent> {
    let mut agent = site.enrolled(name, None).await?;
    let folder = site.folder().join(format!("{name}.installed"));
    std::fs::create_dir(&folder)?;
    let own = folder.join(AGENT);
    program::copy(&program::path(AGENT), &own)?;
    agent.binary = own.to_str().context("a path")?.to_owned();
    agent.set("UPGRADE_KIB_PER_SECOND", "1000000");
    agent.set("UPGRADE_TRIAL_SECONDS", TRIAL_SECONDS);
    Ok(agent)
}

/// Has an agent reach one of the collector's ports over a link.
fn redirect(agent: &Agent, port: &str, link: &Link) -> Result<()> {
    let identity = agent.state.join("identity.json");
    let mut known: Value = serde_json::from_slice(&std::fs::read(&identity)?)?;
    known[port] = json!(link.address.port());
    Ok(std::fs::write(&identity, serde_json::to_vec(&known)?)?)
}

/// An installed agent that runs with these settings.
async fn running(site: &Site, name: &str, settings: &[(&str, &str)]) -> Result<Agent> {
    let mut agent = installed(site, name).await?;
    begin(site, &mut agent, settings).await?;
    Ok(agent)
}

async fn begin(site: &Site, agent: &mut Agent, settings: &[(&str, &str)]) -> Result<()> {
    for (name, value) in settings {
        agent.set(name, value);
    }
    agent.start()?;
    agent.settle(site).await
}

/// Waits until the confirmed program runs by itself. While it takes the place of the installed one, the process
/// may miss a signal.
async fn hands_over(site: &Site, agent: &Agent) -> Result<()> {
    eventually("the program is confirmed", PATIENCE, async || {
        Ok((slots(agent)["trial"] == Value::Null).then_some(()))
    })
    .await?;
    agent.settle(site).await
}

fn part(agent: &Agent) -> PathBuf {
    agent.state.join("slots/a.part")
}

fn bytes_of(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

/// Adds the next version and begins to roll it out to all at once.
async fn offer(site: &Site, agent: &Agent, name: &str, version: &str) -> Result<PathBuf> {
    let program = release::program(site, name)?;
    offer_program(site, agent, &program, version).await?;
    Ok(program)
}

async fn offer_program(site: &Site, agent: &Agent, program: &Path, version: &str) -> Result<()> {
    release::add(site, program, version, &release::target(site, &agent.id()?).await?)?;
    site.ask(&["releases", "roll-out", version, "--canary", "100"])?;
    Ok(())
}

async fn part_comes(agent: &Agent, bytes: u64) -> Result<()> {
    let found =
        eventually("a part has come", PATIENCE, async || Ok((bytes_of(&part(agent)) >= bytes).then_some(())));
    found.await.with_context(|| agent.log_text())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_release_goes_to_the_canary_then_to_the_rest_and_nobody_is_alarmed() -> Result<()> {
    let site = Site::start().await?;
    let mut agents = [running(&site, "one", &[]).await?, running(&site, "two", &[]).await?];
    let processes = [agents[0].program()?.id(), agents[1].program()?.id()];
    let program = release::program(&site, "next-agent")?;
    let target = release::target(&site, &agents[0].id()?).await?;
    release::add(&site, &program, "0.2.0", &target)?;
    let id =
        site.ask(&["releases", "roll-out", "0.2.0", "--canary", "1"])?["id"].as_u64().context("no id")?;

    let first = eventually("the canary is healthy", PATIENCE, async || {
        let rollout = rollout(&site, id).await?;
        Ok((rollout["healthy"] == rollout["canaries"]).then_some(rollout))
    })
    .await
    .with_context(|| agents[0].log_text() + &agents[1].log_text())?;
    assert_eq!((&first["state"], &first["endpoints"]), (&json!("canary"), &json!(2)));
    assert_eq!(first["waiting"].as_u64(), Some(2 - first["canaries"].as_u64().context("no canaries")?));

    site.ask(&["releases", "widen", &id.to_string()])?;
    for agent in &agents {
        becomes(&site, agent, "0.2.0").await?;
    }
    for (agent, process) in agents.iter_mut().zip(processes) {
        ensure!(agent.program()?.ended()?.is_none(), "{}", agent.log_text());
        assert_eq!(agent.program()?.id(), process, "the process is still the one that was started");
    }
    eventually("all are healthy", PATIENCE, async || {
        Ok((rollout(&site, id).await?["healthy"] == 2).then_some(()))
    })
    .await?;

    // Identity and stream go on, and what the agent watches for is still seen.
    write_executable(&agents[0].watched.join("payroll"), "new")?;
    let seen = eventually("an alert about a new program", PATIENCE, async || {
        let alerts = alerts(&site).await?;
        Ok((!alerts.is_empty()).then_some(alerts))
    })
    .await?;
    let rules: Vec<_> = seen.iter().map(|alert| alert["rule"].as_str().unwrap_or_default()).collect();
    assert_eq!(rules, ["executable-appeared"], "an upgrade is no alarm");
    assert_eq!(site.rows("/endpoints?").await?.len(), 2);

    // The upgraded agent comes back by itself, and stops when it is asked to.
    for agent in &agents {
        hands_over(&site, agent).await?;
    }
    agents[0].stop()?;
    agents[0].start()?;
    agents[0].settle(&site).await?;
    assert_eq!(version(&site, &agents[0]).await?, "0.2.0");
    agents[0].stop()?;
    agents[1].stop()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_that_do_not_work_lead_back_to_the_one_before_and_stop_the_roll_out() -> Result<()> {
    let site = Site::start().await?;
    let mut agent = running(&site, "pc", &[("UPGRADE_TRIAL_SECONDS", "5")]).await?;
    let target = release::target(&site, &agent.id()?).await?;
    let ends =
        [("broken-agent", "0.3.0", "exit status: 1"), ("deaf-agent", "0.4.0", "not healthy after 5 s")];
    for (name, version, reason) in ends {
        let program = release::program(&site, name)?;
        release::add(&site, &program, version, &target)?;
        let id = site.ask(&["releases", "roll-out", version, "--canary", "50"])?["id"].as_u64();
        let id = id.context("no id")?;
        alert(&site, &agent, "upgrade-returned", reason).await?;
        let stopped = eventually("the roll-out stops itself", PATIENCE, async || {
            let rollout = rollout(&site, id).await?;
            Ok((rollout["state"] == "stopped").then_some(rollout))
        })
        .await?;
        assert_eq!(stopped["returned"], 1);
        assert_eq!(slots(&agent)["trial"], Value::Null);
        agent.settle(&site).await?;
    }
    assert_eq!(version(&site, &agent).await?, "0.1.0");
    agent.stop()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_forged_older_foreign_or_cut_off_is_refused_and_told() -> Result<()> {
    let site = Site::start().await?;
    let mut agent = running(&site, "pc", &[]).await?;
    let id = agent.id()?;
    let target = release::target(&site, &id).await?;
    let foreign = "aarch64-unknown-linux-musl";

    let forger = SigningKey::from_bytes(&[9; 32]);
    release::smuggle(&site, &id, &invented("0.9.0", &target), Some(&forger)).await?;
    alert(&site, &agent, "upgrade-refused", "not signed by the release key").await?;
    release::smuggle(&site, &id, &invented("0.0.9", &target), None).await?;
    alert(&site, &agent, "upgrade-refused", "not newer").await?;
    release::smuggle(&site, &id, &invented("0.9.0", foreign), None).await?;
    alert(&site, &agent, "upgrade-refused", "it is for aarch64").await?;
    release::smuggle(&site, &id, &invented("0.9.0", &target), None).await?;
    alert(&site, &agent, "upgrade-refused", "does not hold its program").await?;

    // The collector takes neither a foreign signature nor a program for another machine.
    let program = release::program(&site, "next-agent")?;
    let key = site.folder().join("forger.key");
    std::fs::write(&key, forger.to_bytes())?;
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let forged = release::sign_with(&site, &key, &program, "0.2.0", &target)?;
    let (path, forged) = (program.to_str().context("a path")?, forged.to_str().context("a path")?);
    let refused = site.call(&["releases", "add", path, forged])?;
    assert_eq!(refused.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("not believed"));
    assert!(release::sign(&site, &program, "0.2.0", foreign).is_err());

    // Cut off on the collector's disk, then changed there.
    let held = release::add(&site, &program, "0.2.0", &target)?;
    let blob = site.data().join("blobs").join(held["digest"].as_str().context("no digest")?);
    let whole = std::fs::read(&blob)?;
    std::fs::write(&blob, &whole[..whole.len() / 2])?;
    site.ask(&["releases", "roll-out", "0.2.0", "--canary", "100"])?;
    alert(&site, &agent, "upgrade-refused", "cut off").await?;
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    std::fs::write(&blob, &changed)?;
    site.ask(&["releases", "roll-out", "0.2.0", "--canary", "100"])?;
    alert(&site, &agent, "upgrade-refused", "its digest is another").await?;
    assert!(!part(&agent).exists(), "what was refused is not kept");
    assert_eq!(version(&site, &agent).await?, "0.1.0");

    // Mended, it comes. What was refused before waits for a person all the same.
    std::fs::write(&blob, &whole)?;
    site.ask(&["releases", "roll-out", "0.2.0", "--canary", "100"])?;
    becomes(&site, &agent, "0.2.0").await?;
    ends(&site, &agent, "healthy").await?;
    alert(&site, &agent, "upgrade-refused", "its digest is another").await?;
    hands_over(&site, &agent).await?;
    agent.stop()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_confirmed_program_that_keeps_dying_leads_back_to_the_one_before() -> Result<()> {
    let site = Site::start().await?;
    let mut agent = installed(&site, "pc").await?;
    agent.environment.push(("DIES_ONCE_CONFIRMED".into(), "1".into()));
    begin(&site, &mut agent, &[]).await?;
    offer(&site, &agent, "next-agent", "0.2.0").await?;
    let mut deaths = 0;
    // The service manager's part.
    eventually("the agent has returned", PATIENCE, async || {
        if agent.program()?.ended()?.is_some() {
            deaths += 1;
            agent.start()?;
        }
        Ok((release::outcome(&site, &agent.id()?).await?.as_deref() == Some("returned")).then_some(()))
    })
    .await
    .with_context(|| agent.log_text())?;
    assert_eq!(deaths, 5);
    alert(&site, &agent, "upgrade-returned", "ended soon after 5 starts").await?;
    becomes(&site, &agent, "0.1.0").await?;
    site.ask(&["releases", "roll-out", "0.2.0", "--canary", "100"])?;
    ends(&site, &agent, "refused").await?;
    agent.stop()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_silent_burns_no_version() -> Result<()> {
    let site = Site::start().await?;
    let link = Link::to(site.mqtt).await;
    let mut agent = installed(&site, "pc").await?;
    redirect(&agent, "mqtt_port", &link)?;
    begin(&site, &mut agent, &[("UPGRADE_TRIAL_SECONDS", "5"), ("UPGRADE_KIB_PER_SECOND", "8192")]).await?;
    offer(&site, &agent, "next-agent", "0.2.0").await?;
    part_comes(&agent, 1).await?;
    link.set(Passes::Nothing);
    eventually("nobody answers the new program", PATIENCE, async || {
        Ok((slots(&agent)["trial"]["unanswered"] == json!(true)).then_some(()))
    })
    .await
    .with_context(|| agent.log_text())?;
    // Nor the one before, for as long as a trial lasts.
    tokio::time::sleep(Duration::from_secs(6)).await;
    link.set(Passes::Everything);
    let left = eventually("it is tried again", PATIENCE, async || {
        let trial = slots(&agent)["trial"].take();
        Ok((trial["unanswered"] == json!(false)).then(|| trial["attempts_left"].as_u64()))
    })
    .await
    .with_context(|| agent.log_text())?;
    assert!(left >= Some(2), "the attempt counts: {left:?} are left");
    ends(&site, &agent, "healthy").await?;
    becomes(&site, &agent, "0.2.0").await?;
    hands_over(&site, &agent).await?;
    agent.stop()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_roll_out_ends_the_fetching_that_it_began() -> Result<()> {
    let site = Site::start().await?;
    let mut agent = running(&site, "pc", &[("UPGRADE_KIB_PER_SECOND", "1024")]).await?;
    offer(&site, &agent, "next-agent", "0.2.0").await?;
    part_comes(&agent, 1).await?;
    site.ask(&["releases", "stop", "1", "--reason", "a fault was found"])?;
    ends(&site, &agent, "withdrawn").await?;
    assert!(!part(&agent).exists(), "what came is deleted");
    assert_eq!(slots(&agent)["order"], Value::Null);
    assert_eq!(alerts(&site).await?, Vec::<Value>::new());
    assert_eq!(version(&site, &agent).await?, "0.1.0");
    agent.stop()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_release_takes_the_place_of_one_that_does_not_come() -> Result<()> {
    let site = Site::start().await?;
    let link = Link::to(site.enrol).await;
    let mut agent = installed(&site, "pc").await?;
    redirect(&agent, "enrol_port", &link)?;
    begin(&site, &mut agent, &[("UPGRADE_KIB_PER_SECOND", "4096")]).await?;
    // The same program with other bytes; it never comes to be asked for its version.
    let mut bytes = std::fs::read(release::program(&site, "next-agent")?)?;
    bytes.extend(b"0.1.5");
    let first = site.folder().join("first-agent");
    std::fs::write(&first, bytes)?;
    offer_program(&site, &agent, &first, "0.1.5").await?;
    part_comes(&agent, 1).await?;
    link.set(Passes::Nothing);
    offer(&site, &agent, "next-agent", "0.2.0").await?;
    eventually("the newer one is ordered", PATIENCE, async || {
        Ok((slots(&agent)["order"]["command"] == 2).then_some(()))
    })
    .await
    .with_context(|| agent.log_text())?;
    link.set(Passes::Everything);
    becomes(&site, &agent, "0.2.0").await?;
    ends(&site, &agent, "healthy").await?;
    assert_eq!(alerts(&site).await?, Vec::<Value>::new());
    hands_over(&site, &agent).await?;
    agent.stop()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_whose_settings_allow_no_upgrade_says_so_and_nobody_is_alarmed() -> Result<()> {
    let site = Site::start().await?;
    let mut agent = running(&site, "pc", &[("ALLOW", "rescan")]).await?;
    let mut late = running(&site, "late", &[("UPGRADE_KIB_PER_SECOND", "64")]).await?;
    offer(&site, &agent, "next-agent", "0.2.0").await?;
    ends(&site, &agent, "not-allowed").await?;
    // Settings of a day when the upgrade was under way already.
    part_comes(&late, 1).await?;
    late.stop()?;
    late.set("ALLOW", "rescan");
    late.start()?;
    ends(&site, &late, "not-allowed").await?;
    assert!(!part(&late).exists(), "what came is deleted");
    assert_eq!(alerts(&site).await?, Vec::<Value>::new());
    assert_ne!(rollout(&site, 1).await?["state"], "stopped", "nothing failed");
    late.stop()?;
    agent.stop()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_link_costs_no_byte_that_had_come() -> Result<()> {
    let site = Site::start().await?;
    let link = Link::to(site.enrol).await;
    // Slow enough to be cut in the middle.
    let mut agent = installed(&site, "pc").await?;
    redirect(&agent, "enrol_port", &link)?;
    begin(&site, &mut agent, &[("UPGRADE_KIB_PER_SECOND", "4096")]).await?;
    let program = offer(&site, &agent, "next-agent", "0.2.0").await?;
    let size = bytes_of(&program);
    part_comes(&agent, size / 5 + 1).await?;
    let before = bytes_of(&part(&agent));
    link.set(Passes::Nothing);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(bytes_of(&part(&agent)) >= before, "what came is kept");
    assert!(bytes_of(&part(&agent)) < size, "the link was cut in the middle");
    link.set(Passes::Everything);
    becomes(&site, &agent, "0.2.0").await?;
    let carried = link.carried_bytes();
    println!("{size} bytes of a program, {carried} over the link");
    assert!(carried < size + size / 5, "{carried} bytes for {size}");
    hands_over(&site, &agent).await?;
    agent.stop()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_the_agent_comes_up_and_ends_upgraded() -> Result<()> {
    let site = Site::start().await?;
    let mut agent = running(&site, "pc", &[("UPGRADE_KIB_PER_SECOND", "8192")]).await?;
    offer(&site, &agent, "next-agent", "0.2.0").await?;

    type Moment = (&'static str, fn(&Agent) -> bool);
    let moments: [Moment; 3] = [
        ("fetching", |agent| bytes_of(&part(agent)) > 1024 * 1024),
        ("switching", |agent| slots(agent)["trial"]["attempts_left"].is_u64()),
        ("trying", |agent| slots(agent)["trial"]["attempts_left"].as_u64().is_some_and(|left| left < 3)),
    ];
    for (name, reached) in moments {
        eventually(name, PATIENCE, async || Ok(reached(&agent).then_some(())))
            .await
            .with_context(|| agent.log_text())?;
        agent.kill();
        agent.start()?;
    }
    becomes(&site, &agent, "0.2.0").await?;
    hands_over(&site, &agent).await?;
    // Nothing was lost and nothing told twice: each would be an alert.
    assert_eq!(alerts(&site).await?, Vec::<Value>::new());

    // Neither does a confirmed program mind, nor one that was damaged meanwhile.
    agent.kill();
    let slot = agent.state.join("slots/a").join(AGENT);
    let whole = std::fs::read(&slot)?;
    std::fs::write(&slot, &whole[..whole.len() / 2])?;
    agent.start()?;
    becomes(&site, &agent, "0.1.0").await?;
    alert(&site, &agent, "upgrade-returned", "torn or was changed").await?;
    agent.stop()
}
