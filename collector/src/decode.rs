//! A captured message taken apart for a person, with what its signature says.

use ed25519_dalek::VerifyingKey;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wardwatch_policies::ids::AgentId;
use wardwatch_wire::downlink::{Ack, Command, Downlink};
use wardwatch_wire::enrolment::{self, CollectorKey};
use wardwatch_wire::envelope::{Kind, OpenError, Unverified};
use wardwatch_wire::release::{Release, ReleaseKey};
use wardwatch_wire::report::{Heartbeat, Report};

/// Everything about one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decoded {
    pub kind: &'static str,
    /// Bytes of the envelope.
    pub size: usize,
    /// The agent that the message names.
    pub agent: Option<AgentId>,
    pub signature: SignatureState,
    pub message: Value,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "state", content = "reason")]
pub enum SignatureState {
    Valid,
    Invalid(String),
    /// The key that should have signed is not known here.
    Unknown(String),
}

/// Whose keys can be asked.
pub struct Keys<F> {
    /// The report key of an endpoint enrolled here.
    pub report_key: F,
    pub collector: Option<VerifyingKey>,
    pub root: Option<VerifyingKey>,
    pub release: Option<VerifyingKey>,
}

/// Takes a message apart.
///
/// # Errors
/// The bytes are no envelope, or its content has another shape.
pub fn decode<F>(bytes: &[u8], keys: &Keys<F>) -> Result<Decoded, OpenError>
where
    F: Fn(&AgentId) -> Option<VerifyingKey>,
{
    let unverified = Unverified::parse(bytes)?;
    let kind = unverified.kind();
    let not_enrolled = |agent: &AgentId| format!("{agent} is not enrolled here");
    let no_keys = || "the keys of this collector are not at hand; name its folder with --data-dir".to_owned();
    let (agent, signature, message) = match kind {
        Kind::Report => {
            let report: Report = unverified.payload()?;
            let key = (keys.report_key)(&report.agent).ok_or_else(|| not_enrolled(&report.agent));
            (Some(report.agent.clone()), signed::<Report>(&unverified, &report.agent, key), json(&report))
        }
        Kind::Heartbeat => {
            let heartbeat: Heartbeat = unverified.payload()?;
            let key = (keys.report_key)(&heartbeat.agent).ok_or_else(|| not_enrolled(&heartbeat.agent));
            let signature = signed::<Heartbeat>(&unverified, &heartbeat.agent, key);
            (Some(heartbeat.agent.clone()), signature, json(&heartbeat))
        }
        Kind::Ack => down::<Ack>(&unverified, keys.collector.ok_or_else(no_keys))?,
        Kind::Command => down::<Command>(&unverified, keys.collector.ok_or_else(no_keys))?,
        Kind::CollectorKey => {
            let word: CollectorKey = unverified.payload()?;
            let address = enrolment::all_agents();
            let signature = signed::<CollectorKey>(&unverified, &address, keys.root.ok_or_else(no_keys));
            (None, signature, json(&word))
        }
        Kind::ReleaseKey => {
            let word: ReleaseKey = unverified.payload()?;
            let address = enrolment::all_agents();
            let signature = signed::<ReleaseKey>(&unverified, &address, keys.root.ok_or_else(no_keys));
            (None, signature, json(&word))
        }
        Kind::Release => {
            let release: Release = unverified.payload()?;
            let address = enrolment::all_agents();
            let signature = signed::<Release>(&unverified, &address, keys.release.ok_or_else(no_keys));
            (None, signature, json(&release))
        }
        Kind::EnrolmentRequest => {
            // It carries a token, which is a secret and is not shown.
            let reason = "an enrolment request holds a token and is not shown".to_owned();
            (None, SignatureState::Unknown(reason), Value::Null)
        }
    };
    Ok(Decoded { kind: kind.as_str(), size: bytes.len(), agent, signature, message })
}

fn down<T: Serialize + DeserializeOwned>(
    unverified: &Unverified,
    key: Result<VerifyingKey, String>,
) -> Result<(Option<AgentId>, SignatureState, Value), OpenError> {
    let message: Downlink<T> = unverified.payload()?;
    let signature = signed::<Downlink<T>>(unverified, &message.agent, key);
    Ok((Some(message.agent.clone()), signature, json(&message)))
}

fn signed<T: DeserializeOwned>(
    unverified: &Unverified,
    agent: &AgentId,
    key: Result<VerifyingKey, String>,
) -> SignatureState {
    match key {
        Err(reason) => SignatureState::Unknown(reason),
        Ok(key) => match unverified.verify::<T>(unverified.kind(), agent, &key) {
            Ok(_) => SignatureState::Valid,
            Err(error) => SignatureState::Invalid(error.to_string()),
        },
    }
}

fn json<T: Serialize>(message: &T) -> Value {
    serde_json::to_value(message).expect("messages have text keys only, which JSON always takes")
}
