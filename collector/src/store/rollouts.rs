//! Roll-outs of releases, and what came of them on each endpoint.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AnyPool, Row};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::ids::{AgentId, UnitId};
use wardwatch_policies::release::{UpgradeOutcome, Version};
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::downlink::CommandId;

use super::releases::parse_version;
use super::{Corrupt, text};
use crate::releases::rollout::{Member, Outcome, Rollout, RolloutState};

/// What an endpoint was asked for last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    pub rollout: u64,
    pub version: Version,
    pub asked: UnixMillis,
    pub outcome: Option<Outcome>,
    pub reason: Option<String>,
    pub told: Option<UnixMillis>,
}

/// Keeps a new roll-out and gives it its number.
///
/// # Errors
/// The database fails.
pub async fn begin(db: &mut AnyConnection, rollout: &Rollout) -> Result<u64, sqlx::Error> {
    let id: i64 =
        sqlx::query_scalar("select coalesce(max(id), 0) + 1 from rollouts").fetch_one(&mut *db).await?;
    sqlx::query(
        "insert into rollouts (id, version, unit, kind, canary_percent, state, begun, changed) \
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(id)
    .bind(rollout.version.to_string())
    .bind(rollout.unit.as_ref().map(|unit| unit.as_str().to_owned()))
    .bind(rollout.kind.map(|kind| kind.as_str().to_owned()))
    .bind(i64::from(rollout.canary_percent))
    .bind(rollout.state.as_str())
    .bind(rollout.begun.0)
    .bind(rollout.changed.0)
    .execute(db)
    .await?;
    Ok(id.unsigned_abs())
}

/// Keeps where a roll-out stands. The caller read it in the same transaction.
///
/// # Errors
/// The database fails.
pub async fn keep_state(db: &mut AnyConnection, rollout: &Rollout) -> Result<(), sqlx::Error> {
    sqlx::query("update rollouts set state = $2, reason = $3, changed = $4 where id = $1")
        .bind(rollout.id.cast_signed())
        .bind(rollout.state.as_str())
        .bind(rollout.reason.as_deref().map(text))
        .bind(rollout.changed.0)
        .execute(db)
        .await?;
    Ok(())
}

const SELECT: &str =
    "select id, version, unit, kind, canary_percent, state, reason, begun, changed from rollouts";

/// All roll-outs, newest first.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn all(db: &mut AnyConnection) -> Result<Vec<Rollout>, sqlx::Error> {
    let sql = format!("{SELECT} order by id desc");
    sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_all(db).await?.iter().map(read).collect()
}

/// # Errors
/// As [`all`].
pub async fn find(db: &mut AnyConnection, id: u64) -> Result<Option<Rollout>, sqlx::Error> {
    let sql = format!("{SELECT} where id = $1");
    let row = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id.cast_signed()).fetch_optional(db).await?;
    row.as_ref().map(read).transpose()
}

/// The active endpoints of a roll-out's group, by id.
///
/// # Errors
/// As [`all`].
pub async fn members(db: &mut AnyConnection, rollout: &Rollout) -> Result<Vec<Member>, sqlx::Error> {
    let rows = sqlx::query(
        "select e.id, e.agent_version, e.target, u.asked, u.canary, u.outcome, e.last_seen from endpoints e \
         left join upgrades u on u.rollout = $1 and u.endpoint = e.id \
         where e.state = 'active' and ($2 = '' or e.unit = $2) and ($3 = '' or e.kind = $3) order by e.id",
    )
    .bind(rollout.id.cast_signed())
    .bind(rollout.unit.as_ref().map_or("", UnitId::as_str).to_owned())
    .bind(rollout.kind.map_or("", |kind| kind.as_str()).to_owned())
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Member {
                endpoint: row.try_get::<String, _>(0)?.parse().map_err(|_| Corrupt("endpoints.id"))?,
                // What an endpoint says of itself may be of no form that is known here.
                version: row.try_get::<Option<String>, _>(1)?.and_then(|text| text.parse().ok()),
                target: row.try_get::<Option<String>, _>(2)?.and_then(|text| text.parse().ok()),
                seen: row.try_get::<Option<i64>, _>(6)?.map(UnixMillis),
                asked: row.try_get::<Option<i64>, _>(3)?.map(UnixMillis),
                canary: row.try_get::<Option<i64>, _>(4)?.is_some_and(|canary| canary != 0),
                outcome: outcome(row.try_get(5)?)?,
            })
        })
        .collect()
}

