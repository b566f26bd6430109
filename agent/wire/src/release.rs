//! Releases: which program agents may become, in the release key's word. The program itself is fetched by its
//! digest.
//!
//! The chain of trust goes with every release: the root key, whose digest an agent knows since it enrolled,
//! vouches for the release key, and that for the release. So the collector needs neither private key, and the
//! release key can be replaced without a word to any agent.

use ed25519_dalek::{SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::release::{Target, Version};
use wardwatch_policies::time::UnixMillis;

use crate::enrolment::all_agents;
use crate::envelope::{self, Envelope, Kind, OpenError, SealError};

/// The largest program that may be a release, in bytes: ten times what an agent should be.
pub const MAX_PROGRAM_BYTES: u64 = 64 * 1024 * 1024;
/// Where the programs of releases are fetched: `GET {BLOBS}/{digest}`.
pub const BLOBS: &str = "/blobs/v1";
/// The most that one request for a part of a program is answered with, in bytes.
pub const MAX_PART_BYTES: u64 = 256 * 1024;

/// The largest signed word of a chain, in bytes: ten times what it needs.
const MAX_WORD_BYTES: usize = 4096;

/// A program of one version for one target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    pub version: Version,
    pub target: Target,
    /// Of the program.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    pub made: UnixMillis,
}

/// The root key's word for a release key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseKey {
    /// Rises whenever the key is replaced; an agent takes none that is lower than one it has seen.
    pub serial: u64,
    #[serde(with = "serde_bytes")]
    pub key: [u8; 32],
}

/// A release with all that is needed to believe it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedRelease {
    /// The public root key, 32 bytes of Ed25519.
    #[serde(with = "serde_bytes")]
    pub root_key: [u8; 32],
    /// A [`ReleaseKey`] in an envelope made by [`seal_release_key`].
    #[serde(with = "serde_bytes")]
    pub release_key: Vec<u8>,
    /// A [`Release`] in an envelope made by [`seal_release`].
    #[serde(with = "serde_bytes")]
    pub release: Vec<u8>,
}

impl std::fmt::Debug for SealedRelease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealedRelease({})", Digest::of(&self.release).short())
    }
}

/// Signs the root key's word for a release key.
///
/// # Errors
/// The word is not encodable.
pub fn seal_release_key(root: &SigningKey, word: &ReleaseKey) -> Result<Envelope, SealError> {
    envelope::seal(Kind::ReleaseKey, &all_agents(), root, word)
}

/// Signs a release.
///
/// # Errors
/// The release is not encodable.
pub fn seal_release(key: &SigningKey, release: &Release) -> Result<Envelope, SealError> {
    envelope::seal(Kind::Release, &all_agents(), key, release)
}

/// Verifies the root key's word for a release key.
///
/// # Errors
/// The root key did not sign it.
pub fn open_release_key(word: &[u8], root: &VerifyingKey) -> Result<(VerifyingKey, ReleaseKey), OpenError> {
    let word: ReleaseKey = envelope::open(word, Kind::ReleaseKey, &all_agents(), root)?;
    let key = VerifyingKey::from_bytes(&word.key).map_err(|_| OpenError::Signature)?;
    Ok((key, word))
}

/// Verifies a release.
///
/// # Errors
/// The release key did not sign it.
pub fn open_release(release: &[u8], key: &VerifyingKey) -> Result<Release, OpenError> {
    envelope::open(release, Kind::Release, &all_agents(), key)
}

impl SealedRelease {
    /// Verifies the whole chain, from the root key with the digest `root` on. Returns the release and the
    /// serial of the key that signed it.
    ///
    /// # Errors
    /// Which link does not hold.
    pub fn open(&self, root: Digest) -> Result<(Release, u64), UntrustedRelease> {
        if Digest::of(&self.root_key) != root {
            return Err(UntrustedRelease::Root);
        }
        if let Some(bytes) =
            [&self.release_key, &self.release].map(Vec::len).into_iter().find(|bytes| *bytes > MAX_WORD_BYTES)
        {
            return Err(UntrustedRelease::TooLarge(bytes));
        }
        let root = VerifyingKey::from_bytes(&self.root_key).map_err(|_| UntrustedRelease::Root)?;
        let (key, word) = open_release_key(&self.release_key, &root).map_err(UntrustedRelease::ReleaseKey)?;
        let release = open_release(&self.release, &key).map_err(UntrustedRelease::Release)?;
        Ok((release, word.serial))
    }

