//! Alerts as they stand: the fold of the change log, kept so that nobody has to replay it to read a list.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};
use wardwatch_incidents::alert::{Alert, AlertState};
use wardwatch_incidents::change::{AlertId, IncidentId};
use wardwatch_policies::ids::{AgentId, UnitId};

use super::{Corrupt, ROWS, placeholders, text};

/// Reads one alert.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn find(db: &mut AnyConnection, id: AlertId) -> Result<Option<Alert>, sqlx::Error> {
    let row = sqlx::query("select body from alerts where id = $1").bind(id.0).fetch_optional(db).await?;
    row.as_ref().map(alert).transpose()
}

/// The alert of a whole unit that is not closed and has this fingerprint.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn open_of_unit(
    db: &mut AnyConnection,
    unit: &UnitId,
    fingerprint: &str,
) -> Result<Option<Alert>, sqlx::Error> {
    let row = sqlx::query(
        "select body from alerts where unit = $1 and fingerprint = $2 and state <> 'closed' \
         order by id limit 1",
    )
    .bind(unit.as_str())
    .bind(fingerprint)
    .fetch_optional(db)
    .await?;
    row.as_ref().map(alert).transpose()
}

/// The alerts of one incident.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn of_incident(db: &mut AnyConnection, incident: IncidentId) -> Result<Vec<Alert>, sqlx::Error> {
    let rows = sqlx::query("select body from alerts where incident = $1 order by id")
        .bind(incident.to_string())
        .fetch_all(db)
        .await?;
    rows.iter().map(alert).collect()
}

/// The number that the next alert gets.
///
/// # Errors
/// The database fails.
pub async fn next_id(db: &mut AnyConnection) -> Result<AlertId, sqlx::Error> {
    let row = sqlx::query("select coalesce(max(id), 0) + 1 from alerts").fetch_one(db).await?;
    Ok(AlertId(row.try_get(0)?))
}

/// The alerts of one endpoint that are not closed and have one of these fingerprints.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn open_of_endpoint(
    db: &mut AnyConnection,
    endpoint: &AgentId,
    fingerprints: &[&str],
) -> Result<Vec<Alert>, sqlx::Error> {
    let mut found = Vec::new();
    for chunk in fingerprints.chunks(ROWS) {
        let mut sql = String::from(
            "select body from alerts where endpoint = $1 and state <> 'closed' and fingerprint in (",
        );
        placeholders(&mut sql, 2, chunk.len());
        sql.push_str(") order by id");
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(endpoint.as_str());
        for fingerprint in chunk {
            query = query.bind(*fingerprint);
        }
        for row in query.fetch_all(&mut *db).await? {
            found.push(alert(&row)?);
        }
    }
    Ok(found)
}

/// Writes alerts as they stand.
///
/// # Errors
/// The database fails.
pub async fn keep(db: &mut AnyConnection, alerts: &[&Alert]) -> Result<(), sqlx::Error> {
    let encode = |e: serde_json::Error| sqlx::Error::Encode(e.into());
    for chunk in alerts.chunks(ROWS) {
        let mut sql = String::from(
            "insert into alerts (id, endpoint, unit, rule, severity, fingerprint, state, silenced_until, \
             count, first_seen, last_seen, finding, incident, closed_reason, body) values ",
        );
        for row in 0..chunk.len() {
            sql.push_str(if row == 0 { "(" } else { ", (" });
            placeholders(&mut sql, 1 + row * 15, 15);
            sql.push(')');
        }
        sql.push_str(
            " on conflict (id) do update set rule = excluded.rule, severity = excluded.severity, \
             state = excluded.state, silenced_until = excluded.silenced_until, count = excluded.count, \
             last_seen = excluded.last_seen, finding = excluded.finding, incident = excluded.incident, \
             closed_reason = excluded.closed_reason, body = excluded.body",
        );
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for alert in chunk {
            let (silenced_until, closed_reason) = match &alert.state {
                AlertState::Open => (None, None),
                AlertState::Silenced { until, .. } => (Some(until.0), None),
                AlertState::Closed { reason, .. } => (None, Some(text(reason))),
            };
            query = query
                .bind(alert.id.0)
                .bind(alert.endpoint.as_str())
                .bind(alert.unit.as_str())
                .bind(alert.rule.as_str())
                .bind(alert.severity.as_str())
                .bind(&alert.fingerprint)
                .bind(alert.state.as_str())
                .bind(silenced_until)
                .bind(alert.count.cast_signed())
                .bind(alert.first_seen.0)
                .bind(alert.last_seen.0)
                .bind(serde_json::to_string(&alert.finding).map_err(encode)?)
                .bind(alert.incident.map(|incident| incident.to_string()))
                .bind(closed_reason)
                .bind(serde_json::to_string(alert).map_err(encode)?);
        }
        query.execute(&mut *db).await?;
    }
    Ok(())
}

fn alert(row: &AnyRow) -> Result<Alert, sqlx::Error> {
    serde_json::from_str(&row.try_get::<String, _>(0)?).map_err(|_| Corrupt("alerts.body").into())
}
