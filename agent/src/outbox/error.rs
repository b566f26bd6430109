//! Why the outbox cannot take or give reports, and why a stream cannot go on.

use wardwatch_policies::finding::StreamReason;
use wardwatch_wire::envelope::SealError;

use crate::database;

/// The outbox cannot take or give reports.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    #[error("the outbox holds {0} bytes that the collector has not committed; it takes no more")]
    Full(u64),
    #[error("a new stream has begun")]
    OtherStream,
    #[error("a report cannot be sealed: {0}")]
    Seal(#[from] SealError),
    #[error("the outbox cannot be used: {0}")]
    Storage(#[from] Box<redb::Error>),
    #[error("the outbox holds something else than an outbox")]
    Damaged,
}

impl OutboxError {
    pub(super) fn storage(error: impl Into<redb::Error>) -> Self {
        Self::Storage(Box::new(error.into()))
    }

    /// Whether what stands on the disk can never be read again.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged => true,
            Self::Storage(error) => database::is_damage(error),
            Self::Full(_) | Self::OtherStream | Self::Seal(_) => false,
        }
    }

    /// Whether a later attempt may succeed: the disk was full, or the collector away.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Full(_) | Self::Storage(_))
    }
}

/// Agent and collector do not agree how far this stream is committed. Only a new stream that tells everything
/// again helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Disagreement {
    #[error("the collector has committed reports that this outbox never wrote; the outbox is an old copy")]
    StateRolledBack,
    #[error("the collector no longer has reports that it acknowledged; it was restored from a backup")]
    CollectorRestored,
}

impl Disagreement {
    /// Why the new stream begins.
    #[must_use]
    pub const fn reason(self) -> StreamReason {
        match self {
            Self::StateRolledBack => StreamReason::StateRolledBack,
            Self::CollectorRestored => StreamReason::CollectorRestored,
        }
    }
}
