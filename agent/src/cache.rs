//! What was last told of every path, on disk: it spares reading unchanged content and says what changed.
//!
//! A file of its own, apart from the outbox: losing it costs a scan, losing the outbox costs reports. A
//! saved baseline of `scan` has the same form.

use std::path::Path;

use redb::{Database, ReadableDatabase, TableDefinition};
use wardwatch_wire::report::StreamId;

use crate::sensor::binaries::record::Record;

/// Paths as bytes.
const FILES: TableDefinition<&[u8], &[u8]> = TableDefinition::new("files");
const NOTES: TableDefinition<&str, &[u8]> = TableDefinition::new("notes");
/// The stream in which the files were told.
const NOTE_STREAM: &str = "stream";
/// redb would take up to 1 GiB.
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

/// Records by path.
pub struct Cache {
    database: Database,
}

impl Cache {
    /// # Errors
    /// The file cannot be opened or made, is damaged, or another process has it open.
    pub fn open(path: &Path) -> Result<Self, CacheError> {
        let database =
            Database::builder().set_cache_size(MEMORY_BYTES).create(path).map_err(failed("opened"))?;
        Ok(Self { database })
    }

    /// # Errors
    /// As [`Self::open`], and when there is no such file.
    pub fn open_existing(path: &Path) -> Result<Self, CacheError> {
        let database =
            Database::builder().set_cache_size(MEMORY_BYTES).open(path).map_err(failed("opened"))?;
        Ok(Self { database })
    }

    /// # Errors
    /// The file cannot be read.
    pub fn get(&self, path: &[u8]) -> Result<Option<Record>, CacheError> {
        let read = || -> Result<_, redb::Error> {
            let transaction = self.database.begin_read()?;
            let table = match transaction.open_table(FILES) {
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                table => table?,
            };
            Ok(table.get(path)?.and_then(|bytes| Record::from_bytes(bytes.value())))
        };
        read().map_err(failed("read"))
    }

    /// Stores what was seen of each path; `None` forgets the path. Nothing is written for an empty list.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn put<'a>(
        &self,
        records: impl IntoIterator<Item = (&'a [u8], Option<&'a Record>)>,
    ) -> Result<(), CacheError> {
        let mut records = records.into_iter().peekable();
        if records.peek().is_none() {
            return Ok(());
        }
        let write = || -> Result<_, redb::Error> {
            let transaction = self.database.begin_write()?;
            {
                let mut table = transaction.open_table(FILES)?;
                for (path, record) in records {
                    match record {
                        Some(record) => table.insert(path, record.to_bytes().as_slice())?,
                        None => table.remove(path)?,
                    };
                }
            }
            Ok(transaction.commit()?)
        };
        write().map_err(failed("written"))
    }

    /// Whether what stands here was told in this stream.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn is_of(&self, stream: StreamId) -> Result<bool, CacheError> {
        Ok(self.note(NOTE_STREAM)?.is_some_and(|known| known == stream.0))
    }

    /// Forgets everything: nothing was told in this stream yet.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn begin_stream(&self, stream: StreamId) -> Result<(), CacheError> {
        let write = || -> Result<_, redb::Error> {
            let transaction = self.database.begin_write()?;
            transaction.delete_table(FILES)?;
            transaction.open_table(NOTES)?.insert(NOTE_STREAM, stream.0.as_slice())?;
            Ok(transaction.commit()?)
        };
        write().map_err(failed("cleared"))
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
        let mut read = || -> Result<_, redb::Error> {
            let transaction = self.database.begin_read()?;
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
        };
        read().map_err(failed("read"))
    }

    /// A word about the whole cache, such as the stream it belongs to.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn note(&self, name: &str) -> Result<Option<Vec<u8>>, CacheError> {
        let read = || -> Result<_, redb::Error> {
            let transaction = self.database.begin_read()?;
            let table = match transaction.open_table(NOTES) {
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                table => table?,
            };
            Ok(table.get(name)?.map(|bytes| bytes.value().to_vec()))
        };
        read().map_err(failed("read"))
    }

    /// # Errors
    /// The file cannot be written.
    pub fn set_note(&self, name: &str, value: &[u8]) -> Result<(), CacheError> {
        let write = || -> Result<_, redb::Error> {
            let transaction = self.database.begin_write()?;
            transaction.open_table(NOTES)?.insert(name, value)?;
            Ok(transaction.commit()?)
        };
        write().map_err(failed("written"))
    }
}