    /// What it says of itself, not verified: for a person who looks, nothing to act by.
    #[must_use]
    pub fn claimed(&self) -> Option<Release> {
        envelope::Unverified::parse(&self.release).ok()?.payload().ok()
    }
}

/// The release is not what the root key vouches for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UntrustedRelease {
    #[error("its root key is not the one that this agent enrolled with")]
    Root,
    #[error("its release key is not vouched for by the root key: {0}")]
    ReleaseKey(OpenError),
    #[error("it is not signed by the release key: {0}")]
    Release(OpenError),
    #[error("a signed word of it has {0} bytes; at most {MAX_WORD_BYTES} are read")]
    TooLarge(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn release() -> Release {
        Release {
            version: "0.2.0".parse().unwrap(),
            target: "x86_64-unknown-linux-musl".parse().unwrap(),
            digest: Digest::of(b"program"),
            size: 7,
            made: UnixMillis(1_000),
        }
    }

    fn sealed(root: &SigningKey, voucher: &SigningKey, signer: &SigningKey) -> SealedRelease {
        let word = ReleaseKey { serial: 4, key: key(2).verifying_key().to_bytes() };
        SealedRelease {
            root_key: root.verifying_key().to_bytes(),
            release_key: seal_release_key(voucher, &word).unwrap().into_bytes(),
            release: seal_release(signer, &release()).unwrap().into_bytes(),
        }
    }

    #[test]
    fn a_release_is_believed_only_by_an_unbroken_chain_from_the_known_root() {
        let (root, release_key, other) = (key(1), key(2), key(9));
        let known = Digest::of(&root.verifying_key().to_bytes());
        assert_eq!(sealed(&root, &root, &release_key).open(known), Ok((release(), 4)));
        assert_eq!(sealed(&other, &other, &release_key).open(known), Err(UntrustedRelease::Root));
        assert_eq!(
            sealed(&root, &other, &release_key).open(known),
            Err(UntrustedRelease::ReleaseKey(OpenError::Signature))
        );
        assert_eq!(
            sealed(&root, &root, &other).open(known),
            Err(UntrustedRelease::Release(OpenError::Signature))
        );
        assert_eq!(
            sealed(&root, &root, &root).open(known),
            Err(UntrustedRelease::Release(OpenError::Signature)),
            "the root key signs keys, not programs"
        );
    }

    #[test]
    fn what_an_agent_writes_down_of_it_is_bounded() {
        let (root, release_key) = (key(1), key(2));
        let known = Digest::of(&root.verifying_key().to_bytes());
        let long =
            Release { target: format!("x86_64-unknown-{}", "x".repeat(48)).parse().unwrap(), ..release() };
        let mut large = sealed(&root, &root, &release_key);
        large.release = seal_release(&release_key, &long).unwrap().into_bytes();
        assert!(large.open(known).is_ok());
        large.release = vec![0; MAX_WORD_BYTES + 1];
        assert_eq!(large.open(known), Err(UntrustedRelease::TooLarge(MAX_WORD_BYTES + 1)));
    }

    #[test]
    fn another_message_of_the_release_key_is_no_release() {
        let (root, release_key) = (key(1), key(2));
        let mut swapped = sealed(&root, &root, &release_key);
        swapped.release =
            envelope::seal(Kind::Command, &all_agents(), &release_key, &release()).unwrap().into_bytes();
        let known = Digest::of(&root.verifying_key().to_bytes());
        assert!(matches!(swapped.open(known), Err(UntrustedRelease::Release(OpenError::WrongKind { .. }))));
    }
}