/// Endpoints that did not take the version of a roll-out or returned from it, by id with their host names; the newest
/// `most`.
///
/// # Errors
/// As [`all`].
pub async fn failed(
    db: &mut AnyConnection,
    rollout: u64,
    most: u32,
) -> Result<Vec<(AgentId, String)>, sqlx::Error> {
    let rows = sqlx::query(
        "select e.id, e.hostname from upgrades u join endpoints e on e.id = u.endpoint \
         where u.rollout = $1 and u.outcome in ('returned', 'refused') order by u.told desc, e.id limit $2",
    )
    .bind(rollout.cast_signed())
    .bind(i64::from(most))
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| {
            let endpoint = row.try_get::<String, _>(0)?.parse().map_err(|_| Corrupt("endpoints.id"))?;
            Ok((endpoint, row.try_get(1)?))
        })
        .collect()
}

/// Notes that a roll-out asked an endpoint.
///
/// # Errors
/// The database fails.
pub async fn keep_asked(
    db: &mut AnyConnection,
    rollout: &Rollout,
    endpoint: &AgentId,
    command: CommandId,
    canary: bool,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into upgrades (rollout, endpoint, version, command, canary, asked) \
         values ($1, $2, $3, $4, $5, $6) on conflict (rollout, endpoint) do update set \
         command = excluded.command, canary = excluded.canary, asked = excluded.asked, outcome = null, \
         reason = null, told = null",
    )
    .bind(rollout.id.cast_signed())
    .bind(endpoint.as_str())
    .bind(rollout.version.to_string())
    .bind(command.0.cast_signed())
    .bind(i64::from(canary))
    .bind(now.0)
    .execute(db)
    .await?;
    Ok(())
}

/// What an endpoint's word about an upgrade is to the roll-outs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Its first word about what it was asked for, or its return after it was healthy.
    Yes(Version),
    /// It said something before, and that stays.
    Said(Version),
    /// No roll-out asked it.
    Unasked,
}

/// Notes what an endpoint says came of a command, if a roll-out asked it and it has not answered before; a
/// return may follow on health. No endpoint counts twice, and none that was not asked.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn keep_outcome(
    db: &mut AnyConnection,
    endpoint: &AgentId,
    command: CommandId,
    outcome: &UpgradeOutcome,
    now: UnixMillis,
) -> Result<Counted, sqlx::Error> {
    let (word, reason) = match outcome {
        UpgradeOutcome::Healthy => (Outcome::Healthy, None),
        UpgradeOutcome::Returned { reason } => (Outcome::Returned, Some(reason)),
        UpgradeOutcome::Refused { reason } => (Outcome::Refused, Some(reason)),
        UpgradeOutcome::NotAllowed => (Outcome::NotAllowed, None),
        UpgradeOutcome::Withdrawn => (Outcome::Withdrawn, None),
    };
    let first = sqlx::query(
        "update upgrades set outcome = $3, reason = $4, told = $5 \
         where endpoint = $1 and command = $2 \
         and (outcome is null or (outcome = 'healthy' and $3 = 'returned')) returning version",
    )
    .bind(endpoint.as_str())
    .bind(command.0.cast_signed())
    .bind(word.as_str())
    .bind(reason.map(|reason| text(reason)))
    .bind(now.0)
    .fetch_optional(&mut *db)
    .await?;
    if let Some(row) = first {
        return Ok(Counted::Yes(parse_version(&row.try_get::<String, _>(0)?)?));
    }
    let asked = sqlx::query("select version from upgrades where endpoint = $1 and command = $2")
        .bind(endpoint.as_str())
        .bind(command.0.cast_signed())
        .fetch_optional(db)
        .await?;
    asked.map_or(Ok(Counted::Unasked), |row| Ok(Counted::Said(parse_version(&row.try_get::<String, _>(0)?)?)))
}

