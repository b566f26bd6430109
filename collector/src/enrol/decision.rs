//! Whether a request for enrolment is granted. Pure: what is known of token and endpoint is passed in.

use ed25519_dalek::VerifyingKey;
use subtle::ConstantTimeEq;
use wardwatch_policies::digest::Digest;
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::enrolment::{EnrolmentRequest, MAX_REQUEST_BYTES, Refusal};
use wardwatch_wire::envelope::{Kind, OpenError, Unverified};

use crate::authority::{CertificateRequest, InvalidRequest};
use crate::store::endpoints::{Endpoint, State};
use crate::store::tokens::Token;

/// The longest name DNS allows.
const MAX_HOSTNAME_BYTES: usize = 253;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("the request is larger than {MAX_REQUEST_BYTES} bytes")]
    Oversize,
    #[error("the request is not readable: {0}")]
    Malformed(OpenError),
    #[error("the request is not signed by the report key it names")]
    Signature,
    #[error("the certificate request cannot be granted: {0}")]
    Certificate(#[from] InvalidRequest),
    #[error("the host name is longer than {MAX_HOSTNAME_BYTES} bytes or holds control characters")]
    Hostname,
    /// Unknown or with another secret: which of the two is not told.
    #[error("the token is not known here")]
    Token,
    #[error("the token was revoked")]
    Revoked,
    #[error("the token has expired")]
    Expired,
    #[error("the token is used up")]
    UsedUp,
    #[error("another endpoint is enrolled under this agent id")]
    Taken,
    #[error("the endpoint was removed")]
    Removed,
    #[error("too many requests come from this address")]
    TooMany,
    #[error("the request did not arrive in time")]
    Slow,
    #[error("the collector cannot answer now")]
    Unavailable,
}

impl Refused {
    /// The label of the metric.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Oversize => "oversize",
            Self::Malformed(_) => "malformed",
            Self::Signature => "signature",
            Self::Certificate(_) => "certificate-request",
            Self::Hostname => "hostname",
            Self::Token => "token",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::UsedUp => "used-up",
            Self::Taken => "taken",
            Self::Removed => "removed",
            Self::TooMany => "too-many",
            Self::Slow => "slow",
            Self::Unavailable => "unavailable",
        }
    }

    /// What the person who enrols is told.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        let remedy = match self {
            Self::Oversize | Self::Malformed(_) | Self::Signature | Self::Certificate(_) => {
                "use an agent of the collector's version"
            }
            Self::Hostname => "give this machine a shorter host name",
            Self::Token | Self::Revoked | Self::Expired | Self::UsedUp => {
                "ask the central office for a new enrolment string"
            }
            Self::Taken | Self::Removed => {
                "delete the agent's state directory and enrol anew with a new enrolment string"
            }
            Self::TooMany | Self::Slow | Self::Unavailable => "try again in a minute",
        };
        Refusal { problem: self.to_string(), remedy: remedy.to_owned() }
    }
}

/// A request that is what it says: signed by its report key, with a certificate request signed by its TLS key.
pub struct Request {
    pub body: EnrolmentRequest,
    pub report_key: VerifyingKey,
    pub certificate: CertificateRequest,
    /// Of agent id and both keys: tells a repeated request from another.
    pub keys: Digest,
}

/// Takes the envelope apart and verifies all that needs no store.
///
/// # Errors
/// Too large, malformed, or not signed by the keys it names.
pub fn read(bytes: &[u8]) -> Result<Request, Refused> {
    if bytes.len() > MAX_REQUEST_BYTES {
        return Err(Refused::Oversize);
    }
    let envelope = Unverified::parse(bytes).map_err(Refused::Malformed)?;
    // Read before it is verified, for it names the key to verify with; bounded by the size above.
    let claimed: EnrolmentRequest = envelope.payload().map_err(Refused::Malformed)?;
    let report_key = VerifyingKey::from_bytes(&claimed.report_key).map_err(|_| Refused::Signature)?;
    let body: EnrolmentRequest = envelope
        .verify(Kind::EnrolmentRequest, &claimed.agent, &report_key)
        .map_err(|error| match error {
            OpenError::Signature => Refused::Signature,
            other => Refused::Malformed(other),
        })?;
    if body.hostname.len() > MAX_HOSTNAME_BYTES || body.hostname.chars().any(char::is_control) {
        return Err(Refused::Hostname);
    }
    let certificate = CertificateRequest::parse(&body.csr)?;
    let keys = [&body.report_key, certificate.public_key(), body.agent.as_str().as_bytes()].concat();
    Ok(Request { keys: Digest::of(&keys), report_key, certificate, body })
}

/// What the store knows of the token and the endpoint that a request names.
pub struct Known<'a> {
    pub token: Option<&'a Token>,
    pub endpoint: Option<&'a Endpoint>,
    /// What these keys were answered for this token before.
    pub earlier: Option<Vec<u8>>,
}

/// The answer to a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// The reply was lost on its way: the same again.
    Repeat(Vec<u8>),
    /// A new certificate; the endpoint begins in this state.
    Enrol(State),
}

/// Decides a request, in the collector's time.
///
/// # Errors
/// Why it is refused.
pub fn judge(request: &Request, known: Known<'_>, now: UnixMillis) -> Result<Decision, Refused> {
    let secret = Digest::of(&request.body.token.secret);
    let token = known
        .token
        .filter(|token| bool::from(token.secret_digest.as_bytes().ct_eq(secret.as_bytes())))
        .ok_or(Refused::Token)?;
    if token.revoked.is_some() {
        return Err(Refused::Revoked);
    }
    if let Some(endpoint) = known.endpoint {
        if endpoint.report_key != request.report_key {
            return Err(Refused::Taken);
        }
        if endpoint.state == State::Removed {
            return Err(Refused::Removed);
        }
    }
    if let Some(reply) = known.earlier {
        return Ok(Decision::Repeat(reply));
    }
    if token.expires <= now {
        return Err(Refused::Expired);
    }
    if token.uses_left == 0 {
        return Err(Refused::UsedUp);
    }
    Ok(Decision::Enrol(if token.uses > 1 { State::Pending } else { State::Active }))
}
