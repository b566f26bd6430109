//! How far each endpoint's stream of reports is committed, and the downlink's numbering.

use std::collections::BTreeMap;
use std::fmt::Write;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::ids::AgentId;
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::downlink::DownlinkPosition;
use wardwatch_wire::report::{AgentTime, InstanceId, Position, StreamId};
use wardwatch_wire::stream::{Followed, Progress};

use super::{Corrupt, ROWS, bytes16, digest, placeholders};

/// What ingest must know of an endpoint before it takes its reports.
#[derive(Debug, Clone)]
pub struct Standing {
    pub progress: Progress,
    /// Whether an inventory was ever completed: from then on a file not known before is a finding.
    pub inventory_complete: bool,
    pub downlink: DownlinkPosition,
    pub link: Link,
    pub last_seen: Option<UnixMillis>,
    /// The agent processes heard lately, oldest first, each with its last uptime in milliseconds.
    pub instances: Vec<(InstanceId, u64)>,
}

/// What an agent said of its clocks and its outbox; `None` where it said nothing new.
#[derive(Debug, Clone, Copy, Default)]
pub struct Told {
    pub time: Option<AgentTime>,
    pub outbox_reports: Option<u64>,
}

/// What is known of the way to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    Never,
    Heard,
    Silent,
    /// It said that it stops, and has not been heard since.
    Off,
}

impl Link {
    pub const ALL: [Self; 4] = [Self::Never, Self::Heard, Self::Silent, Self::Off];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Heard => "heard",
            Self::Silent => "silent",
            Self::Off => "off",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|link| link.as_str() == text)
    }
}

/// Reads the standing of the endpoints that may report; others are missing from the answer.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn standings(
    db: &mut AnyConnection,
    endpoints: &[&AgentId],
) -> Result<BTreeMap<AgentId, Standing>, sqlx::Error> {
    let mut found = BTreeMap::new();
    for chunk in endpoints.chunks(ROWS) {
        let mut sql = String::from(
            "select stream, committed, last_digest, inventory_complete, downlink_epoch, downlink_seq, link, \
             last_seen, instances, id from endpoints where state = 'active' and id in (",
        );
        placeholders(&mut sql, 1, chunk.len());
        sql.push(')');
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for endpoint in chunk {
            query = query.bind(endpoint.as_str());
        }
        for row in query.fetch_all(&mut *db).await? {
            let id = row.try_get::<String, _>(9)?.parse().map_err(|_| Corrupt("endpoints.id"))?;
            found.insert(id, standing_of(&row)?);
        }
    }
    Ok(found)
}

/// Reads one endpoint's standing; `None` if there is no such endpoint, or it may not report.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn standing(db: &mut AnyConnection, endpoint: &AgentId) -> Result<Option<Standing>, sqlx::Error> {
    Ok(standings(db, &[endpoint]).await?.remove(endpoint))
}

fn standing_of(row: &AnyRow) -> Result<Standing, sqlx::Error> {
    let current = match (row.try_get::<Option<Vec<u8>>, _>(0)?, row.try_get::<Option<Vec<u8>>, _>(2)?) {
        (Some(stream), Some(last)) => Some(Followed {
            stream: StreamId(bytes16(&stream)?),
            committed: row.try_get::<i64, _>(1)?.unsigned_abs(),
            last: digest(&last)?,
        }),
        _ => None,
    };
    let link: String = row.try_get(6)?;
    Ok(Standing {
        progress: Progress { current },
        inventory_complete: row.try_get::<i64, _>(3)? != 0,
        downlink: DownlinkPosition {
            epoch: row.try_get::<i64, _>(4)?.unsigned_abs(),
            seq: row.try_get::<i64, _>(5)?.unsigned_abs(),
        },
        link: Link::parse(&link).ok_or(Corrupt("endpoints.link"))?,
        last_seen: row.try_get::<Option<i64>, _>(7)?.map(UnixMillis),
        instances: instances(&row.try_get::<String, _>(8)?)?,
    })
}

