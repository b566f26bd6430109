//! The program that is being fetched, at most one at a time.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::timeout;
use wardwatch_policies::release::UpgradeOutcome;
use wardwatch_wire::release::Release;

use crate::upgrade::fetch::{self, Source, Unfetchable};
use crate::upgrade::folder::Folder;
use crate::upgrade::slots::Slot;

/// How long a new program may take to say its version.
const PROBE_PATIENCE: Duration = Duration::from_secs(60);
/// A version takes less.
const ANSWER_BYTES: u64 = 4096;

/// Brings one program into a slot.
#[derive(Default)]
pub(super) struct Fetching {
    task: JoinSet<Fetched>,
}

/// A release that was fetched, or what came of it instead.
pub(in crate::cycle) struct Fetched {
    pub(super) release: Release,
    pub(super) outcome: Result<(), UpgradeOutcome>,
}

impl Fetching {
    pub(super) fn start(&mut self, source: Source, release: Release, folder: Folder, slot: Slot) {
        self.task.spawn(async move {
            let outcome = bring(&source, &release, &folder, slot).await;
            Fetched { release, outcome }
        });
    }

    /// The next release that was fetched or was not to be had; waits for ever while none is under way.
    pub(super) async fn next(&mut self) -> Fetched {
        loop {
            match self.task.join_next().await {
                Some(Ok(fetched)) => return fetched,
                Some(Err(error)) => {
                    tracing::error!("fetching a program ended by a fault of its own: {error}")
                }
                None => std::future::pending().await,
            }
        }
    }

    /// Ends what is under way. On return nothing is written any more.
    pub(super) async fn stop(&mut self) {
        self.task.shutdown().await;
    }
}

/// Fetches a program into a slot and has it say its version.
async fn bring(
    source: &Source,
    release: &Release,
    folder: &Folder,
    slot: Slot,
) -> Result<(), UpgradeOutcome> {
    match fetch::fetch(source, release, &folder.part(slot)).await {
        Ok(()) => place(release, folder, slot).await.map_err(|reason| UpgradeOutcome::Refused { reason }),
        Err(Unfetchable::Withdrawn) => Err(UpgradeOutcome::Withdrawn),
        Err(error) => Err(UpgradeOutcome::Refused { reason: error.to_string() }),
    }
}

async fn place(release: &Release, folder: &Folder, slot: Slot) -> Result<(), String> {
    let placed =
        folder.place(slot).map_err(|error| format!("the program cannot be put in its place: {error}"))?;
    let (status, said) = timeout(PROBE_PATIENCE, ask_version(&placed))
        .await
        .map_err(|_| "asked for its version, the program does not answer".to_owned())?
        .map_err(|error| format!("the program cannot be run in {}: {error}", placed.display()))?;
    let version = release.version.to_string();
    if status.success() && said.split_whitespace().any(|word| word == version) {
        return Ok(());
    }
    let said: String = said.trim().chars().take(80).collect();
    Err(format!("asked for its version, the program ends with {status} and says \"{said}\""))
}

/// What is beyond the first bytes stays unread.
async fn ask_version(program: &Path) -> io::Result<(ExitStatus, String)> {
    let mut child = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut said = Vec::new();
    if let Some(output) = child.stdout.take() {
        output.take(ANSWER_BYTES).read_to_end(&mut said).await?;
    }
    Ok((child.wait().await?, String::from_utf8_lossy(&said).into_owned()))
}
