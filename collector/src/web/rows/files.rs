//! The files of one endpoint, as last seen.

use futures_util::TryStreamExt;
use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AnyPool, AssertSqlSafe, Row};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::path::EndpointPath;
use wardwatch_policies::time::UnixMillis;

use super::{Paged, Slice, as_rfc3339, time};

/// One file of an endpoint.
#[derive(Debug, Clone, Serialize)]
pub struct File {
    pub path: EndpointPath,
    /// present, unreadable or absent.
    pub sighting: String,
    pub digest: Option<Digest>,
    pub size: Option<i64>,
    pub kind: Option<String>,
    pub reason: Option<String>,
    #[serde(serialize_with = "as_rfc3339")]
    pub changed: UnixMillis,
}

const SELECT: &str = "select path, sighting, digest, size, kind, reason, changed from files";

/// Files that are there whose path contains `search`, or whose digest begins with it, in order of path.
///
/// # Errors
/// The database does not answer, or a row cannot be read.
pub async fn list(
    db: &AnyPool,
    endpoint: &str,
    search: &str,
    slice: Slice,
) -> Result<Paged<File>, sqlx::Error> {
    if !search.is_empty() {
        return find(db, endpoint, &search.to_lowercase(), slice).await;
    }
    let total = sqlx::query_scalar("select count(*) from files where endpoint = $1 and sighting <> 'absent'")
        .bind(endpoint)
        .fetch_one(db)
        .await?;
    let rows = sqlx::query(AssertSqlSafe(format!(
        "{SELECT} where endpoint = $1 and sighting <> 'absent' order by path limit $2 offset $3"
    )))
    .bind(endpoint)
    .bind(slice.size)
    .bind(slice.offset())
    .fetch_all(db)
    .await?;
    Ok(Paged { rows: rows.iter().map(read).collect::<Result<_, _>>()?, total, slice })
}

/// Paths are bytes in the store, so they are compared here, row by row; only one page stands in memory.
async fn find(db: &AnyPool, endpoint: &str, wanted: &str, slice: Slice) -> Result<Paged<File>, sqlx::Error> {
    let mut stored = sqlx::query(AssertSqlSafe(format!(
        "{SELECT} where endpoint = $1 and sighting <> 'absent' order by path"
    )))
    .bind(endpoint)
    .fetch(db);
    let (mut rows, mut total) = (Vec::new(), 0);
    while let Some(row) = stored.try_next().await? {
        let file = read(&row)?;
        let by_digest = file.digest.is_some_and(|digest| digest.to_string().starts_with(wanted));
        if !by_digest && !file.path.to_string().to_lowercase().contains(wanted) {
            continue;
        }
        if (slice.offset()..slice.offset() + slice.size).contains(&total) {
            rows.push(file);
        }
        total += 1;
    }
    Ok(Paged { rows, total, slice })
}

fn read(row: &AnyRow) -> Result<File, sqlx::Error> {
    let decode = |error: String| sqlx::Error::Decode(error.into());
    let path: Vec<u8> = row.try_get("path")?;
    let digest: Option<Vec<u8>> = row.try_get("digest")?;
    let digest = digest
        .map(|bytes| <[u8; 32]>::try_from(bytes).map_err(|_| decode("a digest that is not 32 bytes".into())))
        .transpose()?
        .map(Digest::from_bytes);
    Ok(File {
        path: EndpointPath::from_bytes(path).map_err(|error| decode(error.to_string()))?,
        sighting: row.try_get("sighting")?,
        digest,
        size: row.try_get("size")?,
        kind: row.try_get("kind")?,
        reason: row.try_get("reason")?,
        changed: time(row, "changed")?,
    })
}
