//! Who may connect, in memory: asked for every connection and every message, told of every change.
//!
//! The store is the truth; [`Registry::load`] reads it at the start, and whoever commits an enrolment, an
//! approval or a removal tells this registry next. Neighbours: the broker's hooks and ingest ask it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use sqlx::AnyConnection;
use wardwatch_policies::ids::AgentId;

use crate::store::endpoints::{self, Endpoint, State};

/// The enrolled endpoints. Cheap to clone; all clones see the same.
#[derive(Clone, Default)]
pub struct Registry {
    endpoints: Arc<RwLock<HashMap<AgentId, Arc<Endpoint>>>>,
}

/// Why a connection is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotAdmitted {
    #[error("its agent id is not enrolled here")]
    UnknownAgent,
    #[error("its certificate is not the one its endpoint enrolled with")]
    UnknownSerial,
    #[error("its endpoint waits for approval")]
    Pending,
    #[error("its endpoint was removed")]
    Removed,
}

impl Registry {
    /// Reads all endpoints from the store.
    ///
    /// # Errors
    /// The database fails, or holds what this program did not write.
    pub async fn load(db: &mut AnyConnection) -> Result<Self, sqlx::Error> {
        let registry = Self::default();
        for endpoint in endpoints::list(db).await? {
            registry.put(endpoint);
        }
        Ok(registry)
    }

    /// Takes in an endpoint that was enrolled, after the commit.
    pub fn put(&self, endpoint: Endpoint) {
        let mut endpoints = self.endpoints.write().unwrap_or_else(PoisonError::into_inner);
        endpoints.insert(endpoint.id.clone(), Arc::new(endpoint));
    }

    /// Takes in an approval or a removal, after the commit. An endpoint never heard of is left out.
    pub fn set_state(&self, agent: &AgentId, state: State) {
        let mut endpoints = self.endpoints.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(endpoint) = endpoints.get_mut(agent) {
            Arc::make_mut(endpoint).state = state;
        }
    }

    #[must_use]
    pub fn get(&self, agent: &AgentId) -> Option<Arc<Endpoint>> {
        self.endpoints.read().unwrap_or_else(PoisonError::into_inner).get(agent).cloned()
    }

    /// Every endpoint, in no order.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Endpoint>> {
        self.endpoints.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Whether a connection that shows this certificate may act for `agent` now.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, agent: &AgentId, serial: &str) -> Result<Arc<Endpoint>, NotAdmitted> {
        let endpoint = self.get(agent).ok_or(NotAdmitted::UnknownAgent)?;
        match endpoint.state {
            State::Removed => Err(NotAdmitted::Removed),
            _ if endpoint.serial != serial => Err(NotAdmitted::UnknownSerial),
            State::Pending => Err(NotAdmitted::Pending),
            State::Active => Ok(endpoint),
        }
    }
}
