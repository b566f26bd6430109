//! The state of every endpoint's files, as last reported.

use std::collections::BTreeMap;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};
use wardwatch_policies::file::{Coverage, FileKind, FileState, Sighting};
use wardwatch_policies::ids::AgentId;
use wardwatch_policies::path::EndpointPath;
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::report::StreamId;

use super::{Corrupt, ROWS, digest, placeholders, text};

const COLUMNS: &str = "sighting, digest, size, kind, mode, uid, gid, reason";

/// The stored sightings of these paths; a path never seen is missing from the answer.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn sightings(
    db: &mut AnyConnection,
    endpoint: &AgentId,
    paths: &[&EndpointPath],
) -> Result<BTreeMap<EndpointPath, Sighting>, sqlx::Error> {
    let mut found = BTreeMap::new();
    for chunk in paths.chunks(ROWS) {
        let mut sql = format!("select {COLUMNS}, path from files where endpoint = $1 and path in (");
        placeholders(&mut sql, 2, chunk.len());
        sql.push(')');
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(endpoint.as_str());
        for path in chunk {
            query = query.bind(path.as_bytes());
        }
        for row in query.fetch_all(&mut *db).await? {
            found.insert(path_of(&row, 8)?, sighting_of(&row)?);
        }
    }
    Ok(found)
}

/// Writes what was seen, as told in `stream`.
///
/// # Errors
/// The database fails.
pub async fn keep(
    db: &mut AnyConnection,
    endpoint: &AgentId,
    stream: StreamId,
    seen: &[(&EndpointPath, &Sighting)],
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    for chunk in seen.chunks(ROWS) {
        let mut sql =
            format!("insert into files ({COLUMNS}, path, endpoint, stream, first_seen, changed) values ");
        for row in 0..chunk.len() {
            sql.push_str(if row == 0 { "(" } else { ", (" });
            placeholders(&mut sql, 4 + row * 9, 9);
            sql.push_str(", $1, $2, $3, $3)");
        }
        sql.push_str(
            " on conflict (endpoint, path) do update set sighting = excluded.sighting, \
             digest = excluded.digest, size = excluded.size, kind = excluded.kind, mode = excluded.mode, \
             uid = excluded.uid, gid = excluded.gid, reason = excluded.reason, stream = excluded.stream, \
             changed = excluded.changed",
        );
        let mut query =
            sqlx::query(AssertSqlSafe(sql)).bind(endpoint.as_str()).bind(stream.0.to_vec()).bind(now.0);
        for (path, sighting) in chunk {
            let (word, state, reason) = match sighting {
                Sighting::Present(state) => ("present", Some(state), None),
                Sighting::Unreadable(reason) => ("unreadable", None, Some(reason.as_str())),
                Sighting::Absent => ("absent", None, None),
            };
            let owner = state.and_then(|s| s.owner);
            query = query
                .bind(word)
                .bind(state.map(|s| s.digest.as_bytes().to_vec()))
                .bind(state.map(|s| i64::try_from(s.size).unwrap_or(i64::MAX)))
                .bind(state.map(|s| s.kind.as_str()))
                .bind(state.and_then(|s| s.mode).map(i64::from))
                .bind(owner.map(|(uid, _)| i64::from(uid)))
                .bind(owner.map(|(_, gid)| i64::from(gid)))
                .bind(reason.map(text))
                .bind(path.as_bytes());
        }
        query.execute(&mut *db).await?;
    }
    Ok(())
}

/// Marks files as told in `stream` whose state is as stored.
///
/// # Errors
/// The database fails.
pub async fn mark_told(
    db: &mut AnyConnection,
    endpoint: &AgentId,
    stream: StreamId,
    paths: &[&EndpointPath],
) -> Result<(), sqlx::Error> {
    for chunk in paths.chunks(ROWS) {
        let mut sql = String::from("update files set stream = $2 where endpoint = $1 and path in (");
        placeholders(&mut sql, 3, chunk.len());
        sql.push(')');
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(endpoint.as_str()).bind(stream.0.to_vec());
        for path in chunk {
            query = query.bind(path.as_bytes());
        }
        query.execute(&mut *db).await?;
    }
    Ok(())
}

/// Up to `limit` files that are not absent and were not told in `stream`, with what is stored of them.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn untold(
    db: &mut AnyConnection,
    endpoint: &AgentId,
    stream: StreamId,
    limit: u32,
) -> Result<Vec<(EndpointPath, Sighting)>, sqlx::Error> {
    let sql = format!(
        "select {COLUMNS}, path from files where endpoint = $1 and stream <> $2 and sighting <> 'absent' \
         order by path limit {limit}"
    );
    let rows =
        sqlx::query(AssertSqlSafe(sql)).bind(endpoint.as_str()).bind(stream.0.to_vec()).fetch_all(db).await?;
    rows.iter().map(|row| Ok((path_of(row, 8)?, sighting_of(row)?))).collect()
}

/// Writes how far the agent sees.
///
/// # Errors
/// The database fails.
pub async fn keep_coverage(
    db: &mut AnyConnection,
    endpoint: &AgentId,
    coverage: &[Coverage],
) -> Result<(), sqlx::Error> {
    let body = serde_json::to_string(coverage).map_err(|e| sqlx::Error::Encode(e.into()))?;
    sqlx::query(
        "insert into coverage (endpoint, body) values ($1, $2) \
         on conflict (endpoint) do update set body = excluded.body",
    )
    .bind(endpoint.as_str())
    .bind(body)
    .execute(db)
    .await?;
    Ok(())
}

/// Reads a sighting from the first columns of a row of `COLUMNS`.
fn sighting_of(row: &AnyRow) -> Result<Sighting, sqlx::Error> {
    Ok(match row.try_get::<String, _>(0)?.as_str() {
        "absent" => Sighting::Absent,
        "unreadable" => Sighting::Unreadable(row.try_get::<Option<String>, _>(7)?.unwrap_or_default()),
        "present" => {
            let number = |column: usize| -> Result<Option<u32>, sqlx::Error> {
                Ok(row.try_get::<Option<i64>, _>(column)?.and_then(|n| u32::try_from(n).ok()))
            };
            let kind: String = row.try_get(3)?;
            Sighting::Present(FileState {
                digest: digest(&row.try_get::<Vec<u8>, _>(1)?)?,
                size: row.try_get::<i64, _>(2)?.unsigned_abs(),
                kind: FileKind::ALL
                    .into_iter()
                    .find(|known| known.as_str() == kind)
                    .ok_or(Corrupt("files.kind"))?,
                mode: number(4)?,
                owner: number(5)?.zip(number(6)?),
            })
        }
        _ => return Err(Corrupt("files.sighting").into()),
    })
}

fn path_of(row: &AnyRow, column: usize) -> Result<EndpointPath, sqlx::Error> {
    EndpointPath::from_bytes(row.try_get::<Vec<u8>, _>(column)?).map_err(|_| Corrupt("files.path").into())
}
