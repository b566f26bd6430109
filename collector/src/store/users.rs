//! Who may sign in. Passwords are kept as argon2id hashes that were made elsewhere.

use sqlx::{AnyConnection, AnyPool, Row};
use wardwatch_policies::time::UnixMillis;

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Also admits and removes endpoints.
    Admin,
    /// Works on alerts and incidents.
    Staff,
}

impl Role {
    pub const ALL: [Self; 2] = [Self::Admin, Self::Staff];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Staff => "staff",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    #[must_use]
    pub const fn is_admin(self) -> bool {
        matches!(self, Self::Admin)
    }
}

/// One user as stored.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Chosen once, used to sign in and in the log.
    pub name: String,
    pub display_name: String,
    /// In PHC form.
    pub password_hash: String,
    /// The password was given by someone else and must be replaced.
    pub must_change: bool,
    pub role: Role,
    /// `vi` or `en`.
    pub language: String,
    /// Wrong passwords since the last right one.
    pub failures: i64,
    pub locked_until: Option<UnixMillis>,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "User({}, {:?})", self.name, self.role)
    }
}

/// # Errors
/// The name is taken, or the database does not answer.
pub async fn create(db: &mut AnyConnection, user: &User, now: UnixMillis) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into users (name, display_name, password_hash, must_change, role, language, created) \
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(&user.name)
    .bind(&user.display_name)
    .bind(&user.password_hash)
    .bind(i64::from(user.must_change))
    .bind(user.role.as_str())
    .bind(&user.language)
    .bind(now.0)
    .execute(db)
    .await?;
    Ok(())
}

/// Whether anybody may sign in at all.
///
/// # Errors
/// The database does not answer.
pub async fn are_any(db: &AnyPool) -> Result<bool, sqlx::Error> {
    let found: i64 = sqlx::query_scalar("select count(*) from users").fetch_one(db).await?;
    Ok(found > 0)
}

/// # Errors
/// The database does not answer.
pub async fn find(db: &AnyPool, name: &str) -> Result<Option<User>, sqlx::Error> {
    let row = sqlx::query(
        "select name, display_name, password_hash, must_change, role, language, failures, locked_until \
         from users where name = $1",
    )
    .bind(name)
    .fetch_optional(db)
    .await?;
    row.map(|row| {
        Ok(User {
            name: row.try_get("name")?,
            display_name: row.try_get("display_name")?,
            password_hash: row.try_get("password_hash")?,
            must_change: row.try_get::<i64, _>("must_change")? != 0,
            // A role this version does not know may do the least.
            role: Role::parse(row.try_get("role")?).unwrap_or(Role::Staff),
            language: row.try_get("language")?,
            failures: row.try_get("failures")?,
            locked_until: row.try_get::<Option<i64>, _>("locked_until")?.map(UnixMillis),
        })
    })
    .transpose()
}

/// Counts a wrong password; with the fifth in a row the user is locked until `locked_until`.
///
/// # Errors
/// The database does not answer.
pub async fn count_failure(
    db: &mut AnyConnection,
    name: &str,
    locked_until: UnixMillis,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update users set \
         locked_until = case when failures >= $1 then $2 else locked_until end, \
         failures = case when failures >= $1 then 0 else failures + 1 end \
         where name = $3",
    )
    .bind(FAILURES_TO_LOCK - 1)
    .bind(locked_until.0)
    .bind(name)
    .execute(db)
    .await?;
    Ok(())
}

/// Wrong passwords in a row that lock a user. Decision 724/QĐ-BTTTT asks for five within 30 seconds; here
/// five in a row are enough, however slowly they come.
pub const FAILURES_TO_LOCK: i64 = 5;

/// # Errors
/// The database does not answer.
pub async fn clear_failures(db: &mut AnyConnection, name: &str) -> Result<(), sqlx::Error> {
    sqlx::query("update users set failures = 0, locked_until = null where name = $1")
        .bind(name)
        .execute(db)
        .await?;
    Ok(())
}

/// # Errors
/// The database does not answer.
pub async fn set_language(db: &mut AnyConnection, name: &str, language: &str) -> Result<(), sqlx::Error> {
    sqlx::query("update users set language = $1 where name = $2")
        .bind(language)
        .bind(name)
        .execute(db)
        .await?;
    Ok(())
}

/// Returns whether the user exists.
///
/// # Errors
/// The database does not answer.
pub async fn set_password(
    db: &mut AnyConnection,
    name: &str,
    password_hash: &str,
    must_change: bool,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query(
        "update users set password_hash = $1, must_change = $2, failures = 0, locked_until = null \
         where name = $3",
    )
    .bind(password_hash)
    .bind(i64::from(must_change))
    .bind(name)
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}
