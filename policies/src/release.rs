//! Words of releases: a signed agent program of one version for one target. Signing and carrying them is
//! the wire's part.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::foreign::shorten_to_chars;

/// A version of the agent's program, as in `1.12.0`. Ordered by its numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

/// The text is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a version; write three numbers, as in 1.12.0")]
pub struct InvalidVersion(String);

impl FromStr for Version {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, InvalidVersion> {
        let parse = || {
            let mut parts = text.splitn(3, '.').map(|part| part.parse().ok());
            let version = Self { major: parts.next()??, minor: parts.next()??, patch: parts.next()?? };
            // One way to write each, so that a version can be a key.
            (version.to_string() == text).then_some(version)
        };
        parse().ok_or_else(|| InvalidVersion(text.chars().take(40).collect()))
    }
}

impl TryFrom<String> for Version {
    type Error = InvalidVersion;

    fn try_from(text: String) -> Result<Self, InvalidVersion> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a program is built for: a triple, as in `armv7-unknown-linux-musleabihf`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Target(String);

/// The text is not a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a target; write a triple, as in x86_64-unknown-linux-musl")]
pub struct InvalidTarget(String);

impl FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        let of_triples = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
        let is_triple = text.len() <= 64
            && text.bytes().all(of_triples)
            && text.split('-').count() >= 3
            && text.split('-').all(|part| !part.is_empty());
        if is_triple {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidTarget(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for Target {
    type Error = InvalidTarget;

    fn try_from(text: String) -> Result<Self, InvalidTarget> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.0
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A program that cannot run on a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("it is no program of {0}: its head says otherwise")]
    Head(Target),
    #[error("programs of {0} are not known to this version")]
    UnknownTarget(Target),
}

impl Target {
    /// Bytes of a program's beginning that [`Self::fits`] wants to see; a shorter program is shown whole.
    pub const HEAD_BYTES: usize = 4096;

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the head of a program names the machine of this target: for ELF its class and `e_machine`
    /// (System V ABI), for PE the field `Machine` of its COFF header.
    ///
    /// # Errors
    /// It does not.
    pub fn fits(&self, head: &[u8]) -> Result<(), Unfit> {
        let mut parts = self.0.split('-');
        let architecture = parts.next().unwrap_or_default();
        let arm = architecture.starts_with("arm") || architecture.starts_with("thumb");
        let wanted = match architecture {
            "x86_64" => Machine { class: 2, elf: 62, pe: 0x8664 },
            "aarch64" => Machine { class: 2, elf: 183, pe: 0xaa64 },
            "i586" | "i686" => Machine { class: 1, elf: 3, pe: 0x014c },
            _ if arm => Machine { class: 1, elf: 40, pe: 0x01c4 },
            _ => return Err(Unfit::UnknownTarget(self.clone())),
        };
        let fits = if parts.any(|part| part == "windows") {
            pe_machine(head) == Some(wanted.pe)
        } else {
            elf_machine(head) == Some((wanted.class, wanted.elf))
        };
        if fits { Ok(()) } else { Err(Unfit::Head(self.clone())) }
    }
}

struct Machine {
    class: u8,
    elf: u16,
    pe: u16,
}

/// Class and machine of a little-endian ELF file.
fn elf_machine(head: &[u8]) -> Option<(u8, u16)> {
    let little_endian = head.get(5) == Some(&1);
    (head.starts_with(b"\x7fELF") && little_endian).then(|| Some((*head.get(4)?, word(head, 18)?)))?
}

fn pe_machine(head: &[u8]) -> Option<u16> {
    if !head.starts_with(b"MZ") {
        return None;
    }
    let offset = usize::from(word(head, 0x3c)?) | usize::from(word(head, 0x3e)?) << 16;
    let signature = head.get(offset..offset.checked_add(4)?)?;
    (signature == b"PE\0\0").then(|| word(head, offset + 4))?
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

/// What became of an upgrade on an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum UpgradeOutcome {
    /// The new program ran, wrote down a report and was answered by the collector.
    Healthy,
    /// It did not show itself healthy, and the one before runs again; the reason in English.
    Returned { reason: String },
    /// It was not even tried; the reason in English.
    Refused { reason: String },
    /// The endpoint's own settings keep upgrades from the centre out: nothing failed.
    NotAllowed,
    /// It came to nothing because it was not to be had any more: the roll-out was stopped, the order grew old, or a
    /// newer one took its place. Nothing failed.
    Withdrawn,
}

impl UpgradeOutcome {
    /// No reason needs more; whoever holds an endpoint could otherwise write a book into the record each time.
    pub const MAX_REASON_CHARS: usize = 300;

    /// With a reason that is fit to be kept and shown.
    #[must_use]
    pub fn bounded(self) -> Self {
        let shorten = |reason: &str| shorten_to_chars(reason, Self::MAX_REASON_CHARS);
        match self {
            Self::Returned { reason } => Self::Returned { reason: shorten(&reason) },
            Self::Refused { reason } => Self::Refused { reason: shorten(&reason) },
            told @ (Self::Healthy | Self::NotAllowed | Self::Withdrawn) => told,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Target {
        text.parse().unwrap()
    }

    fn elf(class: u8, machine: u16) -> Vec<u8> {
        let mut head = b"\x7fELF".to_vec();
        head.extend([class, 1]);
        head.resize(18, 0);
        head.extend(machine.to_le_bytes());
        head
    }

    fn pe(machine: u16) -> Vec<u8> {
        let mut head = b"MZ".to_vec();
        head.resize(0x3c, 0);
        head.extend(0x80u32.to_le_bytes());
        head.resize(0x80, 0);
        head.extend(b"PE\0\0");
        head.extend(machine.to_le_bytes());
        head
    }

    #[test]
    fn versions_are_ordered_by_number_and_written_in_one_way() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        assert!(version("0.10.0") > version("0.9.9"));
        assert!(version("1.0.0") > version("0.99.99"));
        for wrong in ["1.0", "1.0.0.0", "1.0.0-rc1", "01.0.0", "v1.0.0", "1.0.+1", " 1.0.0", ""] {
            assert!(wrong.parse::<Version>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_target_is_a_triple_and_nothing_that_could_be_a_path() {
        for wrong in ["", "x86_64", "a-b", "a--b", "../../etc", "x86_64-unknown-linux-gnu/x", "A-B-C"] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_program_fits_the_target_of_its_head_only() {
        let programs = [
            ("x86_64-unknown-linux-musl", elf(2, 62)),
            ("aarch64-unknown-linux-musl", elf(2, 183)),
            ("armv7-unknown-linux-musleabihf", elf(1, 40)),
            ("x86_64-pc-windows-gnu", pe(0x8664)),
            ("i686-win7-windows-gnu", pe(0x014c)),
        ];
        for (name, head) in &programs {
            for (other, _) in &programs {
                assert_eq!(target(other).fits(head).is_ok(), name == other, "{name} for {other}");
            }
        }
        assert!(target("arm-unknown-linux-musleabi").fits(&elf(1, 40)).is_ok());
        assert!(matches!(target("mips-unknown-linux-musl").fits(&elf(1, 8)), Err(Unfit::UnknownTarget(_))));
    }

    #[test]
    fn a_head_that_is_cut_off_fits_nothing() {
        for whole in [elf(2, 62), pe(0x8664)] {
            for length in 0..whole.len() {
                assert!(target("x86_64-unknown-linux-musl").fits(&whole[..length]).is_err());
                assert!(target("x86_64-pc-windows-gnu").fits(&whole[..length]).is_err());
            }
        }
    }
}
