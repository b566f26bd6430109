//! The files of one endpoint, as last seen.

use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AnyPool, Row};
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

const MOST_SEARCHED: i64 = 50_000;

/// Files whose path contains `search`, or whose digest begins with it. Paths are bytes in the store, so the
/// comparison is made here, over the first [`MOST_SEARCHED`] files in order of path.
///
/// # Errors
/// The database does not answer, or a row cannot be read.
pub async fn list(
    db: &AnyPool,
    endpoint: &str,
    search: &str,
    slice: Slice,
) -> Result<Paged<File>, sqlx::Error> {
    if let Ok(digest) = search.parse::<Digest>() {
        let rows = sqlx::query(
            "select path, sighting, digest, size, kind, reason, changed from files \
             where endpoint = $1 and digest = $2 order by path limit $3",
        )
        .bind(endpoint)
        .bind(digest.as_bytes().to_vec())
        .bind(slice.size)
        .fetch_all(db)
        .await?;
        let rows = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let total = rows.len().try_into().unwrap_or(i64::MAX);
        return Ok(Paged { rows, total, slice });
    }
    if search.is_empty() {
        let total =
            sqlx::query_scalar("select count(*) from files where endpoint = $1 and sighting <> 'absent'")
                .bind(endpoint)
                .fetch_one(db)
                .await?;
        let rows = sqlx::query(
            "select path, sighting, digest, size, kind, reason, changed from files \
             where endpoint = $1 and sighting <> 'absent' order by path limit $2 offset $3",
        )
        .bind(endpoint)
        .bind(slice.size)
        .bind(slice.offset())
        .fetch_all(db)
        .await?;
        return Ok(Paged { rows: rows.iter().map(read).collect::<Result<_, _>>()?, total, slice });
    }
    let rows = sqlx::query(
        "select path, sighting, digest, size, kind, reason, changed from files \
         where endpoint = $1 and sighting <> 'absent' order by path limit $2",
    )
    .bind(endpoint)
    .bind(MOST_SEARCHED)
    .fetch_all(db)
    .await?;
    let wanted = search.to_lowercase();
    let mut found = Vec::new();
    for row in &rows {
        let file = read(row)?;
        let by_digest = file.digest.is_some_and(|digest| digest.to_string().starts_with(&wanted));
        if by_digest || file.path.to_string().to_lowercase().contains(&wanted) {
            found.push(file);
        }
    }
    let total = found.len().try_into().unwrap_or(i64::MAX);
    let skip = usize::try_from(slice.offset()).unwrap_or(usize::MAX);
    let take = usize::try_from(slice.size).unwrap_or(usize::MAX);
    Ok(Paged { rows: found.into_iter().skip(skip).take(take).collect(), total, slice })
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
