//! How the agent knows its collector on the wire: TLS 1.3 only, the one authority of the enrolment string,
//! and validity dates judged by proved time. Until time is proved the dates are not looked at, since a
//! recorder without a clock could otherwise never ask for the time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::clock::Clock;

/// The TLS settings cannot be made from what the state folder holds.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the authority's certificate cannot be used: {0}; enrol this machine anew")]
    Authority(String),
    #[error("this agent's certificate and key cannot be used: {0}; enrol this machine anew")]
    OwnCertificate(String),
}

/// Settings for a connection before there is a certificate of our own.
///
/// # Errors
/// The authority's certificate is none.
pub fn without_certificate(ca: &[u8], clock: &Clock) -> Result<ClientConfig, TlsError> {
    let mut config = builder(ca, clock)?.with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Settings for a connection with our certificate.
///
/// # Errors
/// The authority's certificate is none, or ours and the key do not belong together.
pub fn with_certificate(
    ca: &[u8],
    chain: &[Vec<u8>],
    key_pem: &str,
    clock: &Clock,
) -> Result<ClientConfig, TlsError> {
    let own = |error: &dyn fmt::Display| TlsError::OwnCertificate(error.to_string());
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|error| own(&error))?;
    let chain = chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let mut config = builder(ca, clock)?.with_client_auth_cert(chain, key).map_err(|error| own(&error))?;
    // Tickets have ages by the wall clock.
    config.resumption = Resumption::disabled();
    Ok(config)
}

type Builder = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

fn builder(ca: &[u8], clock: &Clock) -> Result<Builder, TlsError> {
    let authority = |error: &dyn fmt::Display| TlsError::Authority(error.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(ca.to_vec())).map_err(|error| authority(&error))?;
    let verifier = CollectorVerifier::new(roots, Arc::clone(&provider), clock.clone())
        .map_err(|error| authority(&error))?;
    Ok(ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| authority(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier)))
}

/// The usual rules for a server's certificate, at a time of our choice.
#[derive(Debug)]
struct CollectorVerifier {
    rules: Arc<WebPkiServerVerifier>,
    clock: Clock,
}

impl CollectorVerifier {
    fn new(
        roots: RootCertStore,
        provider: Arc<CryptoProvider>,
        clock: Clock,
    ) -> Result<Self, rustls::client::VerifierBuilderError> {
        let rules = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
        Ok(Self { rules, clock })
    }
}

impl ServerCertVerifier for CollectorVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _system_time: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let judge =
            |now| self.rules.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match self.clock.proved() {
            Some(now) => {
                judge(UnixTime::since_unix_epoch(Duration::from_millis(u64::try_from(now.0).unwrap_or(0))))
            }
            None => at_whatever_time(judge),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOffered))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.rules.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.rules.supported_verify_schemes()
    }
}

/// Judges at a time within the dates of the certificates, if all of them share one.
fn at_whatever_time<T>(judge: impl Fn(UnixTime) -> Result<T, Error>) -> Result<T, Error> {
    /// A chain of more certificates than this is not ours.
    const CERTIFICATES: usize = 4;
    let mut now = UnixTime::since_unix_epoch(Duration::ZERO);
    for _ in 0..CERTIFICATES {
        match judge(now) {
            Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. })) => {
                now = not_before;
            }
            verdict => return verdict,
        }
    }
    judge(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{
        BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, date_time_ymd,
    };
    use wardwatch_policies::time::UnixMillis;

    struct Collector {
        ca: Vec<u8>,
        leaf: CertificateDer<'static>,
    }

    /// Valid from 2030 to 2031, whatever the machine that runs the test believes.
    fn collector() -> Collector {
        let ca_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_before = date_time_ymd(2030, 1, 1);
        params.not_after = date_time_ymd(2031, 1, 1);
        let ca = params.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(params, ca_key);
        let mut params = CertificateParams::new(vec!["collector.example".into()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = date_time_ymd(2030, 2, 1);
        params.not_after = date_time_ymd(2030, 12, 1);
        let leaf = params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
        Collector { ca: ca.der().to_vec(), leaf: leaf.der().clone() }
    }

    fn verify(
        collector: &Collector,
        leaf: &CertificateDer<'_>,
        name: &str,
        clock: &Clock,
    ) -> Result<(), Error> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(collector.ca.clone())).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = CollectorVerifier::new(roots, provider, clock.clone()).unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        verifier.verify_server_cert(leaf, &[], &name, &[], UnixTime::now()).map(drop)
    }

    fn millis(year: i32) -> UnixMillis {
        UnixMillis(date_time_ymd(year, 6, 1).unix_timestamp() * 1000)
    }

    #[test]
    fn before_time_is_proved_dates_do_not_matter_and_all_else_does() {
        let (ours, foreign) = (collector(), collector());
        let clock = Clock::new();
        assert_eq!(verify(&ours, &ours.leaf, "collector.example", &clock), Ok(()));
        assert!(verify(&ours, &ours.leaf, "other.example", &clock).is_err());
        assert!(verify(&ours, &foreign.leaf, "collector.example", &clock).is_err());
    }

    #[test]
    fn proved_time_decides_and_the_system_clock_never_does() {
        let ours = collector();
        let clock = Clock::new();
        for (year, valid) in [(2029, false), (2030, true), (2031, false)] {
            clock.prove(millis(year));
            assert_eq!(verify(&ours, &ours.leaf, "collector.example", &clock).is_ok(), valid, "{year}");
        }
    }
}
