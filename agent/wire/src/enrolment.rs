//! The enrolment string, the request it allows and the reply.
//!
//! The string is a secret: it carries a token. It never stands on a command line.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::ids::{AgentId, EndpointKind, UnitId};

use crate::envelope::{self, Envelope, Kind, OpenError, SealError};

const PREFIX: &str = "wardwatch1.";
/// The longest enrolment string that is read, in bytes.
pub const MAX_STRING_BYTES: usize = 16 * 1024;
/// The largest enrolment request and reply, in bytes.
pub const MAX_REQUEST_BYTES: usize = 16 * 1024;
/// Where a request is posted, as `application/cose`.
pub const PATH: &str = "/enrol/v1";

/// All a new agent needs to find its collector and to know it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolmentString {
    /// Host names or addresses, tried in turn.
    pub hosts: Vec<String>,
    /// TCP port of the HTTPS listener that answers enrolment requests.
    pub enrol_port: u16,
    /// TCP port of the MQTT broker.
    pub mqtt_port: u16,
    pub token: Token,
    /// The certificate authority, X.509 in DER.
    #[serde(with = "serde_bytes")]
    pub ca: Vec<u8>,
    /// The digest of the root key, 32 bytes of Ed25519.
    pub root: Digest,
}

/// The right to enrol. The collector stores only its digest.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Names the token in lists and logs; not secret.
    pub id: u64,
    #[serde(with = "serde_bytes")]
    pub secret: [u8; 32],
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, ..)", self.id)
    }
}

impl fmt::Debug for EnrolmentString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EnrolmentString({:?}, {:?})", self.hosts, self.token)
    }
}

/// The text is not an enrolment string. It is not repeated here: it may hold a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidString {
    #[error(
        "this is not an enrolment string, which begins with \"{PREFIX}\"; copy the whole line that `token create` printed"
    )]
    Prefix,
    #[error("the enrolment string is damaged or cut off; copy the whole line that `token create` printed")]
    Damaged,
}

impl EnrolmentString {
    /// The text to hand over. It is a secret.
    #[must_use]
    pub fn to_secret_text(&self) -> String {
        let mut bytes = Vec::new();
        ciborium::into_writer(self, &mut bytes).expect("writing to memory cannot fail");
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for EnrolmentString {
    type Err = InvalidString;

    fn from_str(text: &str) -> Result<Self, InvalidString> {
        if text.len() > MAX_STRING_BYTES {
            return Err(InvalidString::Damaged);
        }
        let text: String = text.split_whitespace().collect();
        let encoded = text.strip_prefix(PREFIX).ok_or(InvalidString::Prefix)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| InvalidString::Damaged)?;
        let string: Self = ciborium::from_reader(bytes.as_slice()).map_err(|_| InvalidString::Damaged)?;
        if string.hosts.is_empty() { Err(InvalidString::Damaged) } else { Ok(string) }
    }
}

/// Asks for a certificate. Signed by the report key it names, as [`crate::envelope::Kind::EnrolmentRequest`]
/// for the agent id it asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolmentRequest {
    pub token: Token,
    /// Chosen by the agent; the certificate's common name.
    pub agent: AgentId,
    /// A PKCS #10 request in DER for the TLS key.
    #[serde(with = "serde_bytes")]
    pub csr: Vec<u8>,
    /// The Ed25519 key that will sign reports.
    #[serde(with = "serde_bytes")]
    pub report_key: [u8; 32],
    /// Makes two requests of the same keys differ.
    pub nonce: crate::report::Nonce,
    pub hostname: String,
}

/// The answer: the same for the same token and keys, however often it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolmentReply {
    pub agent: AgentId,
    /// The agent's certificate and its issuers, X.509 in DER, leaf first.
    pub chain: Vec<serde_bytes::ByteBuf>,
    /// The root key, 32 bytes of Ed25519; its digest must be the one in the string.
    #[serde(with = "serde_bytes")]
    pub root_key: [u8; 32],
    /// A [`CollectorKey`] in an envelope made by [`seal_collector_key`]; the same for all agents.
    #[serde(with = "serde_bytes")]
    pub collector_key: Vec<u8>,
    pub kind: EndpointKind,
    pub unit: UnitId,
    /// A person must approve the endpoint before its reports count.
    pub pending: bool,
}

/// The root key's word for a collector key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectorKey {
    /// Rises with every rotation; an agent takes only a higher one.
    pub serial: u64,
    #[serde(with = "serde_bytes")]
    pub key: [u8; 32],
}

