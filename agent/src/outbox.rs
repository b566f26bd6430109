//! Reports on disk until the collector has committed them. A report is numbered, chained to the one before
//! and signed when it enters, in the same transaction that stores it, so that no crash can give one number
//! to two reports. Beside them stand the last downlink position and the newest witness.
//!
//! It does not decide what is reported (`cycle`) nor when it is sent (`uplink`).

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use redb::WriteTransaction;
use tokio::sync::Notify;
use wardwatch_policies::digest::Digest;
use wardwatch_policies::finding::StreamReason;
use wardwatch_policies::ids::AgentId;
use wardwatch_wire::downlink::{DownlinkPosition, Witness};
use wardwatch_wire::envelope::{Kind, open, seal};
use wardwatch_wire::report::{Body, Position, Report, StreamId};

use crate::clock::Clock;

mod acks;
mod disk;
mod error;
mod ledger;

pub use error::{Disagreement, OutboxError};

use disk::{Disk, MARKS, REPORTS, clear};
use ledger::Ledger;

/// Signs in the agent's name.
#[derive(Clone)]
pub struct Sealer {
    pub agent: AgentId,
    pub key: SigningKey,
    pub clock: Clock,
}

/// The outbox of one agent.
pub struct Outbox {
    sealer: Sealer,
    capacity_bytes: u64,
    inner: Mutex<Inner>,
    /// Told whenever reports were added.
    pub appended: Notify,
    /// Told whenever the collector committed some.
    pub committed: Notify,
}

struct Inner {
    disk: Disk,
    ledger: Ledger,
    /// Uptime at which the ledger in memory, which acks brought ahead of the disk, is written at the latest. Until
    /// then it is folded into whatever is written.
    save_due: Option<Duration>,
    /// Bytes of each report that is not yet committed, oldest first.
    sizes: VecDeque<u32>,
}

/// What waits, for a person and for the heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    pub reports: u64,
    pub bytes: u64,
}

