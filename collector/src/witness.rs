//! Proof that the change log is what was written: signed checkpoints, and the walk that `audit verify` takes.

use std::time::Duration;

use ed25519_dalek::{SigningKey, VerifyingKey};
use sqlx::AnyConnection;
use tokio::sync::watch;
use wardwatch_incidents::chain::{Broken, Checkpoint, ForgedCheckpoint, Head, Verifier};

use crate::stopping::until;
use crate::store::{Store, log};

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

async fn sign(store: &Store, key: &SigningKey) -> Result<(), sqlx::Error> {
    let mut tx = store.write().await?;
    let head = log::head(&mut tx).await?;
    if head != Head::EMPTY {
        log::keep_checkpoint(&mut tx, &Checkpoint::sign(head, key)).await?;
    }
    tx.commit().await
}

/// The log is not what was written, or could not be read.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error(transparent)]
    Forged(#[from] ForgedCheckpoint),
    #[error("the database failed")]
    Store(#[from] sqlx::Error),
}

/// Walks the whole log: every link, every signed checkpoint, every head that a witness kept.
///
/// # Errors
/// The first entry that is not what was written, or the database fails.
pub async fn verify(
    db: &mut AnyConnection,
    key: &VerifyingKey,
    mut witnesses: Vec<Head>,
) -> Result<Head, VerifyError> {
    for (head, signature) in log::checkpoints(db).await? {
        witnesses.push(Checkpoint::verify(head, &signature, key)?.head());
    }
    let mut verifier = Verifier::new(witnesses);
    let mut after = 0;
    loop {
        let entries = log::entries(db, after, ENTRIES).await?;
        for entry in &entries {
            verifier.take(entry)?;
            after = entry.index;
        }
        if entries.len() < ENTRIES as usize {
            return Ok(verifier.finish()?);
        }
    }
}
