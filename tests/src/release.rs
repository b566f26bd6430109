//! Releases of the agent, signed and rolled out as people do it, and such as no honest person makes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ed25519_dalek::SigningKey;
use serde_json::{Value, json};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::release::{Release, SealedRelease, seal_release};

use crate::program::{self, eventually};
use crate::site::{Agent, Site};

/// Programs of many megabytes are hashed and fetched on busy cores, several times over.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// A program that was built beside the tests, without what only a debugger needs: a release is bounded.
///
/// # Errors
/// There is no `strip`, which comes with every linker.
pub fn program(site: &Site, name: &str) -> Result<PathBuf> {
    let stripped = site.folder().join(name);
    let status = Command::new("strip").arg("-o").arg(&stripped).arg(program::path(name)).status()?;
    ensure!(status.success(), "strip ended with {status}");
    Ok(stripped)
}

/// The target that the agent beside the tests is built for.
///
/// # Errors
/// No endpoint has told it.
pub async fn target(site: &Site, endpoint: &str) -> Result<String> {
    let shown = site.get(&format!("/endpoints/{endpoint}")).await?;
    Ok(shown["host"]["target"].as_str().context("the endpoint has not told its target")?.to_owned())
}

fn release_key(site: &Site) -> PathBuf {
    site.data().join("authority/release.key")
}

/// Signs a program with the collector's release key; returns the file of the release.
///
/// # Errors
/// It is refused.
pub fn sign(site: &Site, program: &Path, version: &str, target: &str) -> Result<PathBuf> {
    sign_with(site, &release_key(site), program, version, target)
}

/// The same with another key.
///
/// # Errors
/// It is refused.
pub fn sign_with(site: &Site, key: &Path, program: &Path, version: &str, target: &str) -> Result<PathBuf> {
    let (key, path) = (key.to_str().context("a path")?, program.to_str().context("a path")?);
    let call = ["releases", "sign", path, "--key", key, "--version", version, "--target", target];
    let output = site.call(&call)?;
    ensure!(output.status.success(), "sign: {}", String::from_utf8_lossy(&output.stderr));
    let file = program.with_extension(format!("{version}.release"));
    std::fs::write(&file, output.stdout)?;
    Ok(file)
}

/// Signs a program and gives it to the collector.
///
/// # Errors
/// It is refused.
pub fn add(site: &Site, program: &Path, version: &str, target: &str) -> Result<Value> {
    let release = sign(site, program, version, target)?;
    site.ask(&["releases", "add", program.to_str().context("a path")?, release.to_str().context("a path")?])
}

/// The roll-out of this number, as the collector counts it.
///
/// # Errors
/// There is none.
pub async fn rollout(site: &Site, id: u64) -> Result<Value> {
    let answer = site.get("/rollouts").await?;
    let rows = answer["rows"].as_array().context("no rows")?;
    rows.iter().find(|row| row["id"] == id).cloned().with_context(|| format!("no roll-out {id}"))
}

/// What the endpoint has told of the newest upgrade that it was asked for.
///
/// # Errors
/// The database cannot be read.
pub async fn outcome(site: &Site, endpoint: &str) -> Result<Option<String>> {
    let newest = "select outcome from upgrades where endpoint = $1 order by rollout desc limit 1";
    let row: Option<Option<String>> =
        sqlx::query_scalar(newest).bind(endpoint).fetch_optional(&mut site.database().await?).await?;
    Ok(row.flatten())
}

/// What the agent keeps of its slots.
#[must_use]
pub fn slots(agent: &Agent) -> Value {
    let text = std::fs::read_to_string(agent.state.join("slots/current.json")).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// The version that the collector was told last.
///
/// # Errors
/// The collector does not know the agent.
pub async fn version(site: &Site, agent: &Agent) -> Result<Value> {
    Ok(site.get(&format!("/endpoints/{}", agent.id()?)).await?["host"]["agent_version"].take())
}

/// Waits until the newest upgrade of this agent has ended so.
///
/// # Errors
/// Not in time; the agent's log stands in the message.
pub async fn ends(site: &Site, agent: &Agent, wanted: &str) -> Result<()> {
    let what = format!("the upgrade ends {wanted}");
    let found = eventually(&what, PATIENCE, async || {
        let told = outcome(site, &agent.id()?).await?;
        Ok((told.as_deref() == Some(wanted)).then_some(()))
    });
    found.await.with_context(|| agent.log_text())
}

/// Waits until the collector is told this version.
///
/// # Errors
/// Not in time; the agent's log stands in the message.
pub async fn becomes(site: &Site, agent: &Agent, wanted: &str) -> Result<()> {
    let what = format!("version {wanted}");
    let found =
        eventually(
            &what,
            PATIENCE,
            async || Ok((version(site, agent).await? == json!(wanted)).then_some(())),
        );
    found.await.with_context(|| agent.log_text())
}

/// The open alerts, but for those about the settings of the machine that the test runs on.
///
/// # Errors
/// The collector does not answer.
pub async fn alerts(site: &Site) -> Result<Vec<Value>> {
    let mut alerts = site.rows("/alerts?state=open").await?;
    alerts.retain(|alert| !alert["rule"].as_str().is_some_and(|rule| rule.starts_with("check-")));
    Ok(alerts)
}

/// The open alert about upgrades, once its reason holds `words`.
///
/// # Errors
/// Not in time; the agent's log stands in the message.
pub async fn alert(site: &Site, agent: &Agent, rule: &str, words: &str) -> Result<Value> {
    let what = format!("an alert {rule} with \"{words}\"");
    let found = eventually(&what, PATIENCE, async || {
        let alerts = alerts(site).await?;
        Ok(alerts.into_iter().find(|alert| {
            alert["rule"] == rule
                && alert["finding"]["reason"].as_str().is_some_and(|text| text.contains(words))
        }))
    });
    found.await.with_context(|| agent.log_text())
}

/// Has the collector send an endpoint a release that it never took in: what somebody could send who holds the
/// collector, and with `signer` perhaps a release key.
///
/// # Errors
/// The database cannot be written.
pub async fn smuggle(
    site: &Site,
    endpoint: &str,
    release: &Release,
    signer: Option<&SigningKey>,
) -> Result<()> {
    let authority = site.data().join("authority");
    let own: [u8; 32] = std::fs::read(release_key(site))?.try_into().ok().context("a key of 32 bytes")?;
    let own = SigningKey::from_bytes(&own);
    let sealed = SealedRelease {
        root_key: std::fs::read(authority.join("root.pub"))?.try_into().ok().context("a key of 32 bytes")?,
        release_key: std::fs::read(authority.join("release.word"))?,
        release: seal_release(signer.unwrap_or(&own), release)?.into_bytes(),
    };
    let mut payload = Vec::new();
    ciborium::into_writer(&sealed, &mut payload)?;
    let now = jiff::Timestamp::now().as_millisecond();
    sqlx::query(
        "insert into commands (id, endpoint, action, issued, expires, payload) \
         select coalesce(max(id), 0) + 1, $1, 'upgrade', $2, $3, $4 from commands",
    )
    .bind(endpoint)
    .bind(now)
    .bind(now + 3_600_000)
    .bind(payload)
    .execute(&mut site.database().await?)
    .await?;
    Ok(())
}

/// A release of some program that nobody needs to have.
#[must_use]
pub fn invented(version: &str, target: &str) -> Release {
    Release {
        version: version.parse().expect("a version"),
        target: target.parse().expect("a target"),
        digest: Digest::of(version.as_bytes()),
        size: 1000,
        made: UnixMillis(0),
    }
}
