//! What goes up: reports, which are stored until acknowledged, and heartbeats, which never are.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::file::{Coverage, FileSighting};
use wardwatch_policies::finding::StreamReason;
use wardwatch_policies::host::HostFacts;
use wardwatch_policies::ids::AgentId;
use wardwatch_policies::path::EndpointPath;
use wardwatch_policies::release::{UpgradeOutcome, Version};
use wardwatch_policies::time::UnixMillis;
use wardwatch_policies::verdict::PolicyResults;

use crate::downlink::CommandId;

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Written as lower-case hex in human-readable formats, which are not read back, and as a byte string in
        /// binary ones.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
        pub struct $name(#[serde(with = "serde_bytes")] pub [u8; 16]);

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    serializer.serialize_bytes(&self.0)
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

random_id!(
    /// A stream of reports: one life of an outbox. 16 random bytes.
    StreamId
);
random_id!(
    /// A running agent process. 16 random bytes, new at every start.
    InstanceId
);
random_id!(
    /// Proves that an ack answers this heartbeat and no older one. 16 random bytes.
    Nonce
);

/// Where a report stands in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    pub stream: StreamId,
    /// The first report of a stream is number 1.
    pub seq: u64,
    /// The digest of the previous report's envelope; [`Digest::ZERO`] before the first.
    pub previous: Digest,
}

/// The agent's clocks at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentTime {
    /// The system's wall clock, which may be wrong by decades.
    pub wall: UnixMillis,
    /// Milliseconds since the system booted, sleep included.
    pub uptime_ms: u64,
    /// The time the agent has proved with the collector, if it has since boot.
    pub proved: Option<UnixMillis>,
}

/// One signed report. It leaves the agent's outbox only when the collector's ack covers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    pub agent: AgentId,
    pub position: Position,
    pub time: AgentTime,
    pub body: Body,
}

/// What a report tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Body {
    /// Always the first report of a stream.
    StreamOpened {
        reason: StreamReason,
    },
    Host(HostFacts),
    /// Files as they are now: those seen in a scan, or changed since. What changed is for the collector to
    /// say, by what it holds.
    Files(Vec<FileSighting>),
    /// The scan that began this stream has told all files: what the collector holds and this stream has not
    /// named is gone.
    InventoryComplete {
        files: u64,
    },
    Coverage(Vec<Coverage>),
    Blind {
        root: EndpointPath,
        from: UnixMillis,
        to: UnixMillis,
        reason: String,
    },
    /// The results that differ from those last reported; all of them the first time in a stream.
    Verdicts(PolicyResults),
    /// The agent is about to stop.
    Stopping {
        reason: StopReason,
    },
    /// What came of the command to become another version.
    Upgrade {
        command: CommandId,
        /// `None` where the release could not be believed.
        version: Option<Version>,
        outcome: UpgradeOutcome,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// The machine is being switched off: the endpoint is off, not silent.
    Shutdown,
    /// A person or the service manager stopped the agent alone.
    Service,
}

/// So many commands are sent to an agent before it has named them in a heartbeat.
pub const MAX_COMMANDS: usize = 16;

/// A sign of life with a nonce. Answered with an ack; never stored, never resent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    pub agent: AgentId,
    pub instance: InstanceId,
    pub nonce: Nonce,
    pub time: AgentTime,
    pub stream: StreamId,
    /// The highest sequence number written to the outbox, 0 when there is none yet.
    pub last_seq: u64,
    /// Reports in the outbox that no ack has covered.
    pub outbox_reports: u64,
    pub outbox_bytes: u64,
    /// The newest commands that this process has taken, at most [`MAX_COMMANDS`]: only what is named here is known
    /// to have arrived, since a broker may lose one message and deliver the next.
    pub commands: Vec<CommandId>,
}
