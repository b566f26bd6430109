//! What the agent's databases have in common: how one is opened, read and written, and when it can never be read again.
//!
//! They write every change beside what it replaces, and after a large change a file keeps up to three times the bytes
//! that it holds: too much for a small flash memory, so that opening one gives back room.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use redb::{DatabaseError, ReadTransaction, ReadableDatabase, WriteTransaction};

/// Less than this is not worth writing all anew, in bytes.
const WORTH_IT: u64 = 512 * 1024;
/// How long a database that another program has open is waited for.
const PATIENCE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(50);

/// A database in its file.
pub(crate) struct Database {
    path: PathBuf,
    memory_bytes: usize,
    /// `None` after a failed write: redb then wants to be opened anew.
    held: Mutex<Option<Arc<redb::Database>>>,
}

impl Database {
    /// Opens the file, or makes it, and writes it anew where more than half of it is free. A power cut in between
    /// leaves the old or the new state; where it cannot be done, the file stays as large as it was. Of its content at
    /// most `memory_bytes` are held: redb would take up to 1 GiB.
    ///
    /// # Errors
    /// The file cannot be opened or made, is damaged, or another process has it open.
    pub(crate) fn open(path: &Path, memory_bytes: usize) -> Result<Self, DatabaseError> {
        let open = || redb::Database::builder().set_cache_size(memory_bytes).create(path);
        Ok(Self::of(path, memory_bytes, open_tidily(open)?))
    }

    /// # Errors
    /// As [`Self::open`], and when there is no such file.
    pub(crate) fn open_existing(path: &Path, memory_bytes: usize) -> Result<Self, DatabaseError> {
        Ok(Self::of(path, memory_bytes, open_again(path, memory_bytes)?))
    }

    fn of(path: &Path, memory_bytes: usize, database: redb::Database) -> Self {
        Self { path: path.to_owned(), memory_bytes, held: Mutex::new(Some(Arc::new(database))) }
    }

    fn held(&self) -> MutexGuard<'_, Option<Arc<redb::Database>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn database(&self) -> Result<Arc<redb::Database>, redb::Error> {
        let mut held = self.held();
        Ok(match &*held {
            Some(database) => Arc::clone(database),
            None => Arc::clone(held.insert(Arc::new(open_again(&self.path, self.memory_bytes)?))),
        })
    }

    /// # Errors
    /// The file cannot be read.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, redb::Error> {
        read(&self.database()?.begin_read()?)
    }

    /// Writes `change` as one, or not at all.
    ///
    /// # Errors
    /// The file cannot be written. The next call opens it anew.
    pub(crate) fn write(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), redb::Error> {
        let write = || {
            let transaction = self.database()?.begin_write()?;
            change(&transaction)?;
            Ok(transaction.commit()?)
        };
        let written = write();
        if written.is_err() {
            *self.held() = None;
        }
        written
    }
}

fn open_again(path: &Path, memory_bytes: usize) -> Result<redb::Database, DatabaseError> {
    redb::Database::builder().set_cache_size(memory_bytes).open(path)
}

fn open_tidily(
    open: impl Fn() -> Result<redb::Database, DatabaseError>,
) -> Result<redb::Database, DatabaseError> {
    let mut database = open_patiently(&open)?;
    match give_back(&mut database) {
        Ok(()) => Ok(database),
        Err(error) => {
            tracing::warn!("a database of the agent cannot be made smaller: {error}; free some space");
            // After a failed write it wants to be opened anew.
            drop(database);
            open()
        }
    }
}

/// The lock of a program that was just killed may outlast it for a moment, as Windows has it.
fn open_patiently(
    open: impl Fn() -> Result<redb::Database, DatabaseError>,
) -> Result<redb::Database, DatabaseError> {
    let begun = Instant::now();
    loop {
        match open() {
            Err(DatabaseError::DatabaseAlreadyOpen) if begun.elapsed() < PATIENCE => sleep(RETRY),
            opened => return opened,
        }
    }
}

fn give_back(database: &mut redb::Database) -> Result<(), redb::Error> {
    let looking = database.begin_write()?;
    let stats = looking.stats()?;
    looking.abort()?;
    let free = stats.fragmented_bytes();
    if free > WORTH_IT && free > stats.stored_bytes() + stats.metadata_bytes() {
        database.compact()?;
    }
    Ok(())
}

/// Whether what stands on the disk can never be read again; else a later attempt may succeed.
pub(crate) fn is_damage(error: &redb::Error) -> bool {
    match error {
        redb::Error::Corrupted(_)
        | redb::Error::UpgradeRequired(_)
        | redb::Error::RepairAborted
        | redb::Error::TableDoesNotExist(_)
        | redb::Error::TableTypeMismatch { .. } => true,
        redb::Error::Io(error) => {
            matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use redb::{Database, TableDefinition};

    use super::{DatabaseError, RETRY, open_tidily, sleep};

    const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("table");

    fn write(database: &Database, keys: std::ops::Range<u64>) {
        let transaction = database.begin_write().unwrap();
        {
            let mut table = transaction.open_table(TABLE).unwrap();
            table.retain(|key, _| keys.contains(&key)).unwrap();
            for key in keys {
                table.insert(key, [7; 100].as_slice()).unwrap();
            }
        }
        transaction.commit().unwrap();
    }

    #[test]
    fn a_file_that_another_lets_go_of_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("database");
        let other = Database::create(&path).unwrap();
        assert!(matches!(Database::open(&path), Err(DatabaseError::DatabaseAlreadyOpen)));
        std::thread::scope(|scope| {
            scope.spawn(move || {
                sleep(4 * RETRY);
                drop(other);
            });
            open_tidily(|| Database::open(&path)).unwrap();
        });
    }

    #[test]
    fn a_file_that_is_mostly_free_becomes_small_and_one_that_is_full_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("database");
        let size = || std::fs::metadata(&path).unwrap().len();
        let open = || open_tidily(|| Database::create(&path)).unwrap();
        let database = open();
        write(&database, 0..20_000);
        write(&database, 0..5000);
        drop(database);
        let large = size();
        drop(open());
        let small = size();
        assert!(small < large / 3, "{small} of {large}");
        drop(open());
        assert!(size().abs_diff(small) < 64 * 1024, "{} after {small}", size());
    }
}
