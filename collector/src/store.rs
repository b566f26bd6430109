//! Where everything is kept: SQLite or PostgreSQL behind one set of SQL.
//!
//! This module opens the database and hands out transactions; each table's reads and writes stand in a
//! module of their own below. There is one writing connection, so writers queue here.

pub mod alerts;
pub mod blobs;
pub mod commands;
pub mod endpoints;
pub mod evidence;
pub mod files;
pub mod hosts;
pub mod incidents;
pub mod log;
pub mod releases;
pub mod reports;
pub mod rollouts;
pub mod sessions;
pub mod tokens;
pub mod units;
pub mod users;
pub mod verdicts;

use std::fmt::Write;
use std::str::FromStr;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{Any, AnyPool, Executor, Transaction};
use wardwatch_policies::digest::Digest;

/// The open database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    reader: AnyPool,
    writer: AnyPool,
}

/// The database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("\"{0}\" is not a database address; write sqlite:PATH or postgres://USER@HOST/NAME")]
    Address(String),
    #[error("the database cannot be opened")]
    Connect(#[from] sqlx::Error),
    #[error("the database's tables cannot be brought up to date")]
    Migrate(#[from] sqlx::migrate::MigrateError),
}

impl Store {
    /// Opens the database, makes it if it is a missing SQLite file, and brings its tables up to date.
    ///
    /// # Errors
    /// The address is malformed, the database does not answer, or a migration fails.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let address = || OpenError::Address(redacted(url));
        let (url, sqlite) = if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.trim_start_matches("//");
            // Where it cannot be made, connecting says so in better words.
            let _ = make_private(path);
            (format!("sqlite://{path}?mode=rwc"), true)
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            (url.to_owned(), false)
        } else {
            return Err(address());
        };
        let options = AnyConnectOptions::from_str(&url).map_err(|_| address())?;
        let pool = move |connections| {
            AnyPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(Duration::from_secs(30))
                .after_connect(move |connection, _| {
                    Box::pin(async move {
                        if sqlite {
                            connection
                                .execute(
                                    "pragma journal_mode = wal; pragma synchronous = full; \
                                     pragma busy_timeout = 10000; pragma foreign_keys = on",
                                )
                                .await?;
                        }
                        Ok(())
                    })
                })
                .after_release(move |connection, _| {
                    Box::pin(async move {
                        // On a full disk SQLite ends a transaction by itself. The driver does not notice, and
                        // would take what comes next for a part of it, never to be committed.
                        Ok(!sqlite || connection.execute("begin; rollback").await.is_ok())
                    })
                })
        };
        // One writer on both databases: the change log is a chain, and a chain has one end.
        let writer = pool(1).connect_with(options.clone()).await?;
        sqlx::migrate!("./migrations").run(&writer).await?;
        let reader = pool(8).connect_with(options).await?;
        Ok(Self { reader, writer })
    }

    /// For reads that need no transaction.
    #[must_use]
    pub const fn reader(&self) -> &AnyPool {
        &self.reader
    }

    /// Begins a transaction that writes. Waits its turn; dropped without commit, it changes nothing.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn write(&self) -> Result<Transaction<'static, Any>, sqlx::Error> {
        self.writer.begin().await
    }

    /// Closes all connections after their work is done.
    pub async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

/// SQLite would let everyone read it who may enter the folder: it holds the hashes of passwords. Its journals
/// get the rights of the file itself.
fn make_private(path: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(drop)
}

/// The database holds a value that this program did not write there. The column is named.
#[derive(Debug, thiserror::Error)]
#[error("{0} holds a value that Wardwatch did not write; run `audit verify` and restore from a backup")]
pub struct Corrupt(pub &'static str);

impl From<Corrupt> for sqlx::Error {
    fn from(corrupt: Corrupt) -> Self {
        Self::Decode(Box::new(corrupt))
    }
}

/// How a row differs from what the change log tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    #[error("is missing from its table")]
    Missing,
    #[error("stands in its table, and nothing in the log has raised it")]
    Unheard,
    #[error("is not in its table as the log tells it: the row was changed")]
    Changed,
}

/// Rows of one statement. With more, the time goes into names of parameters: for each, SQLite looks through all of
/// those before it.
const ROWS: usize = 32;

/// Writes `$first, $first+1, …`, `count` of them.
fn placeholders(sql: &mut String, first: usize, count: usize) {
    for n in first..first + count {
        let comma = if n == first { "" } else { ", " };
        write!(sql, "{comma}${n}").expect("writing to a string cannot fail");
    }
}

/// A text as both databases take it: PostgreSQL knows no NUL, and no agent may stop a batch with one.
fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn digest(bytes: &[u8]) -> Result<Digest, sqlx::Error> {
    Ok(Digest::from_bytes(bytes.try_into().map_err(|_| Corrupt("a digest"))?))
}

fn bytes16(bytes: &[u8]) -> Result<[u8; 16], sqlx::Error> {
    Ok(bytes.try_into().map_err(|_| Corrupt("a 16-byte id"))?)
}

/// A database address without its password.
fn redacted(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => url.to_owned(),
    }
}
