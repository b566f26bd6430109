//! What the running agent says of itself, in a small file that `status` reads: the databases are locked
//! while the agent runs.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Error, Result, anyhow};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use wardwatch_policies::file::{Coverage, Watch};
use wardwatch_policies::ids::{AgentId, EndpointKind, UnitId};
use wardwatch_policies::release::Version;
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::downlink::Witness;

use crate::platform;
use crate::state::{StateError, read_bounded, write_private};

/// Between two writes of the file.
const BETWEEN_WRITES: Duration = Duration::from_secs(2);
/// Between two writes for a newer witness alone: the log of a city grows all day long.
const BETWEEN_WITNESSES: Duration = Duration::from_secs(3600);
/// With less the databases do not grow any more.
const MIN_FREE_BYTES: u64 = 64 * 1024;

/// All that is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Unknown until the machine is enrolled, as the next two.
    pub agent: Option<AgentId>,
    pub unit: Option<UnitId>,
    pub kind: Option<EndpointKind>,
    pub version: String,
    /// Of the agent that wrote this.
    pub process: u32,
    #[serde(with = "rfc3339::optional")]
    pub written: Option<UnixMillis>,
    /// As in "connected to HOST" or "down: PROBLEM".
    pub link: String,
    #[serde(with = "rfc3339::optional")]
    pub proved_time: Option<UnixMillis>,
    pub outbox_reports: u64,
    pub outbox_bytes: u64,
    pub scan: ScanStatus,
    pub coverage: Vec<Coverage>,
    pub policies: Vec<PolicyStatus>,
    pub limits: Vec<String>,
    pub witness: Option<Witness>,
    /// What keeps the agent from doing its work now.
    pub problem: Option<String>,
}

