//! COSE_Sign1 (RFC 9052) with EdDSA around every message, in both directions.
//!
//! The signature covers protocol version, direction, message kind and agent id, so that a message cannot be
//! replayed as another kind, in the other direction or to another agent. Nothing of the payload is decoded
//! before the signature is verified, but for an enrolment request, which itself names the key to verify with.

use std::fmt;

use coset::{CborSerializable, ContentType, CoseSign1, CoseSign1Builder, HeaderBuilder, iana};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wardwatch_policies::digest::Digest;
use wardwatch_policies::ids::AgentId;

/// The largest envelope that is sent or read, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;

const VERSION: u8 = 1;

/// What an envelope carries; it decides the direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Report,
    Heartbeat,
    Ack,
    Command,
    /// The root key vouches for a collector key.
    CollectorKey,
    /// An agent asks for a certificate.
    EnrolmentRequest,
    /// The root key vouches for a release key.
    ReleaseKey,
    /// The release key vouches for a program.
    Release,
}

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::Report,
        Self::Heartbeat,
        Self::Ack,
        Self::Command,
        Self::CollectorKey,
        Self::EnrolmentRequest,
        Self::ReleaseKey,
        Self::Release,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Heartbeat => "heartbeat",
            Self::Ack => "ack",
            Self::Command => "command",
            Self::CollectorKey => "collector-key",
            Self::EnrolmentRequest => "enrolment-request",
            Self::ReleaseKey => "release-key",
            Self::Release => "release",
        }
    }

    const fn direction(self) -> &'static str {
        match self {
            Self::Report | Self::Heartbeat | Self::EnrolmentRequest => "up",
            Self::Ack | Self::Command | Self::CollectorKey | Self::ReleaseKey | Self::Release => "down",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A signed message, as bytes. Its digest links the next report to it.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope(Vec<u8>);

impl Envelope {
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }
}

impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Envelope({} bytes, {})", self.0.len(), self.digest().short())
    }
}

/// The message cannot be sent.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("the message is not encodable: {0}")]
    Encode(String),
    #[error("the message has {0} bytes; at most {MAX_BYTES} are sent")]
    TooLarge(usize),
}

/// The bytes are not a message that may be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("the message has {0} bytes; at most {MAX_BYTES} are read")]
    TooLarge(usize),
    #[error("not a COSE_Sign1 message: {0}")]
    Malformed(String),
    #[error("the message is a {found}, expected {expected}")]
    WrongKind { found: String, expected: &'static str },
    #[error("the signature is not of this key, or for another agent, kind or direction")]
    Signature,
    #[error("signed, but its content cannot be read: {0}")]
    Payload(String),
}

/// Signs `payload` as `kind`, addressed to or sent by `agent`.
///
/// # Errors
/// The payload does not encode, or the envelope would be larger than [`MAX_BYTES`].
pub fn seal<T: Serialize>(
    kind: Kind,
    agent: &AgentId,
    key: &SigningKey,
    payload: &T,
) -> Result<Envelope, SealError> {
    let mut encoded = Vec::new();
    ciborium::into_writer(payload, &mut encoded).map_err(|e| SealError::Encode(e.to_string()))?;
    let protected =
        HeaderBuilder::new().algorithm(iana::Algorithm::EdDSA).content_type(content_type(kind)).build();
    let bytes = CoseSign1Builder::new()
        .protected(protected)
        .payload(encoded)
        .create_signature(&external_aad(kind, agent)?, |to_sign| key.sign(to_sign).to_bytes().to_vec())
        .build()
        .to_vec()
        .map_err(|e| SealError::Encode(e.to_string()))?;
    if bytes.len() > MAX_BYTES {
        return Err(SealError::TooLarge(bytes.len()));
    }
    Ok(Envelope(bytes))
}

/// An envelope that was taken apart, not yet verified.
pub struct Unverified {
    cose: CoseSign1,
    kind: Kind,
}

impl Unverified {
    /// Takes the outer shape apart. Bounded by [`MAX_BYTES`]; the payload stays unread.
    ///
    /// A message has one form: what the signature does not cover is not there, and what remains is encoded as
    /// [`seal`] does it. Else whoever passes it on could change its digest and its size.
    ///
    /// # Errors
    /// Too large, not COSE_Sign1, not EdDSA, of an unknown kind, or in another form.
    pub fn parse(bytes: &[u8]) -> Result<Self, OpenError> {
        if bytes.len() > MAX_BYTES {
            return Err(OpenError::TooLarge(bytes.len()));
        }
        let cose = CoseSign1::from_slice(bytes).map_err(|e| OpenError::Malformed(e.to_string()))?;
        let header = &cose.protected.header;
        if header.alg != Some(coset::RegisteredLabelWithPrivate::Assigned(iana::Algorithm::EdDSA)) {
            return Err(OpenError::Malformed("the algorithm is not EdDSA".into()));
        }
        if !header.crit.is_empty() {
            return Err(OpenError::Malformed("a critical header is not understood".into()));
        }
        let kind = Kind::ALL
            .into_iter()
            .find(|kind| header.content_type == Some(ContentType::Text(content_type(*kind))))
            .ok_or_else(|| OpenError::Malformed("an unknown kind of message".into()))?;
        if !cose.unprotected.is_empty() {
            return Err(OpenError::Malformed("it has a header that is not signed".into()));
        }
        if cose.clone().to_vec().ok().as_deref() != Some(bytes) {
            return Err(OpenError::Malformed("it is not encoded as senders do it".into()));
        }
        Ok(Self { cose, kind })
    }

