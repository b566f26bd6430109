//! What the running agent says of itself, in a small file that `status` reads: the databases are locked
//! while the agent runs.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use wardwatch_policies::file::{Coverage, Watch};
use wardwatch_policies::ids::{AgentId, EndpointKind, UnitId};
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::downlink::Witness;

use crate::platform;
use crate::state::write_private;

/// Between two writes of the file.
const BETWEEN_WRITES: Duration = Duration::from_secs(2);

/// All that is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub agent: AgentId,
    pub unit: UnitId,
    pub kind: EndpointKind,
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
        while changes.changed().await.is_ok() {
            let mut status = changes.borrow_and_update().clone();
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
    let bytes = fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => anyhow::anyhow!(
            "{} is not there: no agent has run with this state folder; start it with `wardwatch-agent run`, or \
             name the folder with --state-dir",
            path.display()
        ),
        _ => anyhow::Error::new(error).context(format!("{} cannot be read", path.display())),
    })?;
    serde_json::from_slice(&bytes).with_context(|| {
        format!("{} was written by another version; start the agent to renew it", path.display())
    })
}

/// The status as a table for a person; `running` says whether an agent holds the state folder.
#[must_use]
pub fn table(status: &Status, running: bool) -> String {
    let mut lines = vec![
        ("agent", format!("{} ({})", status.agent, if running { "running" } else { "not running" })),
        ("unit", format!("{}, {}", status.unit, status.kind)),
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
                if status.scan.running { "; one is running" } else { "" }
            ),
        ),
    ];
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
    lines.extend(status.problem.iter().map(|problem| ("problem", problem.clone())));
    lines.iter().fold(String::new(), |mut table, (name, value)| {
        // Writing to a string cannot fail.
        let _ = writeln!(table, "{name:<12} {value}");
        table
    })
}

/// The status as JSON for a program.
///
/// # Errors
/// It cannot be encoded.
pub fn json(status: &Status, running: bool) -> Result<String> {
    #[derive(Serialize)]
    struct Shown<'a> {
        running: bool,
        #[serde(flatten)]
        status: &'a Status,
    }
    Ok(serde_json::to_string_pretty(&Shown { running, status })?)
}

/// An empty status of an agent that has just begun.
#[must_use]
pub fn begin(agent: AgentId, unit: UnitId, kind: EndpointKind) -> Status {
    Status {
        agent,
        unit,
        kind,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        process: std::process::id(),
        written: None,
        link: "connecting".into(),
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
    let mut limits = Vec::new();
    if !platform::is_superuser() {
        limits.push(
            "not root: files and settings that only root may read are reported as unreadable or unknown"
                .into(),
        );
    }
    limits
}