/// Writes back what a batch changed of an endpoint's standing, and what its agent told in the batch.
///
/// # Errors
/// The database fails.
pub async fn keep_standing(
    db: &mut AnyConnection,
    endpoint: &AgentId,
    standing: &Standing,
    told: Told,
) -> Result<(), sqlx::Error> {
    let current = standing.progress.current;
    let bounded = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    sqlx::query(
        "update endpoints set stream = $2, committed = $3, last_digest = $4, inventory_complete = $5, \
         downlink_epoch = $6, downlink_seq = $7, link = $8, last_seen = $9, instances = $10, \
         last_wall = coalesce($11, last_wall), uptime_ms = coalesce($12, uptime_ms), \
         clock_proved = coalesce($13, clock_proved), outbox_reports = coalesce($14, outbox_reports) \
         where id = $1",
    )
    .bind(endpoint.as_str())
    .bind(current.map(|c| c.stream.0.to_vec()))
    .bind(current.map_or(0, |c| c.committed.cast_signed()))
    .bind(current.map(|c| c.last.as_bytes().to_vec()))
    .bind(i64::from(standing.inventory_complete))
    .bind(standing.downlink.epoch.cast_signed())
    .bind(standing.downlink.seq.cast_signed())
    .bind(standing.link.as_str())
    .bind(standing.last_seen.map(|t| t.0))
    .bind(instances_text(&standing.instances))
    .bind(told.time.map(|time| time.wall.0))
    .bind(told.time.map(|time| bounded(time.uptime_ms)))
    .bind(told.time.map(|time| i64::from(time.proved.is_some())))
    .bind(told.outbox_reports.map(bounded))
    .execute(db)
    .await?;
    Ok(())
}

/// The digests committed under these streams and numbers; what was not committed is missing from the answer.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn digests(
    db: &mut AnyConnection,
    endpoint: &AgentId,
    places: &[(StreamId, u64)],
) -> Result<BTreeMap<(StreamId, u64), Digest>, sqlx::Error> {
    let mut found = BTreeMap::new();
    for chunk in places.chunks(ROWS) {
        let mut sql = String::from("select stream, seq, digest from reports where endpoint = $1 and (");
        for n in 0..chunk.len() {
            let or = if n == 0 { "" } else { " or " };
            write!(sql, "{or}(stream = ${} and seq = ${})", 2 * n + 2, 2 * n + 3)
                .expect("writing to a string cannot fail");
        }
        sql.push(')');
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(endpoint.as_str());
        for (stream, seq) in chunk {
            query = query.bind(stream.0.to_vec()).bind(i64::try_from(*seq).unwrap_or(i64::MAX));
        }
        for row in query.fetch_all(&mut *db).await? {
            let stream = StreamId(bytes16(&row.try_get::<Vec<u8>, _>(0)?)?);
            let place = (stream, row.try_get::<i64, _>(1)?.unsigned_abs());
            found.insert(place, digest(&row.try_get::<Vec<u8>, _>(2)?)?);
        }
    }
    Ok(found)
}

/// A report that is committed, without what it told.
#[derive(Debug, Clone)]
pub struct Committed {
    pub endpoint: AgentId,
    pub position: Position,
    /// Of the envelope.
    pub digest: Digest,
    /// Bytes of the envelope.
    pub size: usize,
}

/// Notes that reports are committed.
///
/// # Errors
/// The database fails, or one of them was committed before.
pub async fn commit(
    db: &mut AnyConnection,
    reports: &[Committed],
    received: UnixMillis,
) -> Result<(), sqlx::Error> {
    for chunk in reports.chunks(ROWS) {
        let mut sql =
            String::from("insert into reports (endpoint, stream, seq, digest, size, received) values ");
        for row in 0..chunk.len() {
            sql.push_str(if row == 0 { "(" } else { ", (" });
            placeholders(&mut sql, 2 + row * 5, 5);
            sql.push_str(", $1)");
        }
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(received.0);
        for report in chunk {
            query = query
                .bind(report.endpoint.as_str())
                .bind(report.position.stream.0.to_vec())
                .bind(report.position.seq.cast_signed())
                .bind(report.digest.as_bytes().to_vec())
                .bind(i64::try_from(report.size).unwrap_or(i64::MAX));
        }
        query.execute(&mut *db).await?;
    }
    Ok(())
}

fn instances(text: &str) -> Result<Vec<(InstanceId, u64)>, Corrupt> {
    let corrupt = || Corrupt("endpoints.instances");
    text.split_whitespace()
        .map(|entry| {
            let (id, uptime) = entry.split_once(':').ok_or_else(corrupt)?;
            let id = u128::from_str_radix(id, 16).map_err(|_| corrupt())?;
            Ok((InstanceId(id.to_be_bytes()), uptime.parse().map_err(|_| corrupt())?))
        })
        .collect()
}

fn instances_text(instances: &[(InstanceId, u64)]) -> String {
    instances.iter().map(|(id, uptime)| format!("{id}:{uptime}")).collect::<Vec<_>>().join(" ")
}
