//! Proof that the change log is what was written: signed checkpoints, and the walk that `audit verify` takes.

mod replay;

use std::time::Duration;

use ed25519_dalek::{SigningKey, VerifyingKey};
use sqlx::{AnyConnection, Connection};
use tokio::sync::watch;
use wardwatch_incidents::alert::Inconsistent;
use wardwatch_incidents::chain::{Broken, Checkpoint, ForgedCheckpoint, Head, UnreadableEntry, Verifier};
use wardwatch_incidents::change::{AlertId, IncidentId};

use self::replay::Replay;
use crate::stopping::until;
use crate::store::log::Filed;
use crate::store::{Difference, Store, alerts, incidents, log};

const EVERY: Duration = Duration::from_secs(60);
/// Entries read at a time.
const ENTRIES: u32 = 1000;

/// Signs the log's head once a minute where it has grown, and when the collector stops.
pub async fn sign_checkpoints(store: Store, key: SigningKey, stopped: watch::Receiver<bool>) {
    let mut stopping = false;
    while !stopping {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = until(stopped.clone()) => stopping = true,
        }
        if let Err(error) = sign(&store, &key).await {
            tracing::error!(error = &error as &dyn std::error::Error, "no checkpoint was signed");
        }
    }
}

/// Signs the log's head now.
///
/// # Errors
/// The database fails.
pub async fn sign(store: &Store, key: &SigningKey) -> Result<(), sqlx::Error> {
    let mut tx = store.write().await?;
    let head = log::head(&mut tx).await?;
    if head != Head::EMPTY {
        log::keep_checkpoint(&mut tx, &Checkpoint::sign(head, key)).await?;
    }
    tx.commit().await
}

/// The log or what follows from it is not what was written, or could not be read.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error(transparent)]
    Forged(#[from] ForgedCheckpoint),
    #[error(transparent)]
    Unreadable(#[from] UnreadableEntry),
    #[error("entry {index} of the change log is filed under another alert or incident than it is about")]
    Misfiled { index: u64 },
    #[error("entry {index} of the change log: {problem}")]
    Contradiction { index: u64, problem: Inconsistent },
    #[error("{what} {problem}; the change log is what counts")]
    Projection { what: Projected, problem: Difference },
    #[error("the database failed")]
    Store(#[from] sqlx::Error),
}

impl VerifyError {
    /// The number of the first log entry that is not what was written, where it is an entry.
    #[must_use]
    pub const fn entry(&self) -> Option<u64> {
        match self {
            Self::Broken(broken) => Some(broken.index),
            Self::Unreadable(unreadable) => Some(unreadable.index),
            Self::Misfiled { index } | Self::Contradiction { index, .. } => Some(*index),
            Self::Forged(_) | Self::Projection { .. } | Self::Store(_) => None,
        }
    }
}

/// What the tables hold beside the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Projected {
    #[error("alert {0}")]
    Alert(AlertId),
    #[error("incident {0}")]
    Incident(IncidentId),
}

/// Walks the whole log: every link, every signed checkpoint, every head that a witness kept. Then holds the
/// tables of alerts and incidents against what the log tells; all of them are in memory meanwhile.
///
/// # Errors
/// The first entry, alert or incident that is not what was written, or the database fails.
pub async fn verify(
    db: &mut AnyConnection,
    key: &VerifyingKey,
    mut witnesses: Vec<Head>,
) -> Result<Head, VerifyError> {
    // The collector may be at work: log and tables must be of one moment.
    let snapshot = db.backend_name() == "PostgreSQL";
    let mut tx = db.begin().await?;
    if snapshot {
        sqlx::query("set transaction isolation level repeatable read").execute(&mut *tx).await?;
    }
    for (head, signature) in log::checkpoints(&mut tx).await? {
        witnesses.push(Checkpoint::verify(head, &signature, key)?.head());
    }
    let mut verifier = Verifier::new(witnesses);
    let mut replay = Replay::default();
    let mut after = 0;
    loop {
        let entries = log::filed(&mut tx, after, ENTRIES).await?;
        let last = entries.len() < ENTRIES as usize;
        for Filed { entry, incident, alert } in entries {
            verifier.take(&entry)?;
            let entry = entry.decode()?;
            let index = entry.index;
            after = index;
            let named = (entry.change.incident().map(|id| id.to_string()), entry.change.alert());
            if (incident, alert) != named {
                return Err(VerifyError::Misfiled { index });
            }
            replay.take(&entry).map_err(|problem| VerifyError::Contradiction { index, problem })?;
        }
        if last {
            break;
        }
    }
    let head = verifier.finish()?;
    if let Some((id, problem)) = alerts::first_difference(&mut tx, replay.alerts).await? {
        return Err(VerifyError::Projection { what: Projected::Alert(id), problem });
    }
    if let Some((id, problem)) = incidents::first_difference(&mut tx, replay.incidents).await? {
        return Err(VerifyError::Projection { what: Projected::Incident(id), problem });
    }
    Ok(head)
}
