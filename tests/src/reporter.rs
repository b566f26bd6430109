//! An agent made of nothing but its protocol: it enrols, seals reports and reads acks, and looks at no machine.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ed25519_dalek::{SigningKey, VerifyingKey};
use rcgen::{CertificateParams, KeyPair};
use rumqttc::{MqttOptions, TlsConfiguration, Transport};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::ids::AgentId;
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::downlink::{Ack, Downlink, DownlinkPosition};
use wardwatch_wire::enrolment::{
    EnrolmentReply, EnrolmentRequest, EnrolmentString, PATH, verify_collector_key,
};
use wardwatch_wire::envelope::{self, Envelope, Kind};
use wardwatch_wire::report::{AgentTime, Body, Nonce, Position, Report, StreamId};

/// An enrolled agent in the middle of its stream of reports.
pub struct Reporter {
    pub agent: AgentId,
    key: SigningKey,
    collector: VerifyingKey,
    tls: Arc<rustls::ClientConfig>,
    /// Certificate and key, as PEM.
    pub certificate: (String, String),
    stream: StreamId,
    seq: u64,
    last: Digest,
    downlink: DownlinkPosition,
}

impl Reporter {
    /// Enrols over HTTPS; everything about the new agent follows from `number`.
    ///
    /// # Errors
    /// The collector refuses, or its answer is not to be believed.
    pub async fn enrol(string: &EnrolmentString, number: u8) -> Result<Self> {
        let agent: AgentId = format!("reporter-{number}").parse()?;
        let key = SigningKey::from_bytes(&[number; 32]);
        let tls_key = KeyPair::generate()?;
        let request = EnrolmentRequest {
            token: string.token.clone(),
            agent: agent.clone(),
            csr: CertificateParams::default().serialize_request(&tls_key)?.der().to_vec(),
            report_key: key.verifying_key().to_bytes(),
            nonce: Nonce([number; 16]),
            hostname: agent.to_string(),
        };
        let sealed = envelope::seal(Kind::EnrolmentRequest, &agent, &key, &request)?;
        let reply = post(string, sealed.into_bytes()).await?;
        let (collector, _) = verify_collector_key(string.root, &reply)?;
        ensure!(!reply.pending, "{agent} waits for approval");
        let chain: Vec<_> = reply.chain.into_iter().map(|der| CertificateDer::from(der.into_vec())).collect();
        let leaf = pem::encode(&pem::Pem::new("CERTIFICATE", chain[0].to_vec()));
        let tls = client_config(&string.ca, chain, &tls_key)?;
        Ok(Self {
            agent,
            key,
            collector,
            tls: Arc::new(tls),
            certificate: (leaf, tls_key.serialize_pem()),
            stream: StreamId([number; 16]),
            seq: 0,
            last: Digest::ZERO,
            downlink: DownlinkPosition::START,
        })
    }

    /// How to connect to a broker on this machine as this agent.
    #[must_use]
    pub fn options(&self, port: u16) -> MqttOptions {
        let mut options = MqttOptions::new(self.agent.as_str(), "127.0.0.1", port);
        options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(self.tls.clone())));
        options.set_max_packet_size(envelope::MAX_BYTES + 1024, envelope::MAX_BYTES + 1024);
        options
    }

    /// The number of the last report sealed.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.seq
    }

    /// The stream's next report.
    ///
    /// # Errors
    /// It is too large.
    pub fn seal(&mut self, body: Body) -> Result<Envelope> {
        let position = Position { stream: self.stream, seq: self.seq + 1, previous: self.last };
        let time = AgentTime { wall: UnixMillis(0), uptime_ms: 1000, proved: None };
        let report = Report { agent: self.agent.clone(), position, time, body };
        let envelope = envelope::seal(Kind::Report, &self.agent, &self.key, &report)?;
        (self.seq, self.last) = (position.seq, envelope.digest());
        Ok(envelope)
    }

    /// Up to which report an ack of this stream says that all are committed, once its signature and its place
    /// in the downlink are found good.
    ///
    /// # Errors
    /// It is not to be believed, or asks for a report again.
    pub fn committed(&mut self, ack: &[u8]) -> Result<u64> {
        let ack: Downlink<Ack> = envelope::open(ack, Kind::Ack, &self.agent, &self.collector)?;
        ensure!(ack.agent == self.agent && ack.position > self.downlink, "not for {}, or old", self.agent);
        ensure!(ack.body.stream == self.stream, "an ack of another stream");
        if let Some(from) = ack.body.resend_from {
            bail!("the collector asks for {from} again, so a report was lost on the way");
        }
        self.downlink = ack.position;
        Ok(ack.body.committed)
    }
}

async fn post(string: &EnrolmentString, body: Vec<u8>) -> Result<EnrolmentReply> {
    // An error says that another enrolment did so before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_der(&string.ca)?])
        .timeout(Duration::from_secs(20))
        .no_proxy()
        .build()?;
    let host = string.hosts.first().context("a host to enrol at")?;
    let response =
        client.post(format!("https://{host}:{}{PATH}", string.enrol_port)).body(body).send().await?;
    let (status, answer) = (response.status(), response.bytes().await?);
    ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&answer));
    Ok(ciborium::from_reader(answer.as_ref())?)
}

fn client_config(
    ca: &[u8],
    chain: Vec<CertificateDer<'static>>,
    key: &KeyPair,
) -> Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from(ca.to_vec()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())))?)
}
