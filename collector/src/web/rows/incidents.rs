//! Incidents: lists, and one incident with its procedure.

use serde::Serialize;
use sqlx::any::AnyRow;
use sqlx::{AnyPool, Row};
use wardwatch_incidents::change::IncidentId;
use wardwatch_incidents::incident::Incident;
use wardwatch_policies::procedure::{self, Procedure};
use wardwatch_policies::severity::Severity;
use wardwatch_policies::text::Text;
use wardwatch_policies::time::UnixMillis;

use super::{Paged, Slice, as_maybe_rfc3339, as_rfc3339, maybe_time, time, word};
use crate::store;

/// One incident in a list.
#[derive(Debug, Clone, Serialize)]
pub struct IncidentRow {
    pub id: IncidentId,
    pub procedure: String,
    pub title: Text,
    pub severity: Severity,
    /// `None` until someone has assessed it.
    pub serious: Option<bool>,
    pub open: bool,
    pub round: i64,
    #[serde(serialize_with = "as_rfc3339")]
    pub raised: UnixMillis,
    #[serde(serialize_with = "as_rfc3339")]
    pub changed: UnixMillis,
    #[serde(serialize_with = "as_maybe_rfc3339")]
    pub closed: Option<UnixMillis>,
}

/// Open ones first, the worst first, the newest first.
///
/// # Errors
/// The database does not answer, or a row cannot be read.
pub async fn list(db: &AnyPool, only_open: bool, slice: Slice) -> Result<Paged<IncidentRow>, sqlx::Error> {
    let state = if only_open { "open" } else { "" };
    let total = sqlx::query_scalar("select count(*) from incidents where ($1 = '' or state = $1)")
        .bind(state)
        .fetch_one(db)
        .await?;
    let rows = sqlx::query(
        "select id, procedure, title_vi, title_en, severity, serious, state, round, raised, changed, closed from incidents \
         where ($1 = '' or state = $1) \
         order by case state when 'open' then 0 else 1 end, \
         case severity when 'critical' then 0 when 'high' then 1 when 'medium' then 2 else 3 end, \
         raised desc, id desc limit $2 offset $3",
    )
    .bind(state)
    .bind(slice.size)
    .bind(slice.offset())
    .fetch_all(db)
    .await?;
    Ok(Paged { rows: rows.iter().map(read).collect::<Result<_, _>>()?, total, slice })
}

/// An incident and the procedure it follows.
pub struct Shown {
    pub incident: Incident,
    pub procedure: &'static Procedure,
}

/// # Errors
/// The database does not answer, or holds what this program did not write.
pub async fn find(db: &AnyPool, id: IncidentId) -> Result<Option<Shown>, sqlx::Error> {
    let mut connection = db.acquire().await?;
    let Some(incident) = store::incidents::find(&mut connection, id).await? else { return Ok(None) };
    // An incident whose procedure this version does not have is shown by the city's.
    let procedure = procedure::shipped(&incident.procedure).unwrap_or_else(procedure::city);
    Ok(Some(Shown { incident, procedure }))
}

fn read(row: &AnyRow) -> Result<IncidentRow, sqlx::Error> {
    Ok(IncidentRow {
        id: word(row, "id", |text| text.parse().ok())?,
        procedure: row.try_get("procedure")?,
        title: Text { vi: row.try_get("title_vi")?, en: row.try_get("title_en")? },
        severity: word(row, "severity", |text| text.parse().ok())?,
        serious: row.try_get::<Option<i64>, _>("serious")?.map(|serious| serious != 0),
        open: row.try_get::<String, _>("state")? == "open",
        round: row.try_get("round")?,
        raised: time(row, "raised")?,
        changed: time(row, "changed")?,
        closed: maybe_time(row, "closed")?,
    })
}