impl Outbox {
    /// Makes an empty outbox; its first report will name `reason`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create(path: &Path, stream: StreamId, reason: StreamReason) -> Result<(), OutboxError> {
        Disk::open(path)?.write(&Ledger::begin(stream, reason), clear)
    }

    /// Opens an outbox that [`Self::create`] made.
    ///
    /// # Errors
    /// There is none, it is damaged, or another process has it open.
    pub fn open(path: &Path, sealer: Sealer, capacity_bytes: u64) -> Result<Self, OutboxError> {
        if !path.exists() {
            return Err(OutboxError::Damaged);
        }
        let disk = Disk::open(path)?;
        let (ledger, sizes) = disk.load()?;
        let inner = Inner { disk, ledger, save_due: None, sizes };
        let outbox = Self {
            sealer,
            capacity_bytes,
            inner: Mutex::new(inner),
            appended: Notify::new(),
            committed: Notify::new(),
        };
        outbox.open_stream()?;
        Ok(outbox)
    }

    /// Drops all and begins a new stream.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn restart(&self, stream: StreamId, reason: StreamReason) -> Result<(), OutboxError> {
        {
            let mut inner = self.lock();
            let ledger = inner.ledger.restarted(stream, reason);
            inner.write(&ledger, clear)?;
            inner.sizes.clear();
        }
        self.open_stream()
    }

    fn open_stream(&self) -> Result<(), OutboxError> {
        let (stream, reason, last_seq) = {
            let inner = self.lock();
            (inner.ledger.stream, inner.ledger.reason, inner.ledger.last_seq)
        };
        match last_seq {
            0 => self.append(stream, vec![Body::StreamOpened { reason }], &[]),
            _ => Ok(()),
        }
    }

    /// Numbers, signs and stores reports, all or none. Durable on return.
    ///
    /// `marks` are set in the same transaction.
    ///
    /// # Errors
    /// Full, another stream than `stream`, a report too large, or the disk.
    pub fn append(
        &self,
        stream: StreamId,
        bodies: Vec<Body>,
        marks: &[(String, Digest)],
    ) -> Result<(), OutboxError> {
        let mut inner = self.lock();
        if inner.ledger.stream != stream {
            return Err(OutboxError::OtherStream);
        }
        let held = inner.depth().bytes;
        if held >= self.capacity_bytes {
            return Err(OutboxError::Full(held));
        }
        let time = self.sealer.clock.agent_time();
        let mut ledger = inner.ledger.clone();
        let mut sealed = Vec::with_capacity(bodies.len());
        for body in bodies {
            let position = Position { stream, seq: ledger.last_seq + 1, previous: ledger.last_digest };
            let report = Report { agent: self.sealer.agent.clone(), position, time, body };
            let envelope = seal(Kind::Report, &self.sealer.agent, &self.sealer.key, &report)?;
            ledger.last_seq = position.seq;
            ledger.last_digest = envelope.digest();
            sealed.push((position.seq, envelope.into_bytes()));
        }
        inner.write(&ledger, |transaction| {
            let mut table = transaction.open_table(REPORTS)?;
            for (seq, bytes) in &sealed {
                table.insert(seq, bytes.as_slice())?;
            }
            let mut table = transaction.open_table(MARKS)?;
            for (name, digest) in marks {
                table.insert(name.as_str(), digest.as_bytes().as_slice())?;
            }
            Ok(())
        })?;
        inner.sizes.extend(sealed.iter().map(|(_, bytes)| u32::try_from(bytes.len()).unwrap_or(u32::MAX)));
        drop(inner);
        self.appended.notify_one();
        Ok(())
    }

    /// Up to `max_reports` reports after `after`, in order, together at most `max_bytes` (but at least one).
    ///
    /// # Errors
    /// The disk.
    pub fn after(
        &self,
        after: u64,
        max_reports: usize,
        max_bytes: usize,
    ) -> Result<Vec<(u64, Vec<u8>)>, OutboxError> {
        let inner = self.lock();
        let from = after.max(inner.ledger.committed) + 1;
        if from > inner.ledger.last_seq || max_reports == 0 {
            return Ok(Vec::new());
        }
        let mut taken = Vec::new();
        let mut bytes = 0;
        inner.disk.read(|transaction| {
            for entry in transaction.open_table(REPORTS)?.range(from..)? {
                let (seq, envelope) = entry?;
                let envelope = envelope.value();
                if taken.len() == max_reports || (!taken.is_empty() && bytes + envelope.len() > max_bytes) {
                    break;
                }
                bytes += envelope.len();
                taken.push((seq.value(), envelope.to_vec()));
            }
            Ok(())
        })?;
        Ok(taken)
    }

    /// What the first `max_reports` reports after `after` say.
    ///
    /// # Errors
    /// The disk, or it holds something else than this agent's reports.
    pub fn bodies_after(&self, after: u64, max_reports: usize) -> Result<Vec<(u64, Body)>, OutboxError> {
        let key = self.sealer.key.verifying_key();
        let opened = self.after(after, max_reports, usize::MAX)?.into_iter().map(|(seq, bytes)| {
            let report: Report =
                open(&bytes, Kind::Report, &self.sealer.agent, &key).map_err(|_| OutboxError::Damaged)?;
            Ok((seq, report.body))
        });
        opened.collect()
    }

    /// The digest of what was last reported under `name` in this stream.
    ///
    /// # Errors
    /// The disk.
    pub fn mark(&self, name: &str) -> Result<Option<Digest>, OutboxError> {
        self.lock().disk.read(|transaction| {
            let value = transaction.open_table(MARKS)?.get(name)?;
            Ok(value.and_then(|bytes| Some(Digest::from_bytes(bytes.value().try_into().ok()?))))
        })
    }

    #[must_use]
    pub fn stream(&self) -> StreamId {
        self.lock().ledger.stream
    }

    #[must_use]
    pub fn last_seq(&self) -> u64 {
        self.lock().ledger.last_seq
    }

    #[must_use]
    pub fn committed_seq(&self) -> u64 {
        self.lock().ledger.committed
    }

    #[must_use]
    pub fn downlink(&self) -> DownlinkPosition {
        self.lock().ledger.downlink
    }

    #[must_use]
    pub fn witness(&self) -> Option<Witness> {
        self.lock().ledger.witness
    }

    #[must_use]
    pub fn depth(&self) -> Depth {
        self.lock().depth()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn depth(&self) -> Depth {
        Depth {
            reports: self.sizes.len() as u64,
            bytes: self.sizes.iter().map(|size| u64::from(*size)).sum(),
        }
    }

    /// Writes `change`, what acks removed, and the ledger, as one.
    fn write(
        &mut self,
        ledger: &Ledger,
        change: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), OutboxError> {
        self.disk.write(ledger, |transaction| {
            let mut table = transaction.open_table(REPORTS)?;
            table.retain_in(..=ledger.committed, |_, _| false)?;
            drop(table);
            change(transaction)
        })?;
        self.ledger = ledger.clone();
        self.save_due = None;
        Ok(())
    }
}
