//! The change log: appended to, never changed.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};
use wardwatch_incidents::chain::{Checkpoint, Head, LogEntry, StoredEntry};
use wardwatch_incidents::change::{AlertId, IncidentId};
use wardwatch_policies::time::UnixMillis;

use super::{Corrupt, ROWS, digest, placeholders};

/// Where the log ends now. Read it in the transaction that appends.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn head(db: &mut AnyConnection) -> Result<Head, sqlx::Error> {
    let row = sqlx::query("select idx, digest from log order by idx desc limit 1").fetch_optional(db).await?;
    Ok(match row {
        Some(row) => Head {
            length: row.try_get::<i64, _>(0)?.unsigned_abs(),
            digest: digest(&row.try_get::<Vec<u8>, _>(1)?)?,
        },
        None => Head::EMPTY,
    })
}

/// Appends entries made to follow the head, and each other.
///
/// # Errors
/// The database fails, or the log does not end where the entries begin.
pub async fn append(db: &mut AnyConnection, entries: &[LogEntry]) -> Result<(), sqlx::Error> {
    for chunk in entries.chunks(ROWS) {
        let mut sql =
            String::from("insert into log (idx, at, actor, change_body, digest, incident, alert) values ");
        for row in 0..chunk.len() {
            sql.push_str(if row == 0 { "(" } else { ", (" });
            placeholders(&mut sql, 1 + row * 7, 7);
            sql.push(')');
        }
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for entry in chunk {
            let stored = entry.to_stored();
            query = query
                .bind(stored.index.cast_signed())
                .bind(stored.at.0)
                .bind(stored.actor_text)
                .bind(stored.change_text)
                .bind(stored.digest.as_bytes().to_vec())
                .bind(entry.change.incident().map(|incident| incident.to_string()))
                .bind(entry.change.alert().map(|alert| alert.0));
        }
        query.execute(&mut *db).await?;
    }
    Ok(())
}

/// Up to `limit` entries after number `after`, oldest first.
///
/// # Errors
/// The database fails.
pub async fn entries(
    db: &mut AnyConnection,
    after: u64,
    limit: u32,
) -> Result<Vec<StoredEntry>, sqlx::Error> {
    let rows = sqlx::query(
        "select idx, at, actor, change_body, digest from log where idx > $1 order by idx limit $2",
    )
    .bind(after.cast_signed())
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    rows.iter().map(stored).collect()
}

/// An entry with the columns it is found by, which its digest does not cover.
pub struct Filed {
    pub entry: StoredEntry,
    pub incident: Option<String>,
    pub alert: Option<AlertId>,
}

/// As [`entries`], with the columns that entries are found by.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn filed(db: &mut AnyConnection, after: u64, limit: u32) -> Result<Vec<Filed>, sqlx::Error> {
    let rows = sqlx::query(
        "select idx, at, actor, change_body, digest, incident, alert from log where idx > $1 \
         order by idx limit $2",
    )
    .bind(after.cast_signed())
    .bind(i64::from(limit))
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| {
            let alert = row.try_get::<Option<i64>, _>(6)?.map(AlertId);
            Ok(Filed { entry: stored(row)?, incident: row.try_get(5)?, alert })
        })
        .collect()
}

/// All entries of one incident, oldest first.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn of_incident(db: &mut AnyConnection, incident: IncidentId) -> Result<Vec<LogEntry>, sqlx::Error> {
    let rows =
        sqlx::query("select idx, at, actor, change_body, digest from log where incident = $1 order by idx")
            .bind(incident.to_string())
            .fetch_all(db)
            .await?;
    rows.iter().map(|row| decoded(stored(row)?)).collect()
}

/// Keeps a signed head.
///
/// # Errors
/// The database fails.
pub async fn keep_checkpoint(db: &mut AnyConnection, checkpoint: &Checkpoint) -> Result<(), sqlx::Error> {
    let head = checkpoint.head();
    sqlx::query(
        "insert into checkpoints (length, head, signature) values ($1, $2, $3) \
         on conflict (length) do nothing",
    )
    .bind(head.length.cast_signed())
    .bind(head.digest.as_bytes().to_vec())
    .bind(checkpoint.signature().to_vec())
    .execute(db)
    .await?;
    Ok(())
}

/// All kept heads with their signatures, which are not verified here; shortest log first.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn checkpoints(db: &mut AnyConnection) -> Result<Vec<(Head, Vec<u8>)>, sqlx::Error> {
    let rows =
        sqlx::query("select length, head, signature from checkpoints order by length").fetch_all(db).await?;
    rows.iter()
        .map(|row| {
            let head = Head {
                length: row.try_get::<i64, _>(0)?.unsigned_abs(),
                digest: digest(&row.try_get::<Vec<u8>, _>(1)?)?,
            };
            Ok((head, row.try_get(2)?))
        })
        .collect()
}

fn stored(row: &AnyRow) -> Result<StoredEntry, sqlx::Error> {
    Ok(StoredEntry {
        index: row.try_get::<i64, _>(0)?.unsigned_abs(),
        at: UnixMillis(row.try_get(1)?),
        actor_text: row.try_get(2)?,
        change_text: row.try_get(3)?,
        digest: digest(&row.try_get::<Vec<u8>, _>(4)?)?,
    })
}

fn decoded(entry: StoredEntry) -> Result<LogEntry, sqlx::Error> {
    entry.decode().map_err(|_| Corrupt("log").into())
}
