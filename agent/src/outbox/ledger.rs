//! Where the stream and the downlink stand.

use serde::{Deserialize, Serialize};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::finding::StreamReason;
use wardwatch_wire::downlink::{DownlinkPosition, Witness};
use wardwatch_wire::report::StreamId;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ledger {
    pub(super) stream: StreamId,
    pub(super) reason: StreamReason,
    /// The last report written, 0 before the first.
    pub(super) last_seq: u64,
    pub(super) last_digest: Digest,
    /// The collector has committed all up to this one.
    pub(super) committed: u64,
    pub(super) downlink: DownlinkPosition,
    pub(super) witness: Option<Witness>,
}

impl Ledger {
    pub(super) fn begin(stream: StreamId, reason: StreamReason) -> Self {
        Self {
            stream,
            reason,
            last_seq: 0,
            last_digest: Digest::ZERO,
            committed: 0,
            downlink: DownlinkPosition::START,
            witness: None,
        }
    }

    /// A new stream. What was heard from the collector stays: it must not be obeyed twice.
    pub(super) fn restarted(&self, stream: StreamId, reason: StreamReason) -> Self {
        Self { downlink: self.downlink, witness: self.witness, ..Self::begin(stream, reason) }
    }

    /// Keeps the longest log ever seen: a shorter one later is what a witness is for.
    pub(super) fn note_witness(&mut self, witness: Witness) {
        if self.witness.is_none_or(|known| witness.length >= known.length) {
            self.witness = Some(witness);
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        ciborium::into_writer(self, &mut bytes).expect("writing to memory cannot fail");
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        ciborium::from_reader(bytes).ok()
    }
}
