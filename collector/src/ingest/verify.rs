//! From bytes off the broker to a message that may be believed. Pure; keys come from the registry.

use std::sync::Arc;

use ed25519_dalek::VerifyingKey;
use wardwatch_policies::digest::Digest;
use wardwatch_policies::ids::AgentId;
use wardwatch_wire::envelope::{Kind, OpenError, Unverified};
use wardwatch_wire::report::{Heartbeat, Report};

/// A report whose signature holds.
#[derive(Debug)]
pub(super) struct SignedReport {
    pub(super) report: Report,
    /// Of the whole envelope; the next report's `previous`.
    pub(super) digest: Digest,
    /// Bytes of the envelope.
    pub(super) size: usize,
}

/// What an agent may send up. Cheap to clone.
#[derive(Clone)]
pub(super) enum Message {
    Report(Arc<SignedReport>),
    Heartbeat(Arc<Heartbeat>),
}

impl Message {
    pub(super) fn report(&self) -> Option<&SignedReport> {
        match self {
            Self::Report(report) => Some(report),
            Self::Heartbeat(_) => None,
        }
    }
}

/// Verifies a message that came on `agent`'s topic.
///
/// # Errors
/// Not an envelope, not of this agent's key, or of a kind that does not go up.
pub(super) fn verify(agent: &AgentId, key: &VerifyingKey, payload: &[u8]) -> Result<Message, OpenError> {
    let unverified = Unverified::parse(payload)?;
    match unverified.kind() {
        Kind::Heartbeat => {
            let heartbeat: Heartbeat = unverified.verify(Kind::Heartbeat, agent, key)?;
            same_agent(agent, &heartbeat.agent)?;
            Ok(Message::Heartbeat(Arc::new(heartbeat)))
        }
        _ => {
            let report: Report = unverified.verify(Kind::Report, agent, key)?;
            same_agent(agent, &report.agent)?;
            Ok(Message::Report(Arc::new(SignedReport {
                report,
                digest: Digest::of(payload),
                size: payload.len(),
            })))
        }
    }
}

fn same_agent(expected: &AgentId, found: &AgentId) -> Result<(), OpenError> {
    if expected == found {
        Ok(())
    } else {
        Err(OpenError::Payload(format!("it names the agent {found}, not {expected}")))
    }
}