/// A request was refused; the body of the HTTP answer, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{problem}; {remedy}")]
pub struct Refusal {
    pub problem: String,
    pub remedy: String,
}

/// Whom the root key's word is addressed to: all agents alike, so that the root key can be offline while
/// agents enrol.
const ALL_AGENTS: &str = "all-agents";

#[must_use]
pub fn all_agents() -> AgentId {
    ALL_AGENTS.parse().expect("a constant within the characters of an agent id")
}

/// Signs the root key's word for a collector key. Needed at `init` and for a rotation, never to enrol.
///
/// # Errors
/// The word is not encodable.
pub fn seal_collector_key(root: &SigningKey, word: &CollectorKey) -> Result<Envelope, SealError> {
    envelope::seal(Kind::CollectorKey, &all_agents(), root, word)
}

/// Verifies the root key and its word for the collector key against what the enrolment string promised.
///
/// # Errors
/// Another root key, or a word that it did not sign.
pub fn verify_collector_key(
    root: Digest,
    reply: &EnrolmentReply,
) -> Result<(VerifyingKey, CollectorKey), UntrustedReply> {
    if Digest::of(&reply.root_key) != root {
        return Err(UntrustedReply::Root);
    }
    let root_key = VerifyingKey::from_bytes(&reply.root_key).map_err(|_| UntrustedReply::Root)?;
    let word: CollectorKey =
        envelope::open(&reply.collector_key, Kind::CollectorKey, &all_agents(), &root_key)
            .map_err(UntrustedReply::CollectorKey)?;
    let key = VerifyingKey::from_bytes(&word.key)
        .map_err(|_| UntrustedReply::CollectorKey(OpenError::Signature))?;
    Ok((key, word))
}

/// The answer does not come from the collector that the enrolment string names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UntrustedReply {
    #[error("the root key is not the one that the enrolment string names; someone else may have answered")]
    Root,
    #[error("the collector key is not vouched for by the root key: {0}")]
    CollectorKey(OpenError),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string() -> EnrolmentString {
        EnrolmentString {
            hosts: vec!["192.0.2.1".into(), "trung-tam.example".into()],
            enrol_port: 8443,
            mqtt_port: 8883,
            token: Token { id: 7, secret: [9; 32] },
            ca: vec![1; 400],
            root: Digest::of(b"root"),
        }
    }

    #[test]
    fn the_string_survives_line_breaks_of_a_mail_program() {
        let text = string().to_secret_text();
        let (first, second) = text.split_at(100);
        assert_eq!(format!("  {first}\r\n {second}\n").parse(), Ok(string()));
    }

    #[test]
    fn a_cut_or_foreign_string_says_what_to_do() {
        let text = string().to_secret_text();
        assert_eq!(text[..text.len() - 9].parse::<EnrolmentString>(), Err(InvalidString::Damaged));
        assert_eq!("hello".parse::<EnrolmentString>(), Err(InvalidString::Prefix));
        assert_eq!("x".repeat(20_000).parse::<EnrolmentString>(), Err(InvalidString::Damaged));
    }

    #[test]
    fn a_collector_key_is_believed_only_by_the_promised_root_keys_word() {
        let root = SigningKey::from_bytes(&[1; 32]);
        let word =
            CollectorKey { serial: 3, key: SigningKey::from_bytes(&[2; 32]).verifying_key().to_bytes() };
        let reply = |root: &SigningKey, signer: &SigningKey| EnrolmentReply {
            agent: "a".parse().unwrap(),
            chain: Vec::new(),
            root_key: root.verifying_key().to_bytes(),
            collector_key: seal_collector_key(signer, &word).unwrap().into_bytes(),
            kind: EndpointKind::OfficePc,
            unit: "phuong-1".parse().unwrap(),
            pending: false,
        };
        let promised = Digest::of(&root.verifying_key().to_bytes());
        let (key, told) = verify_collector_key(promised, &reply(&root, &root)).unwrap();
        assert_eq!((key.to_bytes(), told), (word.key, word.clone()));

        let other = SigningKey::from_bytes(&[9; 32]);
        assert_eq!(
            verify_collector_key(promised, &reply(&root, &other)),
            Err(UntrustedReply::CollectorKey(OpenError::Signature))
        );
        assert_eq!(verify_collector_key(promised, &reply(&other, &other)), Err(UntrustedReply::Root));
    }

    #[test]
    fn the_token_never_shows_in_debug_output() {
        assert_eq!(
            format!("{:?}", string()),
            "EnrolmentString([\"192.0.2.1\", \"trung-tam.example\"], Token(7, ..))"
        );
    }
}
