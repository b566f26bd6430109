//! Enrolment tokens. The secret is known only to whoever holds the enrolment string; here is its digest.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};
use wardwatch_incidents::change::Change;
use wardwatch_policies::digest::Digest;
use wardwatch_policies::ids::{EndpointKind, UnitId};
use wardwatch_policies::time::UnixMillis;

use super::{Corrupt, digest};

/// A token as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub id: u64,
    pub secret_digest: Digest,
    pub unit: UnitId,
    pub kind: EndpointKind,
    /// How many endpoints it may enrol in all; above one, each waits for approval.
    pub uses: u64,
    pub uses_left: u64,
    pub created: UnixMillis,
    pub expires: UnixMillis,
    pub revoked: Option<UnixMillis>,
}

/// What a new token allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    pub secret_digest: Digest,
    pub unit: UnitId,
    pub kind: EndpointKind,
    pub uses: u64,
    pub created: UnixMillis,
    pub expires: UnixMillis,
}

/// Keeps a new token under the next number. The caller logs the change in the same transaction.
///
/// # Errors
/// The database fails.
pub async fn create(db: &mut AnyConnection, token: &NewToken) -> Result<(u64, Change), sqlx::Error> {
    let row = sqlx::query("select coalesce(max(id), 0) + 1 from tokens").fetch_one(&mut *db).await?;
    let id: i64 = row.try_get(0)?;
    sqlx::query(
        "insert into tokens (id, secret_digest, unit, kind, uses, uses_left, created, expires) \
         values ($1, $2, $3, $4, $5, $5, $6, $7)",
    )
    .bind(id)
    .bind(token.secret_digest.as_bytes().to_vec())
    .bind(token.unit.as_str())
    .bind(token.kind.as_str())
    .bind(token.uses.cast_signed())
    .bind(token.created.0)
    .bind(token.expires.0)
    .execute(db)
    .await?;
    let id = id.unsigned_abs();
    let change = Change::TokenCreated {
        token: id,
        unit: token.unit.clone(),
        kind: token.kind,
        uses: token.uses,
        expires: token.expires,
    };
    Ok((id, change))
}

/// Revokes a token; `None` if there is no such token or it is revoked already. Endpoints it enrolled stay.
///
/// # Errors
/// The database fails.
pub async fn revoke(
    db: &mut AnyConnection,
    token: u64,
    now: UnixMillis,
) -> Result<Option<Change>, sqlx::Error> {
    let done = sqlx::query("update tokens set revoked = $2 where id = $1 and revoked is null")
        .bind(token.cast_signed())
        .bind(now.0)
        .execute(db)
        .await?;
    Ok((done.rows_affected() == 1).then_some(Change::TokenRevoked { token }))
}

/// Takes one use; `false` if none is left, also when another transaction took the last one.
///
/// # Errors
/// The database fails.
pub async fn take_use(db: &mut AnyConnection, token: u64) -> Result<bool, sqlx::Error> {
    let done = sqlx::query("update tokens set uses_left = uses_left - 1 where id = $1 and uses_left > 0")
        .bind(token.cast_signed())
        .execute(db)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn find(db: &mut AnyConnection, token: u64) -> Result<Option<Token>, sqlx::Error> {
    // A number beyond the column's range is no token's.
    let Ok(id) = i64::try_from(token) else { return Ok(None) };
    sqlx::query(
        "select id, secret_digest, unit, kind, uses, uses_left, created, expires, revoked \
         from tokens where id = $1",
    )
    .bind(id)
    .fetch_optional(db)
    .await?
    .map(|row| parse(&row))
    .transpose()
}

/// All tokens, newest first.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn list(db: &mut AnyConnection) -> Result<Vec<Token>, sqlx::Error> {
    let rows = sqlx::query(
        "select id, secret_digest, unit, kind, uses, uses_left, created, expires, revoked \
         from tokens order by id desc",
    )
    .fetch_all(db)
    .await?;
    rows.iter().map(parse).collect()
}

fn parse(row: &AnyRow) -> Result<Token, sqlx::Error> {
    Ok(Token {
        id: row.try_get::<i64, _>(0)?.unsigned_abs(),
        secret_digest: digest(&row.try_get::<Vec<u8>, _>(1)?)?,
        unit: row.try_get::<String, _>(2)?.parse().map_err(|_| Corrupt("tokens.unit"))?,
        kind: row.try_get::<String, _>(3)?.parse().map_err(|_| Corrupt("tokens.kind"))?,
        uses: row.try_get::<i64, _>(4)?.unsigned_abs(),
        uses_left: row.try_get::<i64, _>(5)?.unsigned_abs(),
        created: UnixMillis(row.try_get(6)?),
        expires: UnixMillis(row.try_get(7)?),
        revoked: row.try_get::<Option<i64>, _>(8)?.map(UnixMillis),
    })
}