    /// What the sender says this is; believed only once [`Self::verify`] succeeds.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Verifies the signature for this agent, then decodes.
    ///
    /// # Errors
    /// Another kind, a signature that does not hold, or a signed payload of another shape.
    pub fn verify<T: DeserializeOwned>(
        &self,
        kind: Kind,
        agent: &AgentId,
        key: &VerifyingKey,
    ) -> Result<T, OpenError> {
        if self.kind != kind {
            return Err(OpenError::WrongKind { found: self.kind.to_string(), expected: kind.as_str() });
        }
        let aad = external_aad(kind, agent).map_err(|e| OpenError::Malformed(e.to_string()))?;
        self.cose.verify_signature(&aad, |signature, signed| {
            let signature = Signature::from_slice(signature).map_err(|_| OpenError::Signature)?;
            key.verify_strict(signed, &signature).map_err(|_| OpenError::Signature)
        })?;
        self.payload()
    }

    /// Decodes without verifying: for a person who looks at a captured message, and for a request that names
    /// the key it is signed with. Nothing in it may be believed.
    ///
    /// # Errors
    /// The payload has another shape.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<T, OpenError> {
        let payload =
            self.cose.payload.as_deref().ok_or_else(|| OpenError::Malformed("no payload".into()))?;
        ciborium::from_reader(payload).map_err(|e| OpenError::Payload(e.to_string()))
    }
}

/// Parses, verifies and decodes in one call.
///
/// # Errors
/// As [`Unverified::parse`] and [`Unverified::verify`].
pub fn open<T: DeserializeOwned>(
    bytes: &[u8],
    kind: Kind,
    agent: &AgentId,
    key: &VerifyingKey,
) -> Result<T, OpenError> {
    Unverified::parse(bytes)?.verify(kind, agent, key)
}

fn content_type(kind: Kind) -> String {
    format!("application/wardwatch-{kind}+cbor")
}

fn external_aad(kind: Kind, agent: &AgentId) -> Result<Vec<u8>, SealError> {
    let mut aad = Vec::new();
    ciborium::into_writer(&(VERSION, kind.direction(), kind.as_str(), agent), &mut aad)
        .map_err(|e| SealError::Encode(e.to_string()))?;
    Ok(aad)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn agent(id: &str) -> AgentId {
        id.parse().unwrap()
    }

    fn sealed() -> Envelope {
        seal(Kind::Report, &agent("a"), &key(1), &"xin chào").unwrap()
    }

    #[test]
    fn a_message_opens_only_as_what_it_was_sealed() {
        let bytes = sealed().into_bytes();
        let right = key(1).verifying_key();
        assert_eq!(open::<String>(&bytes, Kind::Report, &agent("a"), &right).unwrap(), "xin chào");
        assert_eq!(open::<String>(&bytes, Kind::Report, &agent("b"), &right), Err(OpenError::Signature));
        assert_eq!(
            open::<String>(&bytes, Kind::Report, &agent("a"), &key(2).verifying_key()),
            Err(OpenError::Signature)
        );
        assert!(matches!(
            open::<String>(&bytes, Kind::Heartbeat, &agent("a"), &right),
            Err(OpenError::WrongKind { .. })
        ));
        assert!(matches!(open::<u64>(&bytes, Kind::Report, &agent("a"), &right), Err(OpenError::Payload(_))));
    }

    #[test]
    fn too_much_is_refused_before_it_is_decoded() {
        let bytes = vec![0; MAX_BYTES + 1];
        assert!(matches!(Unverified::parse(&bytes), Err(OpenError::TooLarge(_))));
        let big = vec![0u8; MAX_BYTES];
        assert!(matches!(
            seal(Kind::Report, &agent("a"), &key(1), &serde_bytes::ByteBuf::from(big)),
            Err(SealError::TooLarge(_))
        ));
    }

    #[test]
    fn nobody_on_the_way_can_give_a_message_another_form() {
        let sealed = sealed().into_bytes();
        let cose = CoseSign1::from_slice(&sealed).unwrap();
        let padded = CoseSign1 {
            unprotected: HeaderBuilder::new().text_value("pad".into(), "x".into()).build(),
            ..cose.clone()
        };
        // The same signature, as a byte string of 64 bytes whose length is written in two bytes and not in one.
        let at = sealed.len() - 66;
        assert_eq!(sealed[at..at + 2], [0x58, 64]);
        let longer = [&sealed[..at], &[0x59, 0, 64], &sealed[at + 2..]].concat();
        assert_eq!(CoseSign1::from_slice(&longer).unwrap(), cose);
        for other in [padded.to_vec().unwrap(), longer] {
            let opened = open::<String>(&other, Kind::Report, &agent("a"), &key(1).verifying_key());
            assert!(matches!(opened, Err(OpenError::Malformed(_))), "{opened:?}");
        }
    }

    #[test]
    fn the_envelope_costs_little() {
        let payload = serde_bytes::ByteBuf::from(vec![7; 500]);
        let envelope = seal(Kind::Report, &agent("a"), &key(1), &payload).unwrap();
        assert!(envelope.as_bytes().len() - 500 < 130, "{}", envelope.as_bytes().len());
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_noticed(position in 0usize..200, bit in 0u8..8) {
            let mut bytes = sealed().into_bytes();
            let position = position % bytes.len();
            bytes[position] ^= 1 << bit;
            prop_assert!(open::<String>(&bytes, Kind::Report, &agent("a"), &key(1).verifying_key()).is_err());
        }

        #[test]
        fn any_truncation_is_noticed(length in 0usize..200) {
            let bytes = sealed().into_bytes();
            let length = length % bytes.len();
            prop_assert!(open::<String>(&bytes[..length], Kind::Report, &agent("a"), &key(1).verifying_key()).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = open::<String>(&bytes, Kind::Report, &agent("a"), &key(1).verifying_key());
        }
    }
}
