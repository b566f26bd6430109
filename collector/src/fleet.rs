//! What people do with endpoints and their tokens. Each act is a change of the record first; the registry and
//! the broker hear of it after the commit.

use std::sync::Arc;
use std::time::Duration;

use sqlx::AnyConnection;
use wardwatch_incidents::change::{Actor, Change};
use wardwatch_policies::ids::{AgentId, UnitId};
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::downlink::{Action, CommandId};
use wardwatch_wire::enrolment::EnrolmentString;

use crate::authority::Authority;
use crate::broker::Broker;
use crate::enrol::{self, Grant, Reachable, TokenError};
use crate::registry::Registry;
use crate::store::endpoints::{self, State};
use crate::store::{Store, commands, tokens, units};
use crate::workflow::Workflow;

/// How long a command may wait for its endpoint.
pub const COMMAND_LIFE: Duration = Duration::from_secs(24 * 3600);
/// The most endpoints that one token may enrol.
pub const MAX_USES: u64 = 10_000;

/// When a command that is issued at this time expires.
#[must_use]
pub fn expires(issued: UnixMillis) -> UnixMillis {
    issued.plus(i64::try_from(COMMAND_LIFE.as_millis()).unwrap_or(i64::MAX))
}

/// Keeps a new command; the caller records the change in the same transaction.
///
/// # Errors
/// The database fails.
pub async fn issue(
    db: &mut AnyConnection,
    endpoint: &AgentId,
    action: &Action,
    now: UnixMillis,
) -> Result<(CommandId, Change), sqlx::Error> {
    let command = commands::issue(db, endpoint, action, now, expires(now)).await?;
    let change = Change::CommandIssued {
        endpoint: endpoint.clone(),
        command: command.0,
        action: action.kind().as_str().to_owned(),
    };
    Ok((command, change))
}

/// The endpoints as a whole. Cheap to clone.
#[derive(Clone)]
pub struct Fleet {
    pub store: Store,
    pub workflow: Workflow,
    pub registry: Registry,
    pub broker: Arc<Broker>,
    pub authority: Arc<Authority>,
    pub reachable: Arc<Reachable>,
}

/// What was asked for did not happen.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    #[error(
        "there is no endpoint {0} that this could be done to; `endpoints list` names those that there are"
    )]
    NoSuchEndpoint(AgentId),
    #[error("there is no token {0} to revoke; `token list` names those that there are")]
    NoSuchToken(u64),
    #[error("there is no unit {0}; `units list` names those that there are")]
    NoSuchUnit(UnitId),
    #[error("a token for {0} endpoints cannot be made; 1 to {MAX_USES} may enrol with one")]
    Uses(u64),
    #[error("the reason is missing; write why the endpoint is removed")]
    ReasonMissing,
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("the database failed")]
    Store(#[from] sqlx::Error),
}

impl Fleet {
    /// Makes a token and the string to hand over with it. The string is a secret.
    ///
    /// # Errors
    /// The unit does not exist, the number of uses is out of bounds, or the database fails.
    pub async fn create_token(
        &self,
        actor: &Actor,
        grant: &Grant,
        now: UnixMillis,
    ) -> Result<(u64, EnrolmentString), FleetError> {
        if !(1..=MAX_USES).contains(&grant.uses) {
            return Err(FleetError::Uses(grant.uses));
        }
        if !units::all(self.store.reader()).await?.iter().any(|unit| unit.id == grant.unit) {
            return Err(FleetError::NoSuchUnit(grant.unit.clone()));
        }
        let mut tx = self.store.write().await?;
        let (token, change) = enrol::create_token(&mut tx, grant, now).await?;
        let events = self.workflow.record(&mut tx, actor, vec![change], now).await?;
        tx.commit().await?;
        self.workflow.announce(events);
        Ok((token.id, enrol::string(&self.reachable, token, &self.authority)))
    }

    /// Makes a token useless. Endpoints that it enrolled stay.
    ///
    /// # Errors
    /// There is no such token, it is revoked already, or the database fails.
    pub async fn revoke_token(&self, actor: &Actor, token: u64, now: UnixMillis) -> Result<(), FleetError> {
        let mut tx = self.store.write().await?;
        let change = tokens::revoke(&mut tx, token, now).await?.ok_or(FleetError::NoSuchToken(token))?;
        let events = self.workflow.record(&mut tx, actor, vec![change], now).await?;
        tx.commit().await?;
        self.workflow.announce(events);
        Ok(())
    }

    /// Lets a pending endpoint report.
    ///
    /// # Errors
    /// It does not exist or is not pending, or the database fails.
    pub async fn approve(
        &self,
        actor: &Actor,
        endpoint: &AgentId,
        now: UnixMillis,
    ) -> Result<(), FleetError> {
        let mut tx = self.store.write().await?;
        let change = endpoints::approve(&mut tx, endpoint)
            .await?
            .ok_or_else(|| FleetError::NoSuchEndpoint(endpoint.clone()))?;
        let events = self.workflow.record(&mut tx, actor, vec![change], now).await?;
        tx.commit().await?;
        self.registry.set_state(endpoint, State::Active);
        self.workflow.announce(events);
        Ok(())
    }

    /// Asks an active endpoint to do something. It hears of it after its next heartbeat, and again until it has
    /// it or [`COMMAND_LIFE`] is over; whether it does it is decided by its own configuration.
    ///
    /// # Errors
    /// It does not exist or is not active, or the database fails.
    pub async fn command(
        &self,
        actor: &Actor,
        endpoint: &AgentId,
        action: Action,
        now: UnixMillis,
    ) -> Result<CommandId, FleetError> {
        let mut tx = self.store.write().await?;
        let known = endpoints::find(&mut tx, endpoint).await?;
        if known.is_none_or(|endpoint| endpoint.state != State::Active) {
            return Err(FleetError::NoSuchEndpoint(endpoint.clone()));
        }
        let (command, change) = issue(&mut tx, endpoint, &action, now).await?;
        let events = self.workflow.record(&mut tx, actor, vec![change], now).await?;
        tx.commit().await?;
        self.workflow.announce(events);
        Ok(command)
    }

    /// Removes an endpoint: its live session is cut, and it is refused from now on. What it reported stays.
    ///
    /// # Errors
    /// It does not exist or is removed already, the reason is missing, or the database fails.
    pub async fn remove(
        &self,
        actor: &Actor,
        endpoint: &AgentId,
        reason: &str,
        now: UnixMillis,
    ) -> Result<(), FleetError> {
        let reason = reason.trim();
        if reason.is_empty() {
            return Err(FleetError::ReasonMissing);
        }
        let mut tx = self.store.write().await?;
        let change = endpoints::remove(&mut tx, endpoint, reason)
            .await?
            .ok_or_else(|| FleetError::NoSuchEndpoint(endpoint.clone()))?;
        let events = self.workflow.record(&mut tx, actor, vec![change], now).await?;
        tx.commit().await?;
        self.registry.set_state(endpoint, State::Removed);
        self.broker.disconnect(endpoint).await;
        self.workflow.announce(events);
        Ok(())
    }
}
