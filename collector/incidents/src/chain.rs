//! The change log as a hash chain, and how a rewrite of it comes to light.
//!
//! Each entry's digest covers the digest before it, so one changed byte breaks every later link. A chain that
//! was cut short or computed anew as a whole is consistent in itself: only a head that someone else kept (a
//! signed checkpoint, or the fleet's agents with their acks) shows it. Where entries are stored is the
//! collector's concern.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::time::UnixMillis;

use crate::change::{Actor, Change};

/// How far the log reaches: what a checkpoint signs and a witness keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Entries in the log.
    pub length: u64,
    /// The digest of the last entry; [`Digest::ZERO`] for an empty log.
    pub digest: Digest,
}

impl Head {
    pub const EMPTY: Self = Self { length: 0, digest: Digest::ZERO };
}

/// One change, its place in the log and its seal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogEntry {
    /// Counted from 1.
    pub index: u64,
    pub at: UnixMillis,
    pub actor: Actor,
    pub change: Change,
    pub digest: Digest,
}

/// An entry as the database holds it. The digest covers these texts, not what they decode to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    pub index: u64,
    pub at: UnixMillis,
    pub actor_text: String,
    pub change_text: String,
    pub digest: Digest,
}

/// Makes the entry that follows `head`.
#[must_use]
pub fn append(head: Head, at: UnixMillis, actor: Actor, change: Change) -> LogEntry {
    let index = head.length + 1;
    let digest = seal(index, at, &text_of(&actor), &text_of(&change), head.digest);
    LogEntry { index, at, actor, change, digest }
}

impl LogEntry {
    /// The head of a log that ends with this entry.
    #[must_use]
    pub const fn head(&self) -> Head {
        Head { length: self.index, digest: self.digest }
    }

    /// The entry as it is to be stored.
    #[must_use]
    pub fn to_stored(&self) -> StoredEntry {
        StoredEntry {
            index: self.index,
            at: self.at,
            actor_text: text_of(&self.actor),
            change_text: text_of(&self.change),
            digest: self.digest,
        }
    }
}

/// A stored entry's text is not one that this version of the program wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "entry {index} of the change log cannot be read: {problem}; run `audit verify`, and look whether a newer version wrote it"
)]
pub struct UnreadableEntry {
    pub index: u64,
    pub problem: String,
}

impl StoredEntry {
    /// # Errors
    /// The texts hold no actor and change.
    pub fn decode(self) -> Result<LogEntry, UnreadableEntry> {
        let unreadable =
            |error: serde_json::Error| UnreadableEntry { index: self.index, problem: error.to_string() };
        Ok(LogEntry {
            index: self.index,
            at: self.at,
            actor: serde_json::from_str(&self.actor_text).map_err(unreadable)?,
            change: serde_json::from_str(&self.change_text).map_err(unreadable)?,
            digest: self.digest,
        })
    }
}

fn text_of<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("actors and changes have text keys only, which JSON always takes")
}

/// The digest of a JSON array: strings are quoted there, so no text can pass for its neighbour's end.
fn seal(index: u64, at: UnixMillis, actor_text: &str, change_text: &str, previous: Digest) -> Digest {
    Digest::of(text_of(&(index, at, actor_text, change_text, previous)).as_bytes())
}

/// The first entry at which the log is not what was written, or no longer there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("entry {index} of the change log: {problem}")]
pub struct Broken {
    pub index: u64,
    pub problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("entry {found} stands in its place; entries are missing, doubled or in another order")]
    Order { found: u64 },
    #[error("its digest does not match its content and the entry before; one of them was changed")]
    Digest,
    #[error(
        "a witness saw another entry here; the log was computed anew from an entry at or before this one"
    )]
    Rewritten,
    #[error("missing; a witness saw {witnessed} entries, so the log was cut short")]
    Truncated { witnessed: u64 },
}

/// Walks a log of any length, entry by entry.
#[derive(Debug, Clone)]
pub struct Verifier {
    head: Head,
    witnesses: Vec<Head>,
}

impl Verifier {
    /// `witnesses`: heads that others kept, from checkpoints whose signature was verified or from agents.
    #[must_use]
    pub fn new(mut witnesses: Vec<Head>) -> Self {
        witnesses.sort_by_key(|witness| witness.length);
        Self { head: Head::EMPTY, witnesses }
    }

    /// Takes the next entry in the order of the log.
    ///
    /// # Errors
    /// The entry is not the one that was written.
    pub fn take(&mut self, entry: &StoredEntry) -> Result<(), Broken> {
        let index = self.head.length + 1;
        if entry.index != index {
            return Err(Broken { index, problem: Problem::Order { found: entry.index } });
        }
        let digest = seal(index, entry.at, &entry.actor_text, &entry.change_text, self.head.digest);
        if digest != entry.digest {
            return Err(Broken { index, problem: Problem::Digest });
        }
        if self.witnesses.iter().any(|witness| witness.length == index && witness.digest != digest) {
            return Err(Broken { index, problem: Problem::Rewritten });
        }
        self.head = Head { length: index, digest };
        Ok(())
    }

    /// Ends the walk.
    ///
    /// # Errors
    /// A witness saw a longer log.
    pub fn finish(self) -> Result<Head, Broken> {
        match self.witnesses.last() {
            Some(witness) if witness.length > self.head.length => Err(Broken {
                index: self.head.length + 1,
                problem: Problem::Truncated { witnessed: witness.length },
            }),
            _ => Ok(self.head),
        }
    }
}

/// Verifies a whole log against what witnesses kept of it.
///
/// # Errors
/// The first entry that is not what was written.
pub fn verify<'a>(
    entries: impl IntoIterator<Item = &'a StoredEntry>,
    witnesses: Vec<Head>,
) -> Result<Head, Broken> {
    let mut verifier = Verifier::new(witnesses);
    entries.into_iter().try_for_each(|entry| verifier.take(entry))?;
    verifier.finish()
}

/// A head signed by the collector, so that a copy kept elsewhere proves what the log was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    head: Head,
    signature: Signature,
}

/// The bytes are not a checkpoint that this key signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the checkpoint of {length} entries is not signed by this key; it was forged, or belongs to another collector"
)]
pub struct ForgedCheckpoint {
    length: u64,
}

impl Checkpoint {
    #[must_use]
    pub fn sign(head: Head, key: &SigningKey) -> Self {
        Self { head, signature: key.sign(&Self::message(head)) }
    }

    /// Takes a stored checkpoint back, if `key` signed it.
    ///
    /// # Errors
    /// The signature is malformed or not of this key over this head.
    pub fn verify(head: Head, signature: &[u8], key: &VerifyingKey) -> Result<Self, ForgedCheckpoint> {
        let forged = ForgedCheckpoint { length: head.length };
        let signature = Signature::from_slice(signature).map_err(|_| forged.clone())?;
        key.verify_strict(&Self::message(head), &signature).map_err(|_| forged)?;
        Ok(Self { head, signature })
    }

    #[must_use]
    pub const fn head(&self) -> Head {
        self.head
    }

    /// 64 bytes of Ed25519.
    #[must_use]
    pub fn signature(&self) -> [u8; 64] {
        self.signature.to_bytes()
    }

    /// Names its purpose, so that no other message of the same key passes for a checkpoint.
    fn message(head: Head) -> Vec<u8> {
        text_of(&("wardwatch change log checkpoint 1", head.length, head.digest)).into_bytes()
    }
}

#[cfg(test)]
mod tests;
