//! What agents are asked to do, kept until it has arrived or expired.

use std::collections::BTreeMap;

use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Row};
use wardwatch_policies::ids::AgentId;
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::downlink::{Action, ActionKind, Command, CommandId};

use super::{Corrupt, ROWS, placeholders};

/// Keeps a new command and gives it its number.
///
/// # Errors
/// The database fails.
pub async fn issue(
    db: &mut AnyConnection,
    endpoint: &AgentId,
    action: &Action,
    now: UnixMillis,
    expires: UnixMillis,
) -> Result<CommandId, sqlx::Error> {
    let row = sqlx::query("select coalesce(max(id), 0) + 1 from commands").fetch_one(&mut *db).await?;
    let id: i64 = row.try_get(0)?;
    sqlx::query(
        "insert into commands (id, endpoint, action, issued, expires, payload) \
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(id)
    .bind(endpoint.as_str())
    .bind(action.kind().as_str())
    .bind(now.0)
    .bind(expires.0)
    .bind(payload(action)?)
    .execute(db)
    .await?;
    Ok(CommandId(id.unsigned_abs()))
}

fn payload(action: &Action) -> Result<Option<Vec<u8>>, sqlx::Error> {
    let Action::Upgrade(release) = action else { return Ok(None) };
    let mut bytes = Vec::new();
    ciborium::into_writer(release, &mut bytes).map_err(|error| sqlx::Error::Encode(error.into()))?;
    Ok(Some(bytes))
}

fn action(kind: &str, payload: Option<Vec<u8>>) -> Result<Action, Corrupt> {
    match ActionKind::parse(kind).ok_or(Corrupt("commands.action"))? {
        ActionKind::Rescan => Ok(Action::Rescan),
        ActionKind::Recheck => Ok(Action::Recheck),
        ActionKind::Upgrade => {
            let bytes = payload.ok_or(Corrupt("commands.payload"))?;
            ciborium::from_reader(bytes.as_slice())
                .map(Action::Upgrade)
                .map_err(|_| Corrupt("commands.payload"))
        }
    }
}

/// The commands to these endpoints that have neither arrived nor expired, oldest first.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn undelivered(
    db: &mut AnyConnection,
    endpoints: &[&AgentId],
    now: UnixMillis,
) -> Result<BTreeMap<AgentId, Vec<Command>>, sqlx::Error> {
    let mut found: BTreeMap<AgentId, Vec<Command>> = BTreeMap::new();
    for chunk in endpoints.chunks(ROWS) {
        let mut sql = String::from(
            "select endpoint, id, action, expires, payload from commands \
             where delivered is null and expires > $1 and endpoint in (",
        );
        placeholders(&mut sql, 2, chunk.len());
        sql.push_str(") order by id");
        let mut query = sqlx::query(AssertSqlSafe(sql)).bind(now.0);
        for endpoint in chunk {
            query = query.bind(endpoint.as_str());
        }
        for row in query.fetch_all(&mut *db).await? {
            let endpoint = row.try_get::<String, _>(0)?.parse().map_err(|_| Corrupt("commands.endpoint"))?;
            let kind: String = row.try_get(2)?;
            let command = Command {
                id: CommandId(row.try_get::<i64, _>(1)?.unsigned_abs()),
                action: action(&kind, row.try_get(4)?)?,
                expires: UnixMillis(row.try_get(3)?),
            };
            found.entry(endpoint).or_default().push(command);
        }
    }
    Ok(found)
}

/// How many commands to the endpoint have neither arrived nor expired.
///
/// # Errors
/// The database fails.
pub async fn waiting(db: &AnyPool, endpoint: &str, now: UnixMillis) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "select count(*) from commands where delivered is null and expires > $1 and endpoint = $2",
    )
    .bind(now.0)
    .bind(endpoint)
    .fetch_one(db)
    .await
}

/// Notes that the agent has a command.
///
/// # Errors
/// The database fails.
pub async fn keep_delivered(
    db: &mut AnyConnection,
    id: CommandId,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    sqlx::query("update commands set delivered = $2 where id = $1")
        .bind(id.0.cast_signed())
        .bind(now.0)
        .execute(db)
        .await?;
    Ok(())
}
