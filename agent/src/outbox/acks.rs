//! What acks of the collector change, and when that is written down: a write for each would wear a flash memory.

use std::time::Duration;

use wardwatch_wire::downlink::{DownlinkPosition, Witness};
use wardwatch_wire::report::StreamId;

use super::{Disagreement, Outbox, OutboxError};

/// Acks that let reports go are written after so long.
const SAVE_AFTER: Duration = Duration::from_secs(5);
/// Acks of heartbeats bring a newer position and witness only, every minute, and each write costs a flash memory
/// 32 KiB.
const IDLE_SAVE_AFTER: Duration = Duration::from_secs(3600);

impl Outbox {
    /// Takes note of an ack: reports up to `committed` leave the outbox. On disk with the next write, which comes
    /// soon if any left. If none did, a crash before the write forgets nothing that a later ack does not say again.
    ///
    /// # Errors
    /// The collector does not stand where this stream left it: [`Disagreement`].
    pub fn acknowledge(
        &self,
        position: DownlinkPosition,
        stream: StreamId,
        committed: u64,
        witness: Witness,
    ) -> Result<(), Disagreement> {
        let mut inner = self.lock();
        let restored = position.epoch > inner.ledger.downlink.epoch;
        let leave = stream == inner.ledger.stream && committed > inner.ledger.committed;
        let patience = if leave || restored { SAVE_AFTER } else { IDLE_SAVE_AFTER };
        let due = self.sealer.clock.uptime() + patience;
        inner.save_due = Some(inner.save_due.map_or(due, |earlier| earlier.min(due)));
        inner.ledger.downlink = inner.ledger.downlink.max(position);
        inner.ledger.note_witness(witness);
        let told_before = inner.ledger.committed > 0;
        if stream != inner.ledger.stream {
            return match (told_before, restored) {
                // The opening of this stream is still on its way.
                (false, _) => Ok(()),
                (true, true) => Err(Disagreement::CollectorRestored),
                (true, false) => Err(Disagreement::StateRolledBack),
            };
        }
        if committed > inner.ledger.last_seq {
            return Err(Disagreement::StateRolledBack);
        }
        if committed < inner.ledger.committed {
            return Err(Disagreement::CollectorRestored);
        }
        while inner.ledger.committed < committed {
            inner.ledger.committed += 1;
            inner.sizes.pop_front();
        }
        drop(inner);
        self.committed.notify_one();
        Ok(())
    }

    /// Stores a downlink position at once, before what it carries is obeyed.
    ///
    /// # Errors
    /// The disk.
    pub fn advance_downlink(&self, position: DownlinkPosition) -> Result<(), OutboxError> {
        let mut inner = self.lock();
        let mut ledger = inner.ledger.clone();
        ledger.downlink = ledger.downlink.max(position);
        inner.write(&ledger, |_| Ok(()))
    }

    /// Writes what acks changed, if they changed anything.
    ///
    /// # Errors
    /// The disk.
    pub fn save(&self) -> Result<(), OutboxError> {
        let mut inner = self.lock();
        if inner.save_due.is_none() {
            return Ok(());
        }
        let ledger = inner.ledger.clone();
        inner.write(&ledger, |_| Ok(()))
    }

    /// The uptime at which [`Self::save_if_due`] has something to do.
    #[must_use]
    pub fn save_due(&self) -> Option<Duration> {
        self.lock().save_due
    }

    /// Writes what acks changed once it waited long enough. Nothing is lost if this fails: the reports are sent
    /// once more after a restart.
    pub fn save_if_due(&self) {
        if self.save_due().is_some_and(|due| self.sealer.clock.uptime() >= due)
            && let Err(error) = self.save()
        {
            tracing::debug!("acks are not written down: {error}");
            let later = self.sealer.clock.uptime() + SAVE_AFTER;
            self.lock().save_due = Some(later);
        }
    }
}
