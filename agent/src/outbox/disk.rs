//! The outbox's tables, and how they are read and written.

use std::collections::VecDeque;
use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::OutboxError;
use super::ledger::Ledger;

/// Envelopes by sequence number.
pub(super) const REPORTS: TableDefinition<u64, &[u8]> = TableDefinition::new("reports");
/// The ledger, as one value.
pub(super) const LEDGER: TableDefinition<(), &[u8]> = TableDefinition::new("ledger");
/// Digests of what was last reported of things that are reported only when they change.
pub(super) const MARKS: TableDefinition<&str, &[u8]> = TableDefinition::new("marks");
/// redb would take up to 1 GiB.
pub(super) const MEMORY_BYTES: usize = 1024 * 1024;

pub(super) fn open_database(path: &Path) -> Result<Database, OutboxError> {
    Database::builder().set_cache_size(MEMORY_BYTES).create(path).map_err(OutboxError::storage)
}

pub(super) fn write(
    database: &Database,
    ledger: &Ledger,
    change: impl FnOnce(&redb::WriteTransaction) -> Result<(), redb::Error>,
) -> Result<(), OutboxError> {
    let write = || -> Result<(), redb::Error> {
        let transaction = database.begin_write()?;
        change(&transaction)?;
        transaction.open_table(LEDGER)?.insert((), ledger.to_bytes().as_slice())?;
        Ok(transaction.commit()?)
    };
    write().map_err(OutboxError::storage)
}

pub(super) fn load(database: &Database) -> Result<(Ledger, VecDeque<u32>), OutboxError> {
    let read = || -> Result<_, redb::Error> {
        let transaction = database.begin_read()?;
        let ledger =
            transaction.open_table(LEDGER)?.get(())?.and_then(|bytes| Ledger::from_bytes(bytes.value()));
        let mut sizes = VecDeque::new();
        for entry in transaction.open_table(REPORTS)?.iter()? {
            let (_, envelope) = entry?;
            sizes.push_back(u32::try_from(envelope.value().len()).unwrap_or(u32::MAX));
        }
        Ok((ledger, sizes))
    };
    let (ledger, sizes) = read().map_err(OutboxError::storage)?;
    let ledger = ledger.ok_or(OutboxError::Damaged)?;
    if ledger.last_seq - ledger.committed.min(ledger.last_seq) != sizes.len() as u64 {
        return Err(OutboxError::Damaged);
    }
    Ok((ledger, sizes))
}
