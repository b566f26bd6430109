//! Incidents as they stand: the fold of the change log, kept so that nobody has to replay it to read a list.

use std::collections::BTreeMap;

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use wardwatch_incidents::change::IncidentId;
use wardwatch_incidents::incident::{Incident, IncidentState};
use wardwatch_policies::ids::{AgentId, RuleId};

use super::{Corrupt, Difference, text};

/// Reads one incident.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn find(db: &mut AnyConnection, id: IncidentId) -> Result<Option<Incident>, sqlx::Error> {
    let row = sqlx::query("select body from incidents where id = $1")
        .bind(id.to_string())
        .fetch_optional(db)
        .await?;
    row.map(|row| {
        serde_json::from_str(&row.try_get::<String, _>(0)?).map_err(|_| Corrupt("incidents.body").into())
    })
    .transpose()
}

/// The open incident of an endpoint with an alert of one of these rules; the oldest if there are several.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn open_of_endpoint(
    db: &mut AnyConnection,
    endpoint: &AgentId,
    rules: &[&RuleId],
) -> Result<Option<IncidentId>, sqlx::Error> {
    let rows = sqlx::query(
        "select distinct incidents.id, alerts.rule from incidents \
         join alerts on alerts.incident = incidents.id \
         where alerts.endpoint = $1 and incidents.state = 'open' order by incidents.id",
    )
    .bind(endpoint.as_str())
    .fetch_all(db)
    .await?;
    for row in rows {
        let rule: String = row.try_get(1)?;
        if rules.iter().any(|known| known.as_str() == rule) {
            let id: String = row.try_get(0)?;
            return Ok(Some(id.parse().map_err(|_| Corrupt("incidents.id"))?));
        }
    }
    Ok(None)
}

/// The number that the next incident of this year gets.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn next_id(db: &mut AnyConnection, year: i16) -> Result<IncidentId, sqlx::Error> {
    let row =
        sqlx::query("select id from incidents where id like $1 order by length(id) desc, id desc limit 1")
            .bind(format!("{year:04}-%"))
            .fetch_optional(db)
            .await?;
    let last: Option<IncidentId> = row
        .map(|row| row.try_get::<String, _>(0)?.parse().map_err(|_| Corrupt("incidents.id").into()))
        .transpose()
        .map_err(|error: sqlx::Error| error)?;
    Ok(IncidentId { year, number: last.map_or(0, |id| id.number) + 1 })
}

/// The first incident, by number, whose row is not as `told` has it.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn first_difference(
    db: &mut AnyConnection,
    mut told: BTreeMap<IncidentId, Incident>,
) -> Result<Option<(IncidentId, Difference)>, sqlx::Error> {
    let ids = sqlx::query("select id from incidents").fetch_all(&mut *db).await?;
    let mut ids = ids
        .iter()
        .map(|row| Ok(row.try_get::<String, _>(0)?.parse().map_err(|_| Corrupt("incidents.id"))?))
        .collect::<Result<Vec<IncidentId>, sqlx::Error>>()?;
    ids.sort_unstable();
    let mut found = None;
    for id in ids {
        let Some(incident) = told.remove(&id) else {
            found = found.or(Some((id, Difference::Unheard)));
            continue;
        };
        let row = sqlx::query(
            "select procedure, title_vi, title_en, severity, serious, state, round, raised, changed, closed, \
             body from incidents where id = $1",
        )
        .bind(id.to_string())
        .fetch_one(&mut *db)
        .await?;
        if !is_row_of(&row, &incident)? {
            found = found.or(Some((id, Difference::Changed)));
        }
    }
    let missing = told.into_keys().next().map(|id| (id, Difference::Missing));
    Ok([found, missing].into_iter().flatten().min_by_key(|(id, _)| *id))
}

fn is_row_of(row: &AnyRow, incident: &Incident) -> Result<bool, sqlx::Error> {
    let told = |column: usize| row.try_get::<Option<String>, _>(column);
    let number = |column: usize| row.try_get::<Option<i64>, _>(column);
    let (state, closed) = of_state(incident);
    let body: Option<Incident> = told(10)?.and_then(|body| serde_json::from_str(&body).ok());
    Ok(told(0)?.as_deref() == Some(incident.procedure.as_str())
        && told(1)? == Some(text(&incident.title.vi))
        && told(2)? == Some(text(&incident.title.en))
        && told(3)?.as_deref() == Some(incident.severity.as_str())
        && number(4)? == incident.seriousness.as_ref().map(|assessed| i64::from(assessed.serious))
        && told(5)?.as_deref() == Some(state)
        && number(6)? == Some(i64::from(incident.current_round().number))
        && number(7)? == Some(incident.raised.0)
        && number(8)? == Some(incident.changed.0)
        && number(9)? == closed
        && body.as_ref() == Some(incident))
}

fn of_state(incident: &Incident) -> (&'static str, Option<i64>) {
    match &incident.state {
        IncidentState::Open { .. } => ("open", None),
        IncidentState::Closed { at, .. } => ("closed", Some(at.0)),
    }
}

/// Writes an incident as it stands.
///
/// # Errors
/// The database fails.
pub async fn keep(db: &mut AnyConnection, incident: &Incident) -> Result<(), sqlx::Error> {
    let (state, closed) = of_state(incident);
    sqlx::query(
        "insert into incidents (id, procedure, title_vi, title_en, severity, serious, state, round, raised, changed, \
         closed, body) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
         on conflict (id) do update set severity = excluded.severity, serious = excluded.serious, \
         state = excluded.state, round = excluded.round, changed = excluded.changed, \
         closed = excluded.closed, body = excluded.body",
    )
    .bind(incident.id.to_string())
    .bind(incident.procedure.as_str())
    .bind(text(&incident.title.vi))
    .bind(text(&incident.title.en))
    .bind(incident.severity.as_str())
    .bind(incident.seriousness.as_ref().map(|assessed| i64::from(assessed.serious)))
    .bind(state)
    .bind(i64::from(incident.current_round().number))
    .bind(incident.raised.0)
    .bind(incident.changed.0)
    .bind(closed)
    .bind(serde_json::to_string(incident).map_err(|e| sqlx::Error::Encode(e.into()))?)
    .execute(db)
    .await?;
    Ok(())
}
