//! Carries out what [`super::decision`] decides, in one transaction: token, endpoint, reply and log entry are
//! kept together or not at all.

use std::sync::Arc;

use serde_bytes::ByteBuf;
use sqlx::AnyConnection;
use wardwatch_incidents::change::{Actor, Change};
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::enrolment::EnrolmentReply;

use super::decision::{self, Decision, Known, Refused, Request};
use crate::authority::{Authority, AuthorityError};
use crate::registry::Registry;
use crate::store::Store;
use crate::store::endpoints::{self, Endpoint, State};
use crate::store::tokens::{self, Token};
use crate::workflow::Workflow;

/// Who answers requests. Cheap to clone.
#[derive(Clone)]
pub struct Office {
    pub store: Store,
    pub authority: Arc<Authority>,
    pub registry: Registry,
    pub workflow: Workflow,
    /// The collector's time; agents' clocks are not asked.
    pub clock: fn() -> UnixMillis,
}

/// What failed inside; outside, the collector is just not available.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("the enrolment cannot be stored")]
    Store(#[from] sqlx::Error),
    #[error("the certificate cannot be issued")]
    Authority(#[from] AuthorityError),
}

impl Office {
    pub(super) fn now(&self) -> UnixMillis {
        (self.clock)()
    }

    /// Answers one request with the bytes of a reply.
    ///
    /// # Errors
    /// Why it is refused. A fault of our own is logged here and told as [`Refused::Unavailable`].
    pub async fn answer(&self, request: &[u8]) -> Result<Vec<u8>, Refused> {
        let request = decision::read(request)?;
        self.decide(&request).await.map_err(|failed| match failed {
            Failed::Refused(refused) => refused,
            fault => {
                let fault = anyhow::Error::from(fault);
                tracing::error!(agent = %request.body.agent, "enrolment failed: {fault:#}");
                Refused::Unavailable
            }
        })
    }

    async fn decide(&self, request: &Request) -> Result<Vec<u8>, Failed> {
        let now = self.now();
        let mut tx = self.store.write().await?;
        let token = tokens::find(&mut tx, request.body.token.id).await?;
        let endpoint = endpoints::find(&mut tx, &request.body.agent).await?;
        let earlier = match &token {
            Some(token) => endpoints::earlier_reply(&mut tx, token.id, request.keys).await?,
            None => None,
        };
        let known = Known { token: token.as_ref(), endpoint: endpoint.as_ref(), earlier };
        let state = match decision::judge(request, known, now)? {
            Decision::Repeat(reply) => return Ok(reply),
            Decision::Enrol(state) => state,
        };
        let token = token.ok_or(Refused::Token)?;
        let (endpoint, reply) = self.grant(request, &token, state, now)?;
        let change = keep(&mut tx, request, &token, &endpoint, &reply).await?;
        let events = self.workflow.record(&mut tx, &Actor::Collector, vec![change], now).await?;
        tx.commit().await?;
        tracing::info!(agent = %endpoint.id, token = token.id, state = %endpoint.state, "enrolled");
        self.registry.put(endpoint);
        self.workflow.announce(events);
        Ok(reply)
    }

    fn grant(
        &self,
        request: &Request,
        token: &Token,
        state: State,
        now: UnixMillis,
    ) -> Result<(Endpoint, Vec<u8>), Failed> {
        let agent = &request.body.agent;
        let certificate = self.authority.issue(agent, &request.certificate, now)?;
        let reply = EnrolmentReply {
            agent: agent.clone(),
            chain: vec![ByteBuf::from(certificate.der.to_vec()), ByteBuf::from(self.authority.ca().to_vec())],
            root_key: self.authority.root_key(),
            collector_key: self.authority.collector_word().to_vec(),
            kind: token.kind,
            unit: token.unit.clone(),
            pending: state == State::Pending,
        };
        let mut bytes = Vec::new();
        ciborium::into_writer(&reply, &mut bytes).expect("writing to memory cannot fail");
        let endpoint = Endpoint {
            id: agent.clone(),
            unit: token.unit.clone(),
            kind: token.kind,
            hostname: request.body.hostname.clone(),
            state,
            serial: certificate.serial,
            report_key: request.report_key,
            enrolled: now,
        };
        Ok((endpoint, bytes))
    }
}

async fn keep(
    db: &mut AnyConnection,
    request: &Request,
    token: &Token,
    endpoint: &Endpoint,
    reply: &[u8],
) -> Result<Change, Failed> {
    if !tokens::take_use(db, token.id).await? {
        return Err(Refused::UsedUp.into());
    }
    endpoints::keep_reply(db, token.id, request.keys, &endpoint.id, reply).await?;
    Ok(endpoints::enrol(db, endpoint, token.id).await?)
}
