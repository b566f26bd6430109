//! Endpoints as they were last heard of.

use serde::{Serialize, Serializer};
use sqlx::any::AnyRow;
use sqlx::{AnyPool, Row};
use wardwatch_policies::file::Coverage;
use wardwatch_policies::ids::EndpointKind;
use wardwatch_policies::time::UnixMillis;

use super::{Paged, Slice, as_maybe_rfc3339, as_rfc3339, as_text, maybe_time, time, word};
use crate::store::endpoints::State;
use crate::store::reports::Link;

/// One endpoint and its link.
#[derive(Debug, Clone, Serialize)]
pub struct Endpoint {
    pub id: String,
    pub hostname: String,
    pub unit: String,
    #[serde(skip)]
    pub unit_vi: String,
    #[serde(skip)]
    pub unit_en: String,
    pub kind: EndpointKind,
    #[serde(serialize_with = "as_text")]
    pub state: State,
    #[serde(serialize_with = "link_text")]
    pub link: Link,
    #[serde(serialize_with = "as_rfc3339")]
    pub enrolled: UnixMillis,
    #[serde(serialize_with = "as_maybe_rfc3339")]
    pub last_seen: Option<UnixMillis>,
    /// What the endpoint's own clock said at its last contact.
    #[serde(serialize_with = "as_maybe_rfc3339")]
    pub last_wall: Option<UnixMillis>,
    /// Whether the endpoint has proved the time since it booted.
    pub clock_proved: bool,
    pub uptime_ms: Option<i64>,
    /// Reports that wait on the endpoint.
    pub outbox_reports: i64,
    pub inventory_complete: bool,
    pub checks_failed: i64,
    pub checks_unknown: i64,
    pub open_alerts: i64,
}

impl Endpoint {
    /// How far the endpoint's clock was ahead of the collector's at the last contact.
    #[must_use]
    pub fn skew_ms(&self) -> Option<i64> {
        Some(self.last_wall?.since(self.last_seen?))
    }

    /// A difference this large misleads people who compare logs.
    #[must_use]
    pub fn clock_is_wrong(&self) -> bool {
        self.skew_ms().is_some_and(|skew| skew.unsigned_abs() > 120_000)
    }
}

const SELECT: &str = "select e.id, e.hostname, e.unit, coalesce(u.name_vi, e.unit) as unit_vi, \
    coalesce(u.name_en, e.unit) as unit_en, e.kind, e.state, e.link, e.enrolled, e.last_seen, e.last_wall, \
    e.clock_proved, e.uptime_ms, e.outbox_reports, e.inventory_complete, \
    (select count(*) from verdicts v where v.endpoint = e.id and v.verdict = 'fail') as checks_failed, \
    (select count(*) from verdicts v where v.endpoint = e.id and v.verdict = 'unknown') as checks_unknown, \
    (select count(*) from alerts a where a.endpoint = e.id and a.state = 'open') as open_alerts \
    from endpoints e left join units u on u.id = e.unit";

/// Those that wait for approval first, then the silent ones, then by unit and name. Removed ones last.
///
/// # Errors
/// The database does not answer, or a row cannot be read.
pub async fn list(db: &AnyPool, slice: Slice) -> Result<Paged<Endpoint>, sqlx::Error> {
    let total = sqlx::query_scalar("select count(*) from endpoints").fetch_one(db).await?;
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "{SELECT} order by case e.state when 'pending' then 0 when 'active' then 1 else 2 end, \
         case e.link when 'silent' then 0 when 'never' then 1 else 2 end, e.unit, e.hostname, e.id \
         limit $1 offset $2"
    )))
    .bind(slice.size)
    .bind(slice.offset())
    .fetch_all(db)
    .await?;
    Ok(Paged { rows: rows.iter().map(read).collect::<Result<_, _>>()?, total, slice })
}

/// # Errors
/// The database does not answer, or the row cannot be read.
pub async fn find(db: &AnyPool, id: &str) -> Result<Option<Endpoint>, sqlx::Error> {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} where e.id = $1")))
        .bind(id)
        .fetch_optional(db)
        .await?;
    row.as_ref().map(read).transpose()
}

