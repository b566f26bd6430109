//! Alerts as they stand: the fold of the change log, kept so that nobody has to replay it to read a list.

use std::collections::BTreeMap;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row};
use wardwatch_incidents::alert::{Alert, AlertState};
use wardwatch_incidents::change::{AlertId, IncidentId};
use wardwatch_policies::ids::{AgentId, UnitId};

use super::{Corrupt, Difference, ROWS, placeholders, text};

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
            let (silenced_until, closed_reason) = of_state(alert);
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

/// The first alert, by number, whose row is not as `told` has it.
///
/// # Errors
/// The database fails.
pub async fn first_difference(
    db: &mut AnyConnection,
    mut told: BTreeMap<AlertId, Alert>,
) -> Result<Option<(AlertId, Difference)>, sqlx::Error> {
    let mut after = i64::MIN;
    let mut found = None;
    loop {
        let rows = sqlx::query(
            "select id, endpoint, unit, rule, severity, fingerprint, state, silenced_until, count, \
             first_seen, last_seen, finding, incident, closed_reason, body from alerts where id > $1 \
             order by id limit 1000",
        )
        .bind(after)
        .fetch_all(&mut *db)
        .await?;
        for row in &rows {
            let id = AlertId(row.try_get(0)?);
            after = id.0;
            match told.remove(&id) {
                None => found = found.or(Some((id, Difference::Unheard))),
                Some(alert) if !is_row_of(row, &alert)? => {
                    found = found.or(Some((id, Difference::Changed)));
                }
                Some(_) => {}
            }
        }
        if rows.is_empty() {
            let missing = told.into_keys().next().map(|id| (id, Difference::Missing));
            return Ok([found, missing].into_iter().flatten().min_by_key(|(id, _)| *id));
        }
    }
}

fn is_row_of(row: &AnyRow, alert: &Alert) -> Result<bool, sqlx::Error> {
    let text = |column: usize| row.try_get::<Option<String>, _>(column);
    let number = |column: usize| row.try_get::<Option<i64>, _>(column);
    let (silenced_until, closed_reason) = of_state(alert);
    let body: Option<Alert> = text(14)?.and_then(|body| serde_json::from_str(&body).ok());
    let finding = text(11)?.and_then(|finding| serde_json::from_str(&finding).ok());
    Ok(text(1)?.as_deref() == Some(alert.endpoint.as_str())
        && text(2)?.as_deref() == Some(alert.unit.as_str())
        && text(3)?.as_deref() == Some(alert.rule.as_str())
        && text(4)?.as_deref() == Some(alert.severity.as_str())
        && text(5)?.as_deref() == Some(alert.fingerprint.as_str())
        && text(6)?.as_deref() == Some(alert.state.as_str())
        && number(7)? == silenced_until
        && number(8)? == Some(alert.count.cast_signed())
        && number(9)? == Some(alert.first_seen.0)
        && number(10)? == Some(alert.last_seen.0)
        && finding.as_ref() == Some(&alert.finding)
        && text(12)? == alert.incident.map(|incident| incident.to_string())
        && text(13)? == closed_reason
        && body.as_ref() == Some(alert))
}

fn of_state(alert: &Alert) -> (Option<i64>, Option<String>) {
    match &alert.state {
        AlertState::Open => (None, None),
        AlertState::Silenced { until, .. } => (Some(until.0), None),
        AlertState::Closed { reason, .. } => (None, Some(text(reason))),
    }
}

fn alert(row: &AnyRow) -> Result<Alert, sqlx::Error> {
    serde_json::from_str(&row.try_get::<String, _>(0)?).map_err(|_| Corrupt("alerts.body").into())
}
