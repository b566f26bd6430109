//! How far each endpoint's stream of reports is committed, and the downlink's numbering.

use sqlx::{AnyConnection, Row};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::ids::AgentId;
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::downlink::DownlinkPosition;
use wardwatch_wire::report::{AgentTime, InstanceId, Position, StreamId};
use wardwatch_wire::stream::{Followed, Progress};

use super::{Corrupt, bytes16, digest};

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
}

/// Reads an endpoint's standing; `None` if there is no such endpoint, or it may not report.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn standing(db: &mut AnyConnection, endpoint: &AgentId) -> Result<Option<Standing>, sqlx::Error> {
    let row = sqlx::query(
        "select stream, committed, last_digest, inventory_complete, downlink_epoch, downlink_seq, link, \
         last_seen, instances from endpoints where id = $1 and state = 'active'",
    )
    .bind(endpoint.as_str())
    .fetch_optional(db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let current = match (row.try_get::<Option<Vec<u8>>, _>(0)?, row.try_get::<Option<Vec<u8>>, _>(2)?) {
        (Some(stream), Some(last)) => Some(Followed {
            stream: StreamId(bytes16(&stream)?),
            committed: row.try_get::<i64, _>(1)?.unsigned_abs(),
            last: digest(&last)?,
        }),
        _ => None,
    };
    let link: String = row.try_get(6)?;
    Ok(Some(Standing {
        progress: Progress { current },
        inventory_complete: row.try_get::<i64, _>(3)? != 0,
        downlink: DownlinkPosition {
            epoch: row.try_get::<i64, _>(4)?.unsigned_abs(),
            seq: row.try_get::<i64, _>(5)?.unsigned_abs(),
        },
        link: Link::ALL.into_iter().find(|known| known.as_str() == link).ok_or(Corrupt("endpoints.link"))?,
        last_seen: row.try_get::<Option<i64>, _>(7)?.map(UnixMillis),
        instances: instances(&row.try_get::<String, _>(8)?)?,
    }))
}

/// Writes back what a batch changed of an endpoint's standing.
///
/// # Errors
/// The database fails.
pub async fn keep_standing(
    db: &mut AnyConnection,
    endpoint: &AgentId,
    standing: &Standing,
) -> Result<(), sqlx::Error> {
    let current = standing.progress.current;
    sqlx::query(
        "update endpoints set stream = $2, committed = $3, last_digest = $4, inventory_complete = $5, \
         downlink_epoch = $6, downlink_seq = $7, link = $8, last_seen = $9, instances = $10 where id = $1",
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
    .execute(db)
    .await?;
    Ok(())
}

/// Writes what an agent said of its clocks and its outbox.
///
/// # Errors
/// The database fails.
pub async fn keep_clocks(
    db: &mut AnyConnection,
    endpoint: &AgentId,
    time: &AgentTime,
    outbox_reports: Option<u64>,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update endpoints set last_wall = $2, uptime_ms = $3, clock_proved = $4, \
         outbox_reports = coalesce($5, outbox_reports) where id = $1",
    )
    .bind(endpoint.as_str())
    .bind(time.wall.0)
    .bind(i64::try_from(time.uptime_ms).unwrap_or(i64::MAX))
    .bind(i64::from(time.proved.is_some()))
    .bind(outbox_reports.map(|n| i64::try_from(n).unwrap_or(i64::MAX)))
    .execute(db)
    .await?;
    Ok(())
}

/// The digest committed under a stream and number.
///
/// # Errors
/// The database fails.
pub async fn committed_digest(
    db: &mut AnyConnection,
    endpoint: &AgentId,
    position: &Position,
) -> Result<Option<Digest>, sqlx::Error> {
    sqlx::query("select digest from reports where endpoint = $1 and stream = $2 and seq = $3")
        .bind(endpoint.as_str())
        .bind(position.stream.0.to_vec())
        .bind(i64::try_from(position.seq).unwrap_or(i64::MAX))
        .fetch_optional(db)
        .await?
        .map(|row| digest(&row.try_get::<Vec<u8>, _>(0)?))
        .transpose()
}

/// Notes that a report is committed.
///
/// # Errors
/// The database fails.
pub async fn commit(
    db: &mut AnyConnection,
    endpoint: &AgentId,
    position: &Position,
    envelope: Digest,
    size: usize,
    received: UnixMillis,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into reports (endpoint, stream, seq, digest, received, size) values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(endpoint.as_str())
    .bind(position.stream.0.to_vec())
    .bind(position.seq.cast_signed())
    .bind(envelope.as_bytes().to_vec())
    .bind(received.0)
    .bind(i64::try_from(size).unwrap_or(i64::MAX))
    .execute(db)
    .await?;
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
