//! How a program becomes a release that this collector holds: it is the one that the release key signed, runs on
//! the target, and was built as the version that it is given for.

use wardwatch_incidents::change::{Actor, Change};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::release::{Target, Version};
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::release::{MAX_PROGRAM_BYTES, Release, open_release};

use super::{ReleaseError, Releases};
use crate::store::releases::{self, Held};

/// A release that was given, and what is new in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    pub release: Release,
    pub news: News,
}

/// What was not held before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    Release,
    /// The program was held, and its signature is another now.
    Signature,
    Nothing,
}

impl News {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Signature => "signature",
            Self::Nothing => "nothing",
        }
    }
}

/// The program was built as another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" stands nowhere in the program, so it was built as another version and every endpoint would refuse it; \
     sign it as the version that it says with --version, or build it anew as {0}"
)]
pub struct OtherVersion(Version);

/// Whether a program may be given as this version: its text stands somewhere in the bytes. That it says just this
/// is asked on each endpoint; here it may be of a machine that this one cannot run programs of.
///
/// # Errors
/// It does not.
pub fn says(program: &[u8], version: Version) -> Result<(), OtherVersion> {
    let text = version.to_string();
    if program.windows(text.len()).any(|bytes| bytes == text.as_bytes()) {
        Ok(())
    } else {
        Err(OtherVersion(version))
    }
}

/// What `given` is to the held releases of its version.
fn compare(held: &[Held], given: &Held) -> Result<News, ReleaseError> {
    let Release { version, target, digest, .. } = &given.release;
    match held.iter().find(|held| held.release.target == *target) {
        None => Ok(News::Release),
        Some(held) if held.release.digest != *digest => Err(ReleaseError::Taken(*version, target.clone())),
        Some(held) if held.sealed != given.sealed => Ok(News::Signature),
        Some(_) => Ok(News::Nothing),
    }
}

impl Releases {
    /// Takes in a program with its release. The same program signed anew takes the place of what was signed before.
    ///
    /// # Errors
    /// It is not signed by the release key, is another program or for another machine or version, or cannot be
    /// kept.
    pub async fn add(
        &self,
        actor: &Actor,
        sealed: Vec<u8>,
        program: &[u8],
        now: UnixMillis,
    ) -> Result<Added, ReleaseError> {
        let key = &self.authority.release().ok_or(ReleaseError::NoReleaseKey)?.key;
        let release = open_release(&sealed, key).map_err(ReleaseError::Untrusted)?;
        if program.len() as u64 > MAX_PROGRAM_BYTES {
            return Err(ReleaseError::TooLarge);
        }
        if release.size != program.len() as u64 || release.digest != Digest::of(program) {
            return Err(ReleaseError::OtherProgram);
        }
        release.target.fits(&program[..program.len().min(Target::HEAD_BYTES)])?;
        says(program, release.version)?;
        let given = Held { release, sealed, added: now };
        // Refused before its program is kept: nothing would ever refer to that.
        let mut db = self.store.reader().acquire().await?;
        compare(&releases::of_version(&mut db, given.release.version).await?, &given)?;
        drop(db);
        self.blobs.keep(program).await?;
        let mut tx = self.store.write().await?;
        let news = compare(&releases::of_version(&mut tx, given.release.version).await?, &given)?;
        let Release { version, target, digest, size, .. } = given.release.clone();
        let change = match news {
            News::Release => {
                releases::add(&mut tx, &given).await?;
                Some(Change::ReleaseAdded { version, target, digest, size })
            }
            News::Signature => {
                releases::sign_anew(&mut tx, &given).await?;
                Some(Change::ReleaseSignedAnew { version, target })
            }
            News::Nothing => None,
        };
        if let Some(change) = change {
            self.commit(tx, actor, vec![change], &[], now).await?;
        }
        Ok(Added { release: given.release, news })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_given_as_a_version_whose_text_it_holds() {
        let version = "1.2.0".parse().unwrap();
        assert_eq!(says(b"\x7fELF wardwatch-agent 1.2.0\n", version), Ok(()));
        for other in [&b""[..], b"1.2", b"\x7fELF wardwatch-agent 1.2.1\n"] {
            assert_eq!(says(other, version), Err(OtherVersion(version)));
        }
        insta::assert_snapshot!(OtherVersion(version), @r#""1.2.0" stands nowhere in the program, so it was built as another version and every endpoint would refuse it; sign it as the version that it says with --version, or build it anew as 1.2.0"#);
    }
}
