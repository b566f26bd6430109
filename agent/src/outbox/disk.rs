//! The outbox's tables, and how they are read and written.

use std::collections::VecDeque;
use std::path::Path;

use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

use super::OutboxError;
use super::ledger::Ledger;
use crate::database::Database;

/// Envelopes by sequence number.
pub(super) const REPORTS: TableDefinition<u64, &[u8]> = TableDefinition::new("reports");
/// The ledger, as one value.
const LEDGER: TableDefinition<(), &[u8]> = TableDefinition::new("ledger");
/// Digests of what was last reported of things that are reported only when they change.
pub(super) const MARKS: TableDefinition<&str, &[u8]> = TableDefinition::new("marks");
const MEMORY_BYTES: usize = 1024 * 1024;

/// Where the outbox stands.
pub(super) struct Disk {
    database: Database,
}

impl Disk {
    /// Opens the file, or makes it.
    pub(super) fn open(path: &Path) -> Result<Self, OutboxError> {
        let database = Database::open(path, MEMORY_BYTES).map_err(OutboxError::storage)?;
        Ok(Self { database })
    }

    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, OutboxError> {
        self.database.read(read).map_err(OutboxError::storage)
    }

    /// Writes `change` and the ledger, as one.
    pub(super) fn write(
        &self,
        ledger: &Ledger,
        change: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), OutboxError> {
        let written = self.database.write(|transaction| {
            change(transaction)?;
            transaction.open_table(LEDGER)?.insert((), ledger.to_bytes().as_slice())?;
            Ok(())
        });
        written.map_err(OutboxError::storage)
    }

    /// The ledger, and the bytes of each report, oldest first.
    pub(super) fn load(&self) -> Result<(Ledger, VecDeque<u32>), OutboxError> {
        let (ledger, sizes) = self.read(|transaction| {
            let ledger =
                transaction.open_table(LEDGER)?.get(())?.and_then(|bytes| Ledger::from_bytes(bytes.value()));
            let mut sizes = VecDeque::new();
            for entry in transaction.open_table(REPORTS)?.iter()? {
                let (_, envelope) = entry?;
                sizes.push_back(u32::try_from(envelope.value().len()).unwrap_or(u32::MAX));
            }
            Ok((ledger, sizes))
        })?;
        let ledger = ledger.ok_or(OutboxError::Damaged)?;
        if ledger.last_seq - ledger.committed.min(ledger.last_seq) != sizes.len() as u64 {
            return Err(OutboxError::Damaged);
        }
        Ok((ledger, sizes))
    }
}

/// Removes all but the ledger.
pub(super) fn clear(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(REPORTS)?.retain(|_, _| false)?;
    transaction.open_table(MARKS)?.retain(|_, _| false)?;
    Ok(())
}
