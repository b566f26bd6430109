//! Whether the collector knows what lies on the disk, and has counted no change twice, whatever was changed.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use serde_json::{Value, json};
use sqlx::{Connection, Row};

use crate::program::eventually;
use crate::site::{Agent, Site, write_executable};

/// After a failure, back-off and a full scan included.
const RECOVERY: Duration = Duration::from_secs(120);

/// Digests in hex by path.
pub type Digests = BTreeMap<String, String>;

fn on_disk(folder: &Path) -> Result<Digests> {
    let mut found = Digests::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let digest = blake3::hash(&std::fs::read(&path)?).to_string();
        found.insert(path.to_string_lossy().into_owned(), digest);
    }
    Ok(found)
}

/// What the collector holds of the agent's watched folder.
///
/// # Errors
/// It does not answer.
pub async fn in_store(site: &Site, agent: &Agent) -> Result<Digests> {
    let below = agent.watched.to_string_lossy();
    let files = site.rows(&format!("/endpoints/{}/files?search={below}", agent.id()?)).await?;
    let told = |file: &Value| Some((file["path"].as_str()?.to_owned(), file["digest"].as_str()?.to_owned()));
    files.iter().map(|file| told(file).with_context(|| format!("{file}"))).collect()
}

/// Waits until the store equals the disk.
///
/// # Errors
/// Not in time; the agent's log stands in the message.
pub async fn agree(site: &Site, agent: &Agent) -> Result<()> {
    let disk = on_disk(&agent.watched)?;
    eventually("the store equals the disk", RECOVERY, async || {
        let store = in_store(site, agent).await?;
        if store == disk {
            return Ok(Some(()));
        }
        let differs = disk.iter().filter(|(path, digest)| store.get(*path) != Some(digest)).count();
        // To read all of it takes the collector some time, which it needs for its work as well.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let gone = store.keys().filter(|path| !disk.contains_key(*path)).count();
        anyhow::bail!("{differs} files differ or are missing, {gone} are gone from the disk")
    })
    .await
    .with_context(|| agent.log_text())
}

/// What was found about each file, before and after, in the order of the log.
///
/// # Errors
/// The log cannot be read.
pub async fn findings(site: &Site, agent: &Agent) -> Result<BTreeMap<String, Vec<(Value, Value)>>> {
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
/// one ends with what is on the disk. Returns how many there are.
///
/// # Errors
/// It is not so.
pub async fn assert_nothing_twice(site: &Site, agent: &Agent) -> Result<usize> {
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

/// No accident is taken for an attack or for a loss.
///
/// # Errors
/// Such an alert was raised.
pub async fn assert_no_suspicion(site: &Site, agent: &Agent) -> Result<()> {
    let suspicious = ["identity-cloned", "fork-refused", "state-lost", "state-rolled-back"];
    let alerts = site.rows("/alerts?state=all").await?;
    let wrong: Vec<_> =
        alerts.iter().filter(|alert| suspicious.iter().any(|rule| alert["rule"] == *rule)).collect();
    ensure!(wrong.is_empty(), "an accident is taken for an attack: {wrong:?}\n{}", agent.log_text());
    Ok(())
}

/// Writes, replaces or removes one of so many programs of a folder.
///
/// # Errors
/// The folder cannot be written.
pub fn change(random: &mut Rng, folder: &Path, programs: usize, number: usize) -> Result<()> {
    let path = folder.join(format!("program-{:03}", random.usize(..programs)));
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
