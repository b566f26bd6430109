//! Whether a release may come to this machine. Pure.

use wardwatch_policies::digest::Digest;
use wardwatch_policies::release::{Target, Version};
use wardwatch_wire::release::{MAX_PROGRAM_BYTES, Release, SealedRelease, UntrustedRelease};

/// What this machine holds a release against.
#[derive(Debug, Clone)]
pub struct Ground {
    /// The digest of the root key, from the enrolment string.
    pub root: Digest,
    pub target: Target,
    /// The highest version that was ever tried here, the installed one included.
    pub highest: Version,
    /// The highest serial of a release key that was ever believed here.
    pub key_serial: u64,
}

/// Why a release does not come here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Untrusted(#[from] UntrustedRelease),
    #[error("it is signed by release key {found}, which key {known} has replaced")]
    OldKey { found: u64, known: u64 },
    #[error("it is for {0}, this machine is {1}")]
    OtherTarget(Target, Target),
    #[error("version {found} is not newer than {highest}, the highest that was ever tried here")]
    NotNewer { found: Version, highest: Version },
    #[error("it has {0} bytes; at most {MAX_PROGRAM_BYTES} are taken")]
    TooLarge(u64),
}

/// The release, and the serial of the key that signed it, if it may come here.
///
/// # Errors
/// Why it may not.
pub fn judge(sealed: &SealedRelease, ground: &Ground) -> Result<(Release, u64), Refused> {
    let (release, serial) = sealed.open(ground.root)?;
    if serial < ground.key_serial {
        return Err(Refused::OldKey { found: serial, known: ground.key_serial });
    }
    if release.target != ground.target {
        return Err(Refused::OtherTarget(release.target, ground.target.clone()));
    }
    if release.version <= ground.highest {
        return Err(Refused::NotNewer { found: release.version, highest: ground.highest });
    }
    if release.size > MAX_PROGRAM_BYTES {
        return Err(Refused::TooLarge(release.size));
    }
    Ok((release, serial))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::SigningKey;
    use wardwatch_policies::time::UnixMillis;
    use wardwatch_wire::release::{ReleaseKey, seal_release, seal_release_key};

    const TARGET: &str = "armv7-unknown-linux-musleabihf";

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn release() -> Release {
        Release {
            version: "0.2.0".parse().unwrap(),
            target: TARGET.parse().unwrap(),
            digest: Digest::of(b"program"),
            size: 7,
            made: UnixMillis(0),
        }
    }

    fn sealed(release: &Release) -> SealedRelease {
        let word = ReleaseKey { serial: 2, key: key(2).verifying_key().to_bytes() };
        SealedRelease {
            root_key: key(1).verifying_key().to_bytes(),
            release_key: seal_release_key(&key(1), &word).unwrap().into_bytes(),
            release: seal_release(&key(2), release).unwrap().into_bytes(),
        }
    }

    fn ground() -> Ground {
        Ground {
            root: Digest::of(&key(1).verifying_key().to_bytes()),
            target: TARGET.parse().unwrap(),
            highest: "0.1.0".parse().unwrap(),
            key_serial: 1,
        }
    }

    #[test]
    fn a_newer_release_for_this_target_comes_in() {
        assert_eq!(judge(&sealed(&release()), &ground()), Ok((release(), 2)));
    }

    #[test]
    fn what_is_forged_older_foreign_or_too_large_stays_out() {
        let mut forged = sealed(&release());
        forged.release = seal_release(&key(9), &release()).unwrap().into_bytes();
        assert!(matches!(judge(&forged, &ground()), Err(Refused::Untrusted(UntrustedRelease::Release(_)))));

        for version in ["0.2.0", "0.3.0"] {
            let ground = Ground { highest: version.parse().unwrap(), ..ground() };
            assert!(
                matches!(judge(&sealed(&release()), &ground), Err(Refused::NotNewer { .. })),
                "{version}"
            );
        }

        let other = Release { target: "aarch64-unknown-linux-musl".parse().unwrap(), ..release() };
        assert!(matches!(judge(&sealed(&other), &ground()), Err(Refused::OtherTarget(..))));

        let large = Release { size: MAX_PROGRAM_BYTES + 1, ..release() };
        assert_eq!(judge(&sealed(&large), &ground()), Err(Refused::TooLarge(MAX_PROGRAM_BYTES + 1)));

        let replaced = Ground { key_serial: 3, ..ground() };
        assert_eq!(judge(&sealed(&release()), &replaced), Err(Refused::OldKey { found: 2, known: 3 }));
    }
}
