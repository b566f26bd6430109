//! The command `enrol`: turns an enrolment string into an identity. The keys are kept before anything is
//! sent, so that a lost answer is asked for again with the same keys.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use ed25519_dalek::SigningKey;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use wardwatch_policies::finding::StreamReason;
use wardwatch_policies::ids::AgentId;
use wardwatch_wire::enrolment::{EnrolmentReply, EnrolmentRequest, EnrolmentString, verify_collector_key};
use wardwatch_wire::envelope::{Kind, seal};
use wardwatch_wire::report::{Nonce, StreamId};
use zeroize::{Zeroize, Zeroizing};

use crate::clock::Clock;
use crate::outbox::Outbox;
use crate::platform::{self, Machine};
use crate::random;
use crate::state::{Identity, Keys, Pending, StateDir, StateError};
use crate::tls;

mod post;
mod string;
mod take;

pub use string::Source;
pub use take::take;

/// How long one address of the collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What enrolment gave.
pub struct Enrolled {
    pub identity: Identity,
    /// A person must approve the endpoint first.
    pub pending: bool,
}

/// Enrols this machine with the string from `source`.
///
/// # Errors
/// The string is none, the machine is enrolled already, no address of the collector answers, it refuses, or
/// its answer cannot be believed.
pub async fn run(state: &StateDir, source: &Source) -> Result<Enrolled> {
    state.create()?;
    state.refuse_of_others()?;
    let _lock = state.lock()?;
    let machine = platform::machine();
    refuse_if_enrolled(state, &machine)?;
    let string = source.read()?;
    let (pending, keys) = keys_for(state, string.token.id, machine)?;
    let reply = ask(&string, &pending.agent, &keys).await?;
    let enrolled = accept(state, &string, &pending, &keys, reply)?;
    source.forget();
    Ok(enrolled)
}

fn refuse_if_enrolled(state: &StateDir, machine: &Machine) -> Result<()> {
    match state.identity(machine) {
        Ok(identity) => bail!(
            "this machine is enrolled already as {} (unit {}), so nothing was changed; to enrol it anew, stop \
             the agent and remove the folder {}",
            identity.agent,
            identity.unit,
            state.path().display()
        ),
        Err(StateError::NotEnrolled(_)) => Ok(()),
        Err(StateError::OtherMachine(_) | StateError::Damaged { .. }) => {
            tracing::warn!("the state folder was of another machine or damaged; it is cleared");
            Ok(state.clear()?)
        }
        Err(error) => Err(error.into()),
    }
}

/// The keys of an enrolment that was begun with this token here, else new ones; kept before they are used.
fn keys_for(state: &StateDir, token_id: u64, machine: Machine) -> Result<(Pending, Keys)> {
    if let Ok(Some(pending)) = state.pending()
        && pending.token_id == token_id
        && pending.machine.is(&machine)
        && let Ok(keys) = state.keys()
    {
        tracing::info!(agent = %pending.agent, "asking again with the keys of the attempt before");
        return Ok((pending, keys));
    }
    state.clear()?;
    let mut seed = random::bytes::<32>()?;
    let report = SigningKey::from_bytes(&seed);
    seed.zeroize();
    let tls = KeyPair::generate().context("no TLS key could be made")?;
    let keys = Keys { report, tls_pem: Zeroizing::new(tls.serialize_pem()) };
    let pending = Pending { agent: random::agent_id()?, token_id, machine };
    state.save_pending(&pending, &keys)?;
    Ok((pending, keys))
}

async fn ask(string: &EnrolmentString, agent: &AgentId, keys: &Keys) -> Result<EnrolmentReply> {
    let request = EnrolmentRequest {
        token: string.token.clone(),
        agent: agent.clone(),
        csr: certificate_request(agent, &keys.tls_pem)?,
        report_key: keys.report.verifying_key().to_bytes(),
        nonce: Nonce(random::bytes()?),
        hostname: platform::hostname(),
    };
    let body = seal(Kind::EnrolmentRequest, agent, &keys.report, &request)
        .context("the enrolment request cannot be sealed")?
        .into_bytes();
    let config = Arc::new(tls::without_certificate(&string.ca, &Clock::new())?);
    let mut unreached = Vec::new();
    for host in &string.hosts {
        let posted = post::post(&config, host, string.enrol_port, body.clone());
        match tokio::time::timeout(PATIENCE, posted).await {
            Ok(Ok(reply)) => return Ok(reply),
            Ok(Err(post::PostError::Refused(refusal))) => {
                return Err(anyhow!("{}; this machine is not enrolled; {}", refusal.problem, refusal.remedy));
            }
            Ok(Err(post::PostError::Unreached(error))) => unreached.push(format!("{host}: {error:#}")),
            Err(_) => unreached.push(format!("{host}: no answer within {} s", PATIENCE.as_secs())),
        }
    }
    bail!(
        "the collector cannot be reached on port {} ({}), so this machine is not enrolled; check the network and \
         try again with the same string",
        string.enrol_port,
        unreached.join("; ")
    )
}

fn certificate_request(agent: &AgentId, tls_pem: &str) -> Result<Vec<u8>> {
    let key = KeyPair::from_pem(tls_pem).context("the kept TLS key cannot be used")?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, agent.as_str());
    let request = params.serialize_request(&key).context("no certificate request could be made")?;
    Ok(request.der().to_vec())
}

fn accept(
    state: &StateDir,
    string: &EnrolmentString,
    pending: &Pending,
    keys: &Keys,
    reply: EnrolmentReply,
) -> Result<Enrolled> {
    ensure!(
        reply.agent == pending.agent,
        "the collector answered for {}, not for {}; the answer is not used; tell the one who runs the collector",
        reply.agent,
        pending.agent
    );
    let (collector_key, word) = verify_collector_key(string.root, &reply).context(
        "the answer is not used; check that nobody stands between, and ask for a new enrolment string",
    )?;
    let identity = Identity {
        agent: reply.agent,
        unit: reply.unit,
        kind: reply.kind,
        hosts: string.hosts.clone(),
        mqtt_port: string.mqtt_port,
        enrol_port: Some(string.enrol_port),
        ca: string.ca.clone(),
        chain: reply.chain.into_iter().map(|der| der.into_vec()).collect(),
        root: string.root,
        collector_key: collector_key.to_bytes().to_vec(),
        collector_key_serial: word.serial,
        machine: pending.machine.clone(),
    };
    // Fails if the certificate is not for our key.
    tls::with_certificate(&identity.ca, &identity.chain, &keys.tls_pem, &Clock::new())?;
    // Before the identity: an identity without an outbox means that reports were lost.
    let stream = StreamId(random::bytes()?);
    Outbox::create(&state.outbox(), stream, StreamReason::FirstStart)
        .context("the outbox cannot be made")
        .and_then(|()| Ok(state.save_identity(&identity)?))
        .with_context(|| {
            format!(
                "the collector has enrolled this machine, which cannot be written down; free some space and call again \
                 with the same string. Do not remove {}: it holds the keys of this attempt",
                state.path().display()
            )
        })?;
    Ok(Enrolled { identity, pending: reply.pending })
}
