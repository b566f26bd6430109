//! Nothing lost, nothing twice: whatever is killed or cut while files change, in the end the collector knows
//! what lies on the disk, and has counted no change twice.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use serde_json::{Value, json};
use sqlx::{Connection, Row};
use wardwatch_tests::link::{Link, Passes};
use wardwatch_tests::program::eventually;
use wardwatch_tests::site::{Agent, PATIENCE, Site, write_executable};

const CHANGES: usize = 10_000;
const KILLS: usize = 20;
const FILES: usize = 500;
/// Between two changes, so that kills fall among them.
const PACE: Duration = Duration::from_millis(4);
/// After the last kill, back-off and a full scan included.
const RECOVERY: Duration = Duration::from_secs(120);

type Digests = BTreeMap<String, String>;

fn on_disk(folder: &Path) -> Result<Digests> {
    let mut found = Digests::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let digest = blake3::hash(&std::fs::read(&path)?).to_string();
        found.insert(path.to_string_lossy().into_owned(), digest);
    }
    Ok(found)
}

async fn in_store(site: &Site, agent: &Agent) -> Result<Digests> {
    let below = agent.watched.to_string_lossy();
    let files = site.rows(&format!("/endpoints/{}/files?search={below}", agent.id()?)).await?;
    let told = |file: &Value| Some((file["path"].as_str()?.to_owned(), file["digest"].as_str()?.to_owned()));
    files.iter().map(|file| told(file).with_context(|| format!("{file}"))).collect()
}

/// Waits until the store equals the disk.
async fn agree(site: &Site, agent: &Agent) -> Result<()> {
    let disk = on_disk(&agent.watched)?;
    eventually("the store equals the disk", RECOVERY, async || {
        let store = in_store(site, agent).await?;
        if store == disk {
            return Ok(Some(()));
        }
        let differs = disk.iter().filter(|(path, digest)| store.get(*path) != Some(digest)).count();
        let gone = store.keys().filter(|path| !disk.contains_key(*path)).count();
        anyhow::bail!("{differs} files differ or are missing, {gone} are gone from the disk")
    })
    .await
    .with_context(|| agent.log_text())
}

/// What was found about each file, in the order of the log.
async fn findings(site: &Site, agent: &Agent) -> Result<BTreeMap<String, Vec<(Value, Value)>>> {
    let mut db = site.database().await?;
    let rows = sqlx::query("select change_body from log order by idx").fetch_all(&mut db).await?;
    db.close().await?;
    let mut found = BTreeMap::<_, Vec<_>>::new();
    for row in rows {
        let mut change: Value = serde_json::from_str(row.try_get(0)?)?;
        let finding = &mut change["finding"];
        let Some(path) = finding["path"].as_str().map(str::to_owned) else { continue };
        if Path::new(&path).starts_with(&agent.watched) {
            found.entry(path).or_default().push((finding["old"].take(), finding["new"].take()));
        }
    }
    Ok(found)
}

/// Each finding about a file begins where the one before ended: none is missing, none is told twice. The last
/// one ends with what is on the disk.
async fn assert_nothing_twice(site: &Site, agent: &Agent) -> Result<usize> {
    let disk = on_disk(&agent.watched)?;
    let mut total = 0;
    for (path, findings) in findings(site, agent).await? {
        for (old, new) in &findings {
            ensure!(old != new, "{path}: a finding without a change: {old}");
        }
        for pair in findings.windows(2) {
            ensure!(pair[0].1 == pair[1].0, "{path}: {} is followed by {}", pair[0].1, pair[1].0);
        }
        let last = findings.last().map(|(_, new)| new["present"]["digest"].clone()).unwrap_or_default();
        ensure!(last == disk.get(&path).map_or(Value::Null, |digest| json!(digest)), "{path}: {last}");
        total += findings.len();
    }
    let alerts = site.rows("/alerts?state=all").await?;
    let of_files = alerts.iter().filter(|alert| {
        alert["finding"]["path"].as_str().is_some_and(|path| Path::new(path).starts_with(&agent.watched))
    });
    let counted: u64 = of_files.filter_map(|alert| alert["count"].as_u64()).sum();
    ensure!(counted == total as u64, "{counted} findings counted, {total} in the log");
    Ok(total)
}

fn change(random: &mut Rng, folder: &Path, number: usize) -> Result<()> {
    let path: PathBuf = folder.join(format!("program-{:03}", random.usize(..FILES)));
    if path.exists() && random.u8(..4) == 0 {
        std::fs::remove_file(path)?;
    } else if random.bool() {
        write_executable(&path, &format!("version {number}"))?;
    } else {
        let new = folder.with_extension("new");
        write_executable(&new, &format!("version {number}"))?;
        std::fs::rename(new, path)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_kills_among_ten_thousand_changes_lose_nothing_and_count_nothing_twice() -> Result<()> {
    let seed = std::env::var("WARDWATCH_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed: WARDWATCH_TEST_SEED={seed}");
    let mut random = Rng::with_seed(seed);
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
        change(&mut random, &agent.watched, number)?;
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
    let rules: Vec<_> = site.rows("/alerts?state=all").await?;
    let suspicious = ["identity-cloned", "fork-refused", "state-lost", "state-rolled-back"];
    let wrong: Vec<_> =
        rules.iter().filter(|alert| suspicious.iter().any(|rule| alert["rule"] == *rule)).collect();
    assert!(wrong.is_empty(), "an accident is taken for an attack: {wrong:?}\n{}", agent.log_text());
    Ok(())
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
