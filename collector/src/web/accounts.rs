//! Making users and giving out one-time passwords, on the record.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use wardwatch_incidents::change::{Actor, Change};
use wardwatch_policies::time::UnixMillis;
use zeroize::Zeroizing;

use super::error::Fault;
use super::password;
use crate::fleet::Fleet;
use crate::store::users::{self, Role, User};

/// The user was not made.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    #[error("\"{0}\" is not a user name; use 2 to 64 of a-z, 0-9, dot, - and _")]
    Name(String),
    #[error("there is a user \"{0}\" already; choose another name")]
    Taken(String),
    #[error("there is no user \"{0}\"")]
    Unknown(String),
    #[error("the password could not be made or kept; the log says why")]
    Failed,
}

impl From<Fault> for AccountError {
    fn from(_: Fault) -> Self {
        Self::Failed
    }
}

impl From<sqlx::Error> for AccountError {
    fn from(error: sqlx::Error) -> Self {
        Fault::broken(error).into()
    }
}

/// A user to be made.
#[derive(Debug, Clone)]
pub struct NewUser {
    pub name: String,
    pub display_name: String,
    pub role: Role,
}

/// Makes a user; returns the password for the first sign-in, which is kept nowhere else.
///
/// # Errors
/// The name is malformed or taken, or the database fails.
pub async fn create(
    fleet: &Fleet,
    actor: &Actor,
    new: NewUser,
    now: UnixMillis,
) -> Result<Zeroizing<String>, AccountError> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-' | '_');
    if !(2..=64).contains(&new.name.len()) || !new.name.chars().all(allowed) {
        return Err(AccountError::Name(new.name.chars().take(64).collect()));
    }
    if users::find(fleet.store.reader(), &new.name).await?.is_some() {
        return Err(AccountError::Taken(new.name));
    }
    let password = one_time()?;
    let display_name: String = new.display_name.trim().chars().take(200).collect();
    let user = User {
        display_name: if display_name.is_empty() { new.name.clone() } else { display_name },
        name: new.name,
        password_hash: password::hash(password.clone()).await?,
        must_change: true,
        role: new.role,
        language: "vi".into(),
        failures: 0,
        locked_until: None,
    };
    let mut tx = fleet.store.write().await?;
    users::create(&mut tx, &user, now).await?;
    let change = Change::UserCreated { user: user.name };
    let events = fleet.workflow.record(&mut tx, actor, vec![change], now).await?;
    tx.commit().await?;
    fleet.workflow.announce(events);
    Ok(password)
}

/// The name of the user that a new collector begins with.
pub const FIRST: &str = "admin";

/// Makes the first user, if there is none yet; returns the password for the first sign-in.
///
/// # Errors
/// The database fails.
pub async fn first(fleet: &Fleet, now: UnixMillis) -> Result<Option<Zeroizing<String>>, AccountError> {
    if users::are_any(fleet.store.reader()).await? {
        return Ok(None);
    }
    let new = NewUser { name: FIRST.into(), display_name: String::new(), role: Role::Admin };
    create(fleet, &Actor::LocalAdmin, new, now).await.map(Some)
}

/// Gives a user a new one-time password and ends their sessions.
///
/// # Errors
/// There is no such user, or the database fails.
pub async fn reset(
    fleet: &Fleet,
    actor: &Actor,
    name: &str,
    now: UnixMillis,
) -> Result<Zeroizing<String>, AccountError> {
    let password = one_time()?;
    let hash = password::hash(password.clone()).await?;
    if keep(fleet, actor, name, &hash, true, now).await? {
        Ok(password)
    } else {
        Err(AccountError::Unknown(name.chars().take(64).collect()))
    }
}

/// Keeps a new password and ends all sessions of the user; `false` if there is no such user.
pub(super) async fn keep(
    fleet: &Fleet,
    actor: &Actor,
    name: &str,
    hash: &str,
    must_change: bool,
    now: UnixMillis,
) -> Result<bool, sqlx::Error> {
    let mut tx = fleet.store.write().await?;
    if !users::set_password(&mut tx, name, hash, must_change).await? {
        return Ok(false);
    }
    crate::store::sessions::end_all_of(&mut tx, name).await?;
    let change = Change::PasswordChanged { user: name.to_owned() };
    let events = fleet.workflow.record(&mut tx, actor, vec![change], now).await?;
    tx.commit().await?;
    fleet.workflow.announce(events);
    Ok(true)
}

/// 18 random bytes as 24 characters.
fn one_time() -> Result<Zeroizing<String>, AccountError> {
    let mut bytes = Zeroizing::new([0u8; 18]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|error| AccountError::from(Fault::broken(error)))?;
    Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice())))
}
