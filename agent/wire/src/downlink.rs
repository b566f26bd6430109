//! What goes down: named, numbered and signed by the collector key. An agent takes only a position higher
//! than the last it stored, so nothing is obeyed twice and nothing old is obeyed after something newer.

use serde::{Deserialize, Serialize};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::ids::AgentId;
use wardwatch_policies::time::UnixMillis;

use crate::release::SealedRelease;
use crate::report::{Nonce, StreamId};

/// A place in one agent's downlink. Ordered by epoch, then by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DownlinkPosition {
    /// Raised when the collector's store is restored from a backup.
    pub epoch: u64,
    pub seq: u64,
}

impl DownlinkPosition {
    /// Before the first message.
    pub const START: Self = Self { epoch: 0, seq: 0 };
}

/// One message from the collector to one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downlink<T> {
    pub agent: AgentId,
    pub position: DownlinkPosition,
    pub sent: UnixMillis,
    pub body: T,
}

/// The collector has committed reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    pub stream: StreamId,
    /// Every report of the stream up to this one is committed; 0 when none is.
    pub committed: u64,
    /// The collector misses reports: send again from this number on.
    pub resend_from: Option<u64>,
    /// The nonce of the heartbeat that this answers; with it, `Downlink::sent` proves the time.
    pub nonce: Option<Nonce>,
    pub witness: Witness,
}

/// The head of the collector's change log. Agents keep the newest, so the fleet can witness a rewrite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// Entries in the log.
    pub length: u64,
    /// The digest of the last entry; [`Digest::ZERO`] for an empty log.
    pub head: Digest,
}

/// What an agent is asked to do. It runs only if the agent's own configuration allows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    pub id: CommandId,
    pub action: Action,
    /// Judged in proved time; without proved time a command does not run.
    pub expires: UnixMillis,
}

/// Unique among the commands of one collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CommandId(pub u64);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Look at all files again, trusting no cache.
    Rescan,
    /// Evaluate all policies again.
    Recheck,
    /// Become this program.
    Upgrade(SealedRelease),
}

impl Action {
    #[must_use]
    pub const fn kind(&self) -> ActionKind {
        match self {
            Self::Rescan => ActionKind::Rescan,
            Self::Recheck => ActionKind::Recheck,
            Self::Upgrade(_) => ActionKind::Upgrade,
        }
    }
}

/// What kind of action it is: what an agent's settings allow, and what lists show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActionKind {
    Rescan,
    Recheck,
    Upgrade,
}

impl ActionKind {
    pub const ALL: [Self; 3] = [Self::Rescan, Self::Recheck, Self::Upgrade];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rescan => "rescan",
            Self::Recheck => "recheck",
            Self::Upgrade => "upgrade",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}