impl Status {
    /// Whether nothing differs but the witness.
    fn says_the_same(&self, other: &Self) -> bool {
        *self == Self { witness: self.witness, ..other.clone() }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ScanStatus {
    pub running: bool,
    /// When the last complete scan began, by the wall clock.
    #[serde(with = "rfc3339::optional")]
    pub last: Option<UnixMillis>,
    pub files: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyStatus {
    pub policy: String,
    pub pass: u64,
    pub fail: u64,
    pub unknown: u64,
    pub not_applicable: u64,
}

mod rfc3339;
#[cfg(test)]
mod tests;

/// Where parts of the agent note how they are; clones are the same board.
#[derive(Debug, Clone)]
pub struct Board {
    status: watch::Sender<Status>,
}

impl Board {
    #[must_use]
    pub fn new(status: Status) -> Self {
        Self { status: watch::Sender::new(status) }
    }

    pub fn update(&self, change: impl FnOnce(&mut Status)) {
        self.status.send_if_modified(|status| {
            let before = status.clone();
            change(status);
            *status != before
        });
    }

    #[must_use]
    pub fn read(&self) -> Status {
        self.status.borrow().clone()
    }

    /// Writes the file whenever something changed, not too often; for ever.
    pub async fn write_to(self, path: PathBuf, now: impl Fn() -> UnixMillis) {
        let mut changes = self.status.subscribe();
        changes.mark_changed();
        let mut last: Option<(Status, Instant)> = None;
        while changes.changed().await.is_ok() {
            let mut status = changes.borrow_and_update().clone();
            if let Some((before, at)) = &last
                && before.says_the_same(&status)
                && let Ok(changed) = timeout_at(*at + BETWEEN_WITNESSES, changes.changed()).await
            {
                if changed.is_ok() {
                    changes.mark_changed();
                }
                continue;
            }
            last = Some((status.clone(), Instant::now()));
            status.written = Some(now());
            if let Err(error) = save(&path, &status) {
                tracing::debug!("{error:#}");
            }
            tokio::time::sleep(BETWEEN_WRITES).await;
        }
    }
}

/// # Errors
/// The file cannot be written.
pub fn save(path: &Path, status: &Status) -> Result<()> {
    Ok(write_private(path, &serde_json::to_vec_pretty(status)?)?)
}

/// What was last written.
///
/// # Errors
/// There is no such file, or it cannot be read.
pub fn load(path: &Path) -> Result<Status> {
    let bytes = read_bounded(path)
        .map_err(|error| closed(path, error))?
        .ok_or_else(|| missing(path, platform::is_superuser()))?;
    serde_json::from_slice(&bytes).with_context(|| {
        format!("{} was written by another version; start the agent to renew it", path.display())
    })
}

/// Whoever forgot `sudo` looks into a folder of their own, not into the service's.
fn missing(path: &Path, is_superuser: bool) -> Error {
    let missing = format!(
        "{} is not there: no agent has run with this state folder; start it with `wardwatch-agent run`",
        path.display()
    );
    if is_superuser {
        return anyhow!("{missing}, or name the folder with --state-dir");
    }
    anyhow!(
        "{missing}, name the folder with --state-dir or, to see how the service is, {}",
        platform::BECOME_SUPERUSER
    )
}

fn closed(path: &Path, error: StateError) -> Error {
    match error {
        StateError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => anyhow!(
            "{} cannot be read: {source}; {}, or as the user whose agent it is",
            path.display(),
            platform::BECOME_SUPERUSER
        ),
        error => error.into(),
    }
}

/// What is seen from outside the agent, when somebody asks.
#[derive(Debug, Clone, Serialize)]
pub struct Around {
    /// Whether an agent holds the state folder.
    pub running: bool,
    /// How the service stands.
    pub service: String,
    /// Which other version is on its way, and how far it is.
    pub upgrade: Option<String>,
    /// Why what the agent wrote may be old.
    pub full: Option<String>,
}

/// Says so where nothing more can be written: then the agent cannot say it itself.
#[must_use]
pub fn full(folder: &Path) -> Option<String> {
    let free = platform::free_bytes(folder).ok()?;
    (free < MIN_FREE_BYTES).then(|| {
        format!(
            "the disk of {} has {free} bytes free: nothing more is written down, and what stands here may be old; free \
             some space",
            folder.display()
        )
    })
}

/// The status as a table for a person.
#[must_use]
pub fn table(status: &Status, around: &Around) -> String {
    let running = around.running;
    let mut lines = vec![
        (
            "agent",
            format!(
                "{} ({})",
                or_not_enrolled(status.agent.as_ref()),
                if running { "running" } else { "not running" }
            ),
        ),
        (
            "unit",
            or_not_enrolled(
                status.unit.as_ref().zip(status.kind).map(|(unit, kind)| format!("{unit}, {kind}")),
            ),
        ),
        ("as of", rfc3339::or_dash(status.written)),
        ("service", around.service.clone()),
        ("version", status.version.clone()),
        ("link", if running { status.link.clone() } else { format!("none; last: {}", status.link) }),
        ("proved time", rfc3339::or_dash(status.proved_time)),
        ("outbox", format!("{} reports, {} bytes", status.outbox_reports, status.outbox_bytes)),
        (
            "last scan",
            format!(
                "{}, {} files{}",
                rfc3339::or_dash(status.scan.last),
                status.scan.files,
                if running && status.scan.running { "; one is running" } else { "" }
            ),
        ),
    ];
    lines.extend(around.upgrade.iter().map(|upgrade| ("upgrade", upgrade.clone())));
    for part in &status.coverage {
        let watch = match &part.watch {
            Watch::Live => "watched".to_owned(),
            Watch::ScanOnly(reason) => format!("by scans only: {reason}"),
            Watch::Skipped(reason) => format!("not watched: {reason}"),
        };
        lines.push((
            "files",
            format!("{}: {watch}; {} hashed, {} unreadable", part.root, part.hashed_files, part.unreadable),
        ));
    }
    for policy in &status.policies {
        lines.push((
            "policy",
            format!(
                "{}: {} pass, {} fail, {} unknown, {} not applicable",
                policy.policy, policy.pass, policy.fail, policy.unknown, policy.not_applicable
            ),
        ));
    }
    lines.extend(status.limits.iter().map(|limit| ("limit", limit.clone())));
    if let Some(witness) = status.witness {
        lines.push(("witness", format!("{} entries, head {}", witness.length, witness.head)));
    }
    lines.extend(status.problem.iter().chain(&around.full).map(|problem| ("problem", problem.clone())));
    lines.iter().fold(String::new(), |mut table, (name, value)| {
        // Writing to a string cannot fail.
        let _ = writeln!(table, "{name:<12} {value}");
        table
    })
}

fn or_not_enrolled(known: Option<impl std::fmt::Display>) -> String {
    known.map_or_else(|| "not enrolled".into(), |known| known.to_string())
}

/// The status as JSON for a program.
///
/// # Errors
/// It cannot be encoded.
pub fn json(status: &Status, around: &Around) -> Result<String> {
    #[derive(Serialize)]
    struct Shown<'a> {
        #[serde(flatten)]
        around: &'a Around,
        #[serde(flatten)]
        status: &'a Status,
    }
    Ok(serde_json::to_string_pretty(&Shown { around, status })?)
}

/// An empty status of an agent that has just begun.
#[must_use]
pub fn begin(agent: AgentId, unit: UnitId, kind: EndpointKind, version: Version) -> Status {
    Status {
        agent: Some(agent),
        unit: Some(unit),
        kind: Some(kind),
        ..not_enrolled("connecting".into(), version)
    }
}

/// The status of an agent that has no identity yet.
#[must_use]
pub fn not_enrolled(link: String, version: Version) -> Status {
    Status {
        agent: None,
        unit: None,
        kind: None,
        version: version.to_string(),
        process: std::process::id(),
        written: None,
        link,
        proved_time: None,
        outbox_reports: 0,
        outbox_bytes: 0,
        scan: ScanStatus::default(),
        coverage: Vec::new(),
        policies: Vec::new(),
        limits: limits(),
        witness: None,
        problem: None,
    }
}

/// What this process cannot see or do here.
#[must_use]
pub fn limits() -> Vec<String> {
    let lost = if platform::is_superuser() { &[] } else { platform::lost_without_rights() };
    lost.iter().map(|lost| format!("not {}: {lost}", platform::SUPERUSER)).collect()
}
