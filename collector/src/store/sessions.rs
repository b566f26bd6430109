//! Who is signed in. A session is found by the digest of its id, so the table gives nobody a session.

use sqlx::{AnyConnection, AnyPool, Row};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::time::UnixMillis;

/// One session as stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Session {
    pub user: String,
    /// Stands in every form of this session.
    pub csrf: String,
    pub created: UnixMillis,
    /// The last request that a person made.
    pub seen: UnixMillis,
}

/// # Errors
/// The database does not answer.
pub async fn create(
    db: &mut AnyConnection,
    id: &Digest,
    user: &str,
    csrf: &str,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into sessions (id_digest, user_name, csrf, created, seen) values ($1, $2, $3, $4, $4)",
    )
    .bind(id.as_bytes().to_vec())
    .bind(user)
    .bind(csrf)
    .bind(now.0)
    .execute(db)
    .await?;
    Ok(())
}

/// # Errors
/// The database does not answer.
pub async fn find(db: &AnyPool, id: &Digest) -> Result<Option<Session>, sqlx::Error> {
    let row = sqlx::query("select user_name, csrf, created, seen from sessions where id_digest = $1")
        .bind(id.as_bytes().to_vec())
        .fetch_optional(db)
        .await?;
    row.map(|row| {
        Ok(Session {
            user: row.try_get("user_name")?,
            csrf: row.try_get("csrf")?,
            created: UnixMillis(row.try_get("created")?),
            seen: UnixMillis(row.try_get("seen")?),
        })
    })
    .transpose()
}

/// # Errors
/// The database does not answer.
pub async fn touch(db: &mut AnyConnection, id: &Digest, now: UnixMillis) -> Result<(), sqlx::Error> {
    sqlx::query("update sessions set seen = $1 where id_digest = $2")
        .bind(now.0)
        .bind(id.as_bytes().to_vec())
        .execute(db)
        .await?;
    Ok(())
}

/// # Errors
/// The database does not answer.
pub async fn end(db: &mut AnyConnection, id: &Digest) -> Result<(), sqlx::Error> {
    sqlx::query("delete from sessions where id_digest = $1").bind(id.as_bytes().to_vec()).execute(db).await?;
    Ok(())
}

/// Ends every session of a user.
///
/// # Errors
/// The database does not answer.
pub async fn end_all_of(db: &mut AnyConnection, user: &str) -> Result<(), sqlx::Error> {
    sqlx::query("delete from sessions where user_name = $1").bind(user).execute(db).await?;
    Ok(())
}

/// Forgets sessions that began before `created` or whose last request is older than `seen`.
///
/// # Errors
/// The database does not answer.
pub async fn forget_expired(
    db: &mut AnyConnection,
    created: UnixMillis,
    seen: UnixMillis,
) -> Result<(), sqlx::Error> {
    sqlx::query("delete from sessions where created < $1 or seen < $2")
        .bind(created.0)
        .bind(seen.0)
        .execute(db)
        .await?;
    Ok(())
}