/// Whether a later command than this one to become another version came to nothing on the endpoint.
///
/// # Errors
/// The database fails.
pub async fn failed_since(
    db: &mut AnyConnection,
    endpoint: &AgentId,
    command: CommandId,
) -> Result<bool, sqlx::Error> {
    let failed: i64 = sqlx::query_scalar(
        "select count(*) from upgrades where endpoint = $1 and command > $2 \
         and outcome in ('returned', 'refused')",
    )
    .bind(endpoint.as_str())
    .bind(command.0.cast_signed())
    .fetch_one(db)
    .await?;
    Ok(failed > 0)
}

/// How an endpoint stands to a program that it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// A roll-out that goes on asked it, and it has not answered yet.
    Live,
    /// The program is held, but is not for this endpoint, or not any more.
    Withdrawn,
    /// No such release is held.
    Unknown,
}

/// # Errors
/// The database fails.
pub async fn order(db: &AnyPool, endpoint: &AgentId, program: Digest) -> Result<Order, sqlx::Error> {
    let row = sqlx::query(
        "select (select count(*) from releases where digest = $1), (select count(*) from upgrades u \
         join rollouts o on o.id = u.rollout join releases r on r.version = u.version where r.digest = $1 \
         and u.endpoint = $2 and u.outcome is null and o.state <> 'stopped')",
    )
    .bind(program.as_bytes().to_vec())
    .bind(endpoint.as_str())
    .fetch_one(db)
    .await?;
    Ok(match (row.try_get::<i64, _>(0)?, row.try_get::<i64, _>(1)?) {
        (0, _) => Order::Unknown,
        (_, 0) => Order::Withdrawn,
        _ => Order::Live,
    })
}

/// Lets the commands of a roll-out that have not been sent expire.
///
/// # Errors
/// The database fails.
pub async fn withdraw(db: &mut AnyConnection, id: u64, now: UnixMillis) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update commands set expires = $2 where delivered is null and expires > $2 and id in \
         (select command from upgrades where rollout = $1)",
    )
    .bind(id.cast_signed())
    .bind(now.0)
    .execute(db)
    .await?;
    Ok(())
}

/// What an endpoint was last asked to become.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn of_endpoint(db: &AnyPool, endpoint: &str) -> Result<Option<Upgrade>, sqlx::Error> {
    let row = sqlx::query(
        "select rollout, version, asked, outcome, reason, told from upgrades \
         where endpoint = $1 order by rollout desc limit 1",
    )
    .bind(endpoint)
    .fetch_optional(db)
    .await?;
    row.map(|row| {
        Ok(Upgrade {
            rollout: row.try_get::<i64, _>(0)?.unsigned_abs(),
            version: parse_version(&row.try_get::<String, _>(1)?)?,
            asked: UnixMillis(row.try_get(2)?),
            outcome: outcome(row.try_get(3)?)?,
            reason: row.try_get(4)?,
            told: row.try_get::<Option<i64>, _>(5)?.map(UnixMillis),
        })
    })
    .transpose()
}

fn outcome(text: Option<String>) -> Result<Option<Outcome>, Corrupt> {
    text.map(|text| Outcome::parse(&text).ok_or(Corrupt("upgrades.outcome"))).transpose()
}

fn read(row: &AnyRow) -> Result<Rollout, sqlx::Error> {
    let parsed = |column| row.try_get::<Option<String>, _>(column);
    Ok(Rollout {
        id: row.try_get::<i64, _>("id")?.unsigned_abs(),
        version: parse_version(&row.try_get::<String, _>("version")?)?,
        unit: parsed("unit")?.map(|unit| unit.parse().map_err(|_| Corrupt("rollouts.unit"))).transpose()?,
        kind: parsed("kind")?.map(|kind| kind.parse().map_err(|_| Corrupt("rollouts.kind"))).transpose()?,
        canary_percent: u8::try_from(row.try_get::<i64, _>("canary_percent")?)
            .map_err(|_| Corrupt("rollouts.canary_percent"))?,
        state: RolloutState::parse(&row.try_get::<String, _>("state")?).ok_or(Corrupt("rollouts.state"))?,
        reason: row.try_get("reason")?,
        begun: UnixMillis(row.try_get("begun")?),
        changed: UnixMillis(row.try_get("changed")?),
    })
}
