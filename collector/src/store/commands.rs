//! What agents are asked to do, kept until it has arrived or expired.

use std::collections::BTreeMap;

use sqlx::{AnyConnection, AnyPool, AssertSqlSafe, Row};
use wardwatch_policies::ids::AgentId;
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::downlink::{Action, Command, CommandId, DownlinkPosition};

use super::{Corrupt, ROWS, placeholders};

/// A command that has not arrived yet, as far as is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undelivered {
    pub command: Command,
    /// Where in the downlink it was last sent.
    pub sent: Option<DownlinkPosition>,
}

/// Keeps a new command and gives it its number.
///
/// # Errors
/// The database fails.
pub async fn issue(
    db: &mut AnyConnection,
    endpoint: &AgentId,
    action: Action,
    now: UnixMillis,
    expires: UnixMillis,
) -> Result<CommandId, sqlx::Error> {
    let row = sqlx::query("select coalesce(max(id), 0) + 1 from commands").fetch_one(&mut *db).await?;
    let id: i64 = row.try_get(0)?;
    sqlx::query("insert into commands (id, endpoint, action, issued, expires) values ($1, $2, $3, $4, $5)")
        .bind(id)
        .bind(endpoint.as_str())
        .bind(action.as_str())
        .bind(now.0)
        .bind(expires.0)
        .execute(db)
        .await?;
    Ok(CommandId(id.unsigned_abs()))
}

/// The commands to these endpoints that have neither arrived nor expired, oldest first.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn undelivered(
    db: &mut AnyConnection,
    endpoints: &[&AgentId],
    now: UnixMillis,
) -> Result<BTreeMap<AgentId, Vec<Undelivered>>, sqlx::Error> {
    let mut found: BTreeMap<AgentId, Vec<Undelivered>> = BTreeMap::new();
    for chunk in endpoints.chunks(ROWS) {
        let mut sql = String::from(
            "select endpoint, id, action, expires, sent_epoch, sent_seq from commands \
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
            let action: String = row.try_get(2)?;
            let number = |column: usize| -> Result<Option<u64>, sqlx::Error> {
                Ok(row.try_get::<Option<i64>, _>(column)?.map(i64::unsigned_abs))
            };
            let command = Command {
                id: CommandId(row.try_get::<i64, _>(1)?.unsigned_abs()),
                action: Action::parse(&action).ok_or(Corrupt("commands.action"))?,
                expires: UnixMillis(row.try_get(3)?),
            };
            let sent = number(4)?.zip(number(5)?).map(|(epoch, seq)| DownlinkPosition { epoch, seq });
            found.entry(endpoint).or_default().push(Undelivered { command, sent });
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

/// Notes where a command is sent.
///
/// # Errors
/// The database fails.
pub async fn keep_sent(
    db: &mut AnyConnection,
    id: CommandId,
    position: DownlinkPosition,
) -> Result<(), sqlx::Error> {
    sqlx::query("update commands set sent_epoch = $2, sent_seq = $3 where id = $1")
        .bind(id.0.cast_signed())
        .bind(position.epoch.cast_signed())
        .bind(position.seq.cast_signed())
        .execute(db)
        .await?;
    Ok(())
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
