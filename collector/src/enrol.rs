//! How an endpoint becomes known: a token goes out in an enrolment string, a signed request comes back over
//! HTTPS, and a certificate answers it.
//!
//! [`decision`] decides, [`office`] keeps the books, [`listener`] speaks HTTP. At the same port
//! [`programs`] hands programs to those that are enrolled. What an enrolled endpoint may do
//! then is asked of [`crate::registry`].

pub mod decision;
pub mod listener;
pub mod office;
pub mod programs;
pub mod rate;

use sqlx::AnyConnection;
use wardwatch_incidents::change::Change;
use wardwatch_policies::digest::Digest;
use wardwatch_policies::ids::{EndpointKind, UnitId};
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::enrolment::{EnrolmentString, Token};

use crate::authority::Authority;
use crate::store::tokens::{self, NewToken};

/// What a token is asked for.
#[derive(Debug, Clone)]
pub struct Grant {
    pub unit: UnitId,
    pub kind: EndpointKind,
    /// How many endpoints may enrol with it; above one, each waits for approval.
    pub uses: u64,
    pub expires: UnixMillis,
}

/// Where agents find this collector.
#[derive(Debug, Clone)]
pub struct Reachable {
    /// Host names or addresses, tried in turn; the server certificate must name each.
    pub hosts: Vec<String>,
    pub enrol_port: u16,
    pub mqtt_port: u16,
}

/// A token cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("the token cannot be stored")]
    Store(#[from] sqlx::Error),
    #[error("the system gives no random numbers: {0}")]
    Random(getrandom::Error),
}

/// Makes a token with a random secret, which is given out here and never again. The caller logs the change in
/// the same transaction.
///
/// # Errors
/// The database fails, or the system gives no random numbers.
pub async fn create_token(
    db: &mut AnyConnection,
    grant: &Grant,
    now: UnixMillis,
) -> Result<(Token, Change), TokenError> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(TokenError::Random)?;
    let token = NewToken {
        secret_digest: Digest::of(&secret),
        unit: grant.unit.clone(),
        kind: grant.kind,
        uses: grant.uses,
        created: now,
        expires: grant.expires,
    };
    let (id, change) = tokens::create(db, &token).await?;
    Ok((Token { id, secret }, change))
}

/// The enrolment string for a token. It is a secret, as the token is.
#[must_use]
pub fn string(reachable: &Reachable, token: Token, authority: &Authority) -> EnrolmentString {
    EnrolmentString {
        hosts: reachable.hosts.clone(),
        enrol_port: reachable.enrol_port,
        mqtt_port: reachable.mqtt_port,
        token,
        ca: authority.ca().to_vec(),
        root: authority.root_digest(),
    }
}
