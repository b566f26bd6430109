//! Who is enrolled, with which keys, and in which state. The reporting stream of an endpoint stands in
//! [`super::reports`].

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::VerifyingKey;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use wardwatch_incidents::change::Change;
use wardwatch_policies::digest::Digest;
use wardwatch_policies::ids::{AgentId, EndpointKind, UnitId};
use wardwatch_policies::time::UnixMillis;

use super::Corrupt;

/// Whether an endpoint may connect and report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Enrolled with a many-use token; a person must approve it first.
    Pending,
    Active,
    /// For good: its id and keys are never admitted again.
    Removed,
}

impl State {
    pub const ALL: [Self; 3] = [Self::Pending, Self::Active, Self::Removed];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Removed => "removed",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = Corrupt;

    fn from_str(text: &str) -> Result<Self, Corrupt> {
        Self::ALL.into_iter().find(|state| state.as_str() == text).ok_or(Corrupt("endpoints.state"))
    }
}

/// An enrolled endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub id: AgentId,
    pub unit: UnitId,
    pub kind: EndpointKind,
    pub hostname: String,
    pub state: State,
    /// Of its certificate: lower-case hex without leading zeros.
    pub serial: String,
    pub report_key: VerifyingKey,
    pub enrolled: UnixMillis,
}

/// Keeps a newly enrolled endpoint, or the new certificate of one that enrols again with the same keys. The
/// caller logs the change in the same transaction.
///
/// # Errors
/// The database fails.
pub async fn enrol(db: &mut AnyConnection, endpoint: &Endpoint, token: u64) -> Result<Change, sqlx::Error> {
    sqlx::query(
        "insert into endpoints (id, unit, kind, hostname, state, serial, report_key, enrolled) \
         values ($1, $2, $3, $4, $5, $6, $7, $8) \
         on conflict (id) do update set unit = excluded.unit, kind = excluded.kind, \
         hostname = excluded.hostname, state = excluded.state, serial = excluded.serial, \
         report_key = excluded.report_key, enrolled = excluded.enrolled",
    )
    .bind(endpoint.id.as_str())
    .bind(endpoint.unit.as_str())
    .bind(endpoint.kind.as_str())
    .bind(endpoint.hostname.as_str())
    .bind(endpoint.state.as_str())
    .bind(endpoint.serial.as_str())
    .bind(endpoint.report_key.as_bytes().to_vec())
    .bind(endpoint.enrolled.0)
    .execute(db)
    .await?;
    Ok(Change::EndpointEnrolled {
        endpoint: endpoint.id.clone(),
        unit: endpoint.unit.clone(),
        kind: endpoint.kind,
        hostname: endpoint.hostname.clone(),
        token,
        serial: endpoint.serial.clone(),
        pending: endpoint.state == State::Pending,
    })
}

/// Lets a pending endpoint report; `None` if it does not exist or is not pending.
///
/// # Errors
/// The database fails.
pub async fn approve(db: &mut AnyConnection, id: &AgentId) -> Result<Option<Change>, sqlx::Error> {
    let done = sqlx::query("update endpoints set state = 'active' where id = $1 and state = 'pending'")
        .bind(id.as_str())
        .execute(db)
        .await?;
    Ok((done.rows_affected() == 1).then(|| Change::EndpointApproved { endpoint: id.clone() }))
}

/// Removes an endpoint for good; `None` if it does not exist or is removed already. What it reported stays.
/// After the commit the caller tells [`crate::registry::Registry`] and has the broker cut the live session.
///
/// # Errors
/// The database fails.
pub async fn remove(
    db: &mut AnyConnection,
    id: &AgentId,
    reason: &str,
) -> Result<Option<Change>, sqlx::Error> {
    let done = sqlx::query("update endpoints set state = 'removed' where id = $1 and state <> 'removed'")
        .bind(id.as_str())
        .execute(db)
        .await?;
    Ok((done.rows_affected() == 1)
        .then(|| Change::EndpointRemoved { endpoint: id.clone(), reason: reason.to_owned() }))
}

/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn find(db: &mut AnyConnection, id: &AgentId) -> Result<Option<Endpoint>, sqlx::Error> {
    sqlx::query(
        "select id, unit, kind, hostname, state, serial, report_key, enrolled \
         from endpoints where id = $1",
    )
    .bind(id.as_str())
    .fetch_optional(db)
    .await?
    .map(|row| parse(&row))
    .transpose()
}

/// All endpoints by id, removed ones too.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn list(db: &mut AnyConnection) -> Result<Vec<Endpoint>, sqlx::Error> {
    let rows = sqlx::query(
        "select id, unit, kind, hostname, state, serial, report_key, enrolled \
         from endpoints order by id",
    )
    .fetch_all(db)
    .await?;
    rows.iter().map(parse).collect()
}

/// The reply that these keys got for this token before, if they did.
///
/// # Errors
/// The database fails.
pub async fn earlier_reply(
    db: &mut AnyConnection,
    token: u64,
    keys: Digest,
) -> Result<Option<Vec<u8>>, sqlx::Error> {
    let row = sqlx::query("select reply from enrolments where token = $1 and keys_digest = $2")
        .bind(token.cast_signed())
        .bind(keys.as_bytes().to_vec())
        .fetch_optional(db)
        .await?;
    row.map(|row| row.try_get(0)).transpose()
}

/// Keeps the reply, to be given again for the same token and keys. Earlier replies to the endpoint are
/// forgotten: their certificates are not valid any more.
///
/// # Errors
/// The database fails, or there is a reply already.
pub async fn keep_reply(
    db: &mut AnyConnection,
    token: u64,
    keys: Digest,
    endpoint: &AgentId,
    reply: &[u8],
) -> Result<(), sqlx::Error> {
    sqlx::query("delete from enrolments where endpoint = $1")
        .bind(endpoint.as_str())
        .execute(&mut *db)
        .await?;
    sqlx::query("insert into enrolments (token, keys_digest, endpoint, reply) values ($1, $2, $3, $4)")
        .bind(token.cast_signed())
        .bind(keys.as_bytes().to_vec())
        .bind(endpoint.as_str())
        .bind(reply.to_vec())
        .execute(db)
        .await?;
    Ok(())
}

fn parse(row: &AnyRow) -> Result<Endpoint, sqlx::Error> {
    let report_key = row.try_get::<Vec<u8>, _>(6)?;
    Ok(Endpoint {
        id: row.try_get::<String, _>(0)?.parse().map_err(|_| Corrupt("endpoints.id"))?,
        unit: row.try_get::<String, _>(1)?.parse().map_err(|_| Corrupt("endpoints.unit"))?,
        kind: row.try_get::<String, _>(2)?.parse().map_err(|_| Corrupt("endpoints.kind"))?,
        hostname: row.try_get(3)?,
        state: row.try_get::<String, _>(4)?.parse()?,
        serial: row.try_get(5)?,
        report_key: VerifyingKey::try_from(report_key.as_slice())
            .map_err(|_| Corrupt("endpoints.report_key"))?,
        enrolled: UnixMillis(row.try_get(7)?),
    })
}
