//! What was last told of every path, on disk: it spares reading unchanged content and says what changed.
//!
//! A file of its own, apart from the outbox: losing it costs a scan, losing the outbox costs reports. A
//! saved baseline of `scan` has the same form.

use std::path::Path;

use redb::TableDefinition;
use wardwatch_wire::report::StreamId;

use crate::database::{self, Database};
use crate::sensor::binaries::record::Record;

/// Paths as bytes.
const FILES: TableDefinition<&[u8], &[u8]> = TableDefinition::new("files");
const NOTES: TableDefinition<&str, &[u8]> = TableDefinition::new("notes");
/// The stream in which the files were told.
const NOTE_STREAM: &str = "stream";
/// The last report of that stream whose files stand here.
const NOTE_TOLD: &str = "told";
const MEMORY_BYTES: usize = 4 * 1024 * 1024;

/// The cache cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the file cache cannot be {did}: {source}")]
pub struct CacheError {
    did: &'static str,
    source: Box<redb::Error>,
}

fn failed<E: Into<redb::Error>>(did: &'static str) -> impl Fn(E) -> CacheError {
    move |error| CacheError { did, source: Box::new(error.into()) }
}

impl CacheError {
    /// Whether what stands on the disk can never be read again.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        database::is_damage(&self.source)
    }
}

/// Records by path.
pub struct Cache {
    database: Database,
}

impl Cache {
    /// # Errors
    /// The file cannot be opened or made, is damaged, or another process has it open.
    pub fn open(path: &Path) -> Result<Self, CacheError> {
        Ok(Self { database: Database::open(path, MEMORY_BYTES).map_err(failed("opened"))? })
    }

    /// # Errors
    /// As [`Self::open`], and when there is no such file.
    pub fn open_existing(path: &Path) -> Result<Self, CacheError> {
        Ok(Self { database: Database::open_existing(path, MEMORY_BYTES).map_err(failed("opened"))? })
    }

    /// # Errors
    /// The file cannot be read.
    pub fn get(&self, path: &[u8]) -> Result<Option<Record>, CacheError> {
        let read = self.database.read(|transaction| {
            let table = match transaction.open_table(FILES) {
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                table => table?,
            };
            Ok(table.get(path)?.and_then(|bytes| Record::from_bytes(bytes.value())))
        });
        read.map_err(failed("read"))
    }

    /// Stores what was seen of each path; `None` forgets the path. `told` is the report up to which files stand here
    /// from now on. Nothing is written for an empty list.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn put<'a>(
        &self,
        records: impl IntoIterator<Item = (&'a [u8], Option<&'a Record>)>,
        told: Option<u64>,
    ) -> Result<(), CacheError> {
        let mut records = records.into_iter().peekable();
        if records.peek().is_none() {
            return Ok(());
        }
        let written = self.database.write(|transaction| {
            let mut table = transaction.open_table(FILES)?;
            for (path, record) in records {
                match record {
                    Some(record) => table.insert(path, record.to_bytes().as_slice())?,
                    None => table.remove(path)?,
                };
            }
            if let Some(told) = told {
                transaction.open_table(NOTES)?.insert(NOTE_TOLD, told.to_le_bytes().as_slice())?;
            }
            Ok(())
        });
        written.map_err(failed("written"))
    }

    /// Whether what stands here was told in this stream.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn is_of(&self, stream: StreamId) -> Result<bool, CacheError> {
        Ok(self.note(NOTE_STREAM)?.is_some_and(|known| known == stream.0))
    }

    /// The last report whose files stand here, 0 if there is none.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn told(&self) -> Result<u64, CacheError> {
        let note = self.note(NOTE_TOLD)?;
        Ok(note.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_le_bytes))
    }

    /// Forgets everything: nothing was told in this stream yet.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn begin_stream(&self, stream: StreamId) -> Result<(), CacheError> {
        let cleared = self.database.write(|transaction| {
            transaction.delete_table(FILES)?;
            let mut notes = transaction.open_table(NOTES)?;
            notes.insert(NOTE_STREAM, stream.0.as_slice())?;
            notes.remove(NOTE_TOLD)?;
            Ok(())
        });
        cleared.map_err(failed("cleared"))
    }

    /// Hands over every path that begins with `prefix`, with its record, in the order of their bytes, until
    /// `visit` says to stop.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn for_each(
        &self,
        prefix: &[u8],
        mut visit: impl FnMut(&[u8], Record) -> bool,
    ) -> Result<(), CacheError> {
        let read = self.database.read(|transaction| {
            let table = match transaction.open_table(FILES) {
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(()),
                table => table?,
            };
            for entry in table.range(prefix..)? {
                let (path, bytes) = entry?;
                if !path.value().starts_with(prefix) {
                    break;
                }
                if let Some(record) = Record::from_bytes(bytes.value())
                    && !visit(path.value(), record)
                {
                    break;
                }
            }
            Ok(())
        });
        read.map_err(failed("read"))
    }

    /// A word about the whole cache, such as the stream it belongs to.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn note(&self, name: &str) -> Result<Option<Vec<u8>>, CacheError> {
        let read = self.database.read(|transaction| {
            let table = match transaction.open_table(NOTES) {
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                table => table?,
            };
            Ok(table.get(name)?.map(|bytes| bytes.value().to_vec()))
        });
        read.map_err(failed("read"))
    }

    /// # Errors
    /// The file cannot be written.
    pub fn set_note(&self, name: &str, value: &[u8]) -> Result<(), CacheError> {
        let written = self.database.write(|transaction| {
            transaction.open_table(NOTES)?.insert(name, value)?;
            Ok(())
        });
        written.map_err(failed("written"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As on a disk that is full for a while.
    #[test]
    fn after_a_failed_write_the_next_one_succeeds_and_what_was_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cache");
        let cache = Cache::open(&path).unwrap();
        cache.set_note("before", b"kept").unwrap();

        cache.database.write(|_| Err(redb::Error::PreviousIo)).unwrap_err();
        // It was let go of, so that it can be opened anew.
        let other = Cache::open_existing(&path).unwrap();
        cache.set_note("after", b"refused").unwrap_err();
        drop(other);

        cache.set_note("after", b"written").unwrap();
        assert_eq!(cache.note("before").unwrap().unwrap(), b"kept");
        assert_eq!(cache.note("after").unwrap().unwrap(), b"written");
    }
}
