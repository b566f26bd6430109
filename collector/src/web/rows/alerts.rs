//! Alerts as they stand.

use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AnyPool, Row};
use wardwatch_incidents::operate::Raise;
use wardwatch_policies::finding::Finding;
use wardwatch_policies::severity::Severity;
use wardwatch_policies::text::Language;
use wardwatch_policies::time::UnixMillis;

use super::{Paged, Slice, as_maybe_rfc3339, as_rfc3339, json, maybe_time, time, word};
use crate::web::{catalogue, words};

/// One alert: findings of one fingerprint.
#[derive(Debug, Clone, Serialize)]
pub struct Alert {
    pub id: i64,
    pub endpoint: String,
    pub hostname: String,
    pub unit: String,
    #[serde(skip)]
    pub unit_vi: String,
    #[serde(skip)]
    pub unit_en: String,
    pub rule: String,
    pub severity: Severity,
    pub state: AlertState,
    #[serde(serialize_with = "as_maybe_rfc3339")]
    pub silenced_until: Option<UnixMillis>,
    pub count: i64,
    #[serde(serialize_with = "as_rfc3339")]
    pub first_seen: UnixMillis,
    #[serde(serialize_with = "as_rfc3339")]
    pub last_seen: UnixMillis,
    /// The newest.
    pub finding: Finding,
    pub incident: Option<String>,
    pub closed_reason: Option<String>,
}

impl Alert {
    /// An incident of this alert, named by what was found where, in the city's language of record.
    #[must_use]
    pub fn to_raise(&self) -> Raise {
        Raise {
            title: format!("{} ({})", words::finding(Language::Vi, &self.finding), self.hostname),
            severity: self.severity,
            reason: catalogue::rule(Language::Vi, &self.rule).why,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AlertState {
    Open,
    Silenced,
    Closed,
}

impl AlertState {
    pub const ALL: [Self; 3] = [Self::Open, Self::Silenced, Self::Closed];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Silenced => "silenced",
            Self::Closed => "closed",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// Which alerts are asked for; everything that is `None` does not restrict.
#[derive(Debug, Clone, Default)]
pub struct AlertFilter {
    pub state: Option<AlertState>,
    pub endpoint: Option<String>,
    pub incident: Option<String>,
    /// Leaves out those that an incident takes care of.
    pub unassigned: bool,
}

const SELECT: &str = "select a.id, a.endpoint, coalesce(e.hostname, a.endpoint) as hostname, a.unit, \
    coalesce(u.name_vi, a.unit) as unit_vi, coalesce(u.name_en, a.unit) as unit_en, \
    a.rule, a.severity, a.state, a.silenced_until, a.count, a.first_seen, a.last_seen, a.finding, a.incident, \
    a.closed_reason from alerts a left join endpoints e on e.id = a.endpoint left join units u on u.id = a.unit";

/// Text columns are compared with `''` for "any", which both databases can type without a cast.
const WHERE: &str = " where ($1 = '' or a.state = $1) and ($2 = '' or a.endpoint = $2) and ($3 = '' or a.incident = $3) \
     and ($4 = '' or a.incident is null)";

const ORDER: &str = " order by case a.state when 'open' then 0 when 'silenced' then 1 else 2 end, \
    case a.severity when 'critical' then 0 when 'high' then 1 when 'medium' then 2 else 3 end, \
    a.last_seen desc, a.id desc";

/// Open ones first, the worst first, the newest first.
///
/// # Errors
/// The database does not answer, or a row cannot be read.
pub async fn list(db: &AnyPool, filter: &AlertFilter, slice: Slice) -> Result<Paged<Alert>, sqlx::Error> {
    let state = filter.state.map_or("", AlertState::as_str);
    let endpoint = filter.endpoint.as_deref().unwrap_or("");
    let incident = filter.incident.as_deref().unwrap_or("");
    let unassigned = if filter.unassigned { "yes" } else { "" };
    let total: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) from alerts a{WHERE}")))
        .bind(state)
        .bind(endpoint)
        .bind(incident)
        .bind(unassigned)
        .fetch_one(db)
        .await?;
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT}{WHERE}{ORDER} limit $5 offset $6")))
        .bind(state)
        .bind(endpoint)
        .bind(incident)
        .bind(unassigned)
        .bind(slice.size)
        .bind(slice.offset())
        .fetch_all(db)
        .await?;
    Ok(Paged { rows: rows.iter().map(read).collect::<Result<_, _>>()?, total, slice })
}

/// # Errors
/// The database does not answer, or the row cannot be read.
pub async fn find(db: &AnyPool, id: i64) -> Result<Option<Alert>, sqlx::Error> {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!("{SELECT} where a.id = $1")))
        .bind(id)
        .fetch_optional(db)
        .await?;
    row.as_ref().map(read).transpose()
}

/// How many alerts are open and in no incident, by severity from the worst down.
///
/// # Errors
/// The database does not answer.
pub async fn open_by_severity(db: &AnyPool) -> Result<Vec<(Severity, i64)>, sqlx::Error> {
    let rows =
        sqlx::query("select severity, count(*) as n from alerts where state = 'open' and incident is null group by severity")
            .fetch_all(db)
            .await?;
    let mut counts = rows
        .iter()
        .map(|row| Ok((word(row, "severity", |text| text.parse().ok())?, row.try_get("n")?)))
        .collect::<Result<Vec<_>, sqlx::Error>>()?;
    counts.sort_by_key(|(severity, _)| std::cmp::Reverse(*severity));
    Ok(counts)
}

fn read(row: &AnyRow) -> Result<Alert, sqlx::Error> {
    Ok(Alert {
        id: row.try_get("id")?,
        endpoint: row.try_get("endpoint")?,
        hostname: row.try_get("hostname")?,
        unit: row.try_get("unit")?,
        unit_vi: row.try_get("unit_vi")?,
        unit_en: row.try_get("unit_en")?,
        rule: row.try_get("rule")?,
        severity: word(row, "severity", |text| text.parse().ok())?,
        state: word(row, "state", AlertState::parse)?,
        silenced_until: maybe_time(row, "silenced_until")?,
        count: row.try_get("count")?,
        first_seen: time(row, "first_seen")?,
        last_seen: time(row, "last_seen")?,
        finding: json(row, "finding")?,
        incident: row.try_get("incident")?,
        closed_reason: row.try_get("closed_reason")?,
    })
}