/// The first few active endpoints that are silent, and those that wait for approval.
///
/// # Errors
/// The database does not answer, or a row cannot be read.
pub async fn in_need(db: &AnyPool, most: i64) -> Result<Vec<Endpoint>, sqlx::Error> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "{SELECT} where e.state = 'pending' or (e.state = 'active' and e.link = 'silent') \
         order by e.last_seen, e.id limit $1"
    )))
    .bind(most)
    .fetch_all(db)
    .await?;
    rows.iter().map(read).collect()
}

/// Numbers for the overview.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Totals {
    pub active: i64,
    pub pending: i64,
    pub heard: i64,
    pub silent: i64,
    pub off: i64,
    pub checks_failed: i64,
    pub endpoints_with_failed_checks: i64,
}

/// # Errors
/// The database does not answer.
pub async fn totals(db: &AnyPool) -> Result<Totals, sqlx::Error> {
    let row = sqlx::query(
        "select cast(coalesce(sum(case when state = 'active' then 1 else 0 end), 0) as bigint) as active, \
         cast(coalesce(sum(case when state = 'pending' then 1 else 0 end), 0) as bigint) as pending, \
         cast(coalesce(sum(case when state = 'active' and link = 'heard' then 1 else 0 end), 0) as bigint) as heard, \
         cast(coalesce(sum(case when state = 'active' and link = 'silent' then 1 else 0 end), 0) as bigint) as silent, \
         cast(coalesce(sum(case when state = 'active' and link = 'off' then 1 else 0 end), 0) as bigint) as off \
         from endpoints",
    )
    .fetch_one(db)
    .await?;
    let failed = sqlx::query(
        "select count(*) as checks, count(distinct v.endpoint) as endpoints from verdicts v \
         join endpoints e on e.id = v.endpoint where v.verdict = 'fail' and e.state = 'active'",
    )
    .fetch_one(db)
    .await?;
    Ok(Totals {
        active: row.try_get("active")?,
        pending: row.try_get("pending")?,
        heard: row.try_get("heard")?,
        silent: row.try_get("silent")?,
        off: row.try_get("off")?,
        checks_failed: failed.try_get("checks")?,
        endpoints_with_failed_checks: failed.try_get("endpoints")?,
    })
}

/// How far the endpoint sees, root by root; empty before its first scan.
///
/// # Errors
/// The database does not answer, or the rows cannot be read.
pub async fn coverage(db: &AnyPool, id: &str) -> Result<Vec<Coverage>, sqlx::Error> {
    let text: Option<String> = sqlx::query_scalar("select body from coverage where endpoint = $1")
        .bind(id)
        .fetch_optional(db)
        .await?;
    text.map_or(Ok(Vec::new()), |text| serde_json::from_str(&text).map_err(|e| sqlx::Error::Decode(e.into())))
}

fn link_text<S: Serializer>(link: &Link, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(link.as_str())
}

fn read(row: &AnyRow) -> Result<Endpoint, sqlx::Error> {
    Ok(Endpoint {
        id: row.try_get("id")?,
        hostname: row.try_get("hostname")?,
        unit: row.try_get("unit")?,
        unit_vi: row.try_get("unit_vi")?,
        unit_en: row.try_get("unit_en")?,
        kind: word(row, "kind", |text| text.parse().ok())?,
        state: word(row, "state", |text| text.parse().ok())?,
        link: word(row, "link", Link::parse)?,
        enrolled: time(row, "enrolled")?,
        last_seen: maybe_time(row, "last_seen")?,
        last_wall: maybe_time(row, "last_wall")?,
        clock_proved: row.try_get::<i64, _>("clock_proved")? != 0,
        uptime_ms: row.try_get("uptime_ms")?,
        outbox_reports: row.try_get("outbox_reports")?,
        inventory_complete: row.try_get::<i64, _>("inventory_complete")? != 0,
        checks_failed: row.try_get("checks_failed")?,
        checks_unknown: row.try_get("checks_unknown")?,
        open_alerts: row.try_get("open_alerts")?,
    })
}
