//! What stands in the certificates. Pure but for the random numbers of keys and serials.

use std::collections::BTreeSet;
use std::net::IpAddr;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PublicKey, PublicKeyData, SerialNumber,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};
use time::{Duration, OffsetDateTime};
use wardwatch_policies::ids::AgentId;
use wardwatch_policies::time::UnixMillis;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::AuthorityError;

const CA_LIFE: Duration = Duration::days(40 * 365);
/// Recorders are hard to reach: their certificates live long and are cut by the store.
const AGENT_LIFE: Duration = Duration::days(10 * 365);
const SERVER_LIFE: Duration = Duration::days(397);
const SERVER_RENEWAL: Duration = Duration::days(30);
/// An uncompressed point of P-256.
const P256_POINT_BYTES: usize = 65;

/// A request for a certificate whose signature was verified: its sender holds the private key.
pub struct CertificateRequest {
    key: PublicKey,
}

/// The PKCS #10 request cannot be granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRequest {
    #[error("it is not a PKCS #10 request with a valid signature of its own key")]
    Signature,
    #[error("its key is not ECDSA on P-256 with SHA-256")]
    Algorithm,
}

impl CertificateRequest {
    /// Takes only the public key from the request; names and extensions asked for are ignored.
    ///
    /// # Errors
    /// Not signed by its own key, or another kind of key.
    pub fn parse(der: &[u8]) -> Result<Self, InvalidRequest> {
        let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(der))
            .map_err(|_| InvalidRequest::Signature)?;
        let key = request.public_key;
        let is_p256 = key.algorithm() == &PKCS_ECDSA_P256_SHA256
            && key.der_bytes().len() == P256_POINT_BYTES
            && key.der_bytes()[0] == 4;
        if is_p256 { Ok(Self { key }) } else { Err(InvalidRequest::Algorithm) }
    }

    /// The public key as an uncompressed point.
    #[must_use]
    pub fn public_key(&self) -> &[u8] {
        self.key.der_bytes()
    }
}

/// An agent's certificate.
pub struct AgentCertificate {
    pub der: CertificateDer<'static>,
    /// Lower-case hex without leading zeros, as the broker shows it.
    pub serial: String,
}

/// Whose certificate this is, as [`crate::registry`] asks for it: the common name, and the serial number in
/// lower-case hex without leading zeros. Whether it is of our authority was verified before.
#[must_use]
pub fn holder(certificate: &CertificateDer<'_>) -> Option<(AgentId, String)> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let name = certificate.subject().iter_common_name().next()?.as_str().ok()?.parse().ok()?;
    Some((name, hex_without_leading_zeros(certificate.raw_serial())))
}

pub(super) fn generate_key() -> Result<KeyPair, AuthorityError> {
    Ok(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)
}

pub(super) fn authority(key: &KeyPair, now: UnixMillis) -> Result<Certificate, AuthorityError> {
    let mut params = params("Wardwatch authority", now, CA_LIFE)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params.self_signed(key)?)
}

pub(super) fn agent(
    agent: &AgentId,
    request: &CertificateRequest,
    ca: &CertificateDer<'_>,
    ca_key: &KeyPair,
    now: UnixMillis,
) -> Result<AgentCertificate, AuthorityError> {
    let mut params = params(agent.as_str(), now, AGENT_LIFE)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let serial = params.serial_number.as_ref().map(SerialNumber::to_bytes).unwrap_or_default();
    let certificate = params.signed_by(&request.key, &Issuer::from_ca_cert_der(ca, ca_key)?)?;
    Ok(AgentCertificate { der: certificate.der().clone(), serial: hex_without_leading_zeros(&serial) })
}

pub(super) fn server(
    hosts: &[String],
    key: &KeyPair,
    ca: &CertificateDer<'_>,
    ca_key: &KeyPair,
    now: UnixMillis,
) -> Result<Certificate, AuthorityError> {
    let mut params = params("Wardwatch collector", now, SERVER_LIFE)?;
    params.subject_alt_names = CertificateParams::new(hosts)?.subject_alt_names;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params.signed_by(key, &Issuer::from_ca_cert_der(ca, ca_key)?)?)
}

/// Whether the server certificate is of this key, names exactly these hosts and is not about to expire.
pub(super) fn serves(
    certificate: &CertificateDer<'_>,
    key: &KeyPair,
    hosts: &[String],
    now: UnixMillis,
) -> bool {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return false };
    // A crash between the writing of the two files leaves a pair that does not match.
    if certificate.public_key().subject_public_key.data != key.public_key_raw() {
        return false;
    }
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return hosts.is_empty() };
    let named: BTreeSet<String> = names.value.general_names.iter().filter_map(host).collect();
    let wanted: BTreeSet<String> = hosts
        .iter()
        .map(|host| host.parse::<IpAddr>().map_or_else(|_| host.clone(), |address| address.to_string()))
        .collect();
    let remaining = certificate.validity().not_after.timestamp() - now.0.div_euclid(1000);
    named == wanted && remaining > SERVER_RENEWAL.whole_seconds()
}

fn host(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(octets) => <[u8; 4]>::try_from(*octets)
            .map(IpAddr::from)
            .or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from))
            .ok()
            .map(|address| address.to_string()),
        _ => None,
    }
}

fn params(name: &str, now: UnixMillis, life: Duration) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    // Recorders start in 1970 and stay there until the collector has told them the time.
    params.not_before = OffsetDateTime::UNIX_EPOCH;
    params.not_after = OffsetDateTime::from_unix_timestamp(now.0.div_euclid(1000))
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
        .saturating_add(life);
    params.serial_number = Some(random_serial()?);
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// 128 bits, 126 of them random: positive, and of one length in every notation.
fn random_serial() -> Result<SerialNumber, AuthorityError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(AuthorityError::Random)?;
    bytes[0] = bytes[0] & 0x3f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn hex_without_leading_zeros(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.trim_start_matches('0').to_owned()
}
