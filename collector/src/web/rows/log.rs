//! The change log in pages, newest first.

use sqlx::any::AnyRow;
use sqlx::{AnyPool, Row};
use wardwatch_incidents::chain::{LogEntry, StoredEntry};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::time::UnixMillis;

use super::{Paged, Slice};
use crate::store::Corrupt;

/// Newest first.
///
/// # Errors
/// The database does not answer, or an entry cannot be read.
pub async fn list(db: &AnyPool, slice: Slice) -> Result<Paged<LogEntry>, sqlx::Error> {
    let total = sqlx::query_scalar("select count(*) from log").fetch_one(db).await?;
    let rows = sqlx::query(
        "select idx, at, actor, change_body, digest from log order by idx desc limit $1 offset $2",
    )
    .bind(slice.size)
    .bind(slice.offset())
    .fetch_all(db)
    .await?;
    Ok(Paged { rows: rows.iter().map(read).collect::<Result<_, _>>()?, total, slice })
}

fn read(row: &AnyRow) -> Result<LogEntry, sqlx::Error> {
    let digest: Vec<u8> = row.try_get("digest")?;
    let stored = StoredEntry {
        index: row.try_get::<i64, _>("idx")?.unsigned_abs(),
        at: UnixMillis(row.try_get("at")?),
        actor_text: row.try_get("actor")?,
        change_text: row.try_get("change_body")?,
        digest: Digest::from_bytes(digest.try_into().map_err(|_| Corrupt("log.digest"))?),
    };
    stored.decode().map_err(|error| sqlx::Error::Decode(error.into()))
}
