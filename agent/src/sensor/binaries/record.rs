//! What is remembered of one path, so that unchanged content is not read again.

use wardwatch_policies::digest::Digest;
use wardwatch_policies::file::{FileKind, FileState, Sighting};

use crate::platform::FileFacts;

/// Tells a file that was not touched from one that was: file system, number of the file there, size and the times
/// of the last change of content and of attributes. On Linux, FAT has no attribute time and no lasting inodes;
/// there the kernel gives the creation time and makes inodes up, so after a new mount all is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp([u8; 16]);

impl Stamp {
    /// That of no file: the content is read at the next look.
    const UNKNOWN: Self = Self([0; 16]);

    /// `file_system` is lasting where it is known; else the device number stands in, and after a boot that
    /// numbers devices anew all is read again.
    #[must_use]
    pub fn of(facts: &FileFacts, file_system: Option<&Digest>) -> Self {
        let mut hasher = blake3::Hasher::new();
        match file_system {
            Some(id) => hasher.update(id.as_bytes()),
            None => hasher.update(&facts.device.to_le_bytes()),
        };
        hasher.update(&facts.number.to_le_bytes());
        hasher.update(&facts.size.to_le_bytes());
        for time in facts.changed {
            hasher.update(&time.to_le_bytes());
        }
        let mut stamp = [0; 16];
        stamp.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(stamp)
    }
}

/// What was last seen at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Its content was hashed.
    Hashed { stamp: Stamp, state: FileState },
    /// Its head says that it cannot be run, so the rest was not read.
    NotBinary { stamp: Stamp },
    /// It could not be read, with the reason in English.
    Unreadable(String),
}

impl Record {
    /// The stamp under which the content need not be read again.
    #[must_use]
    pub fn stamp(&self) -> Option<Stamp> {
        match self {
            Self::Hashed { stamp, .. } | Self::NotBinary { stamp } => Some(*stamp),
            Self::Unreadable(_) => None,
        }
    }

    #[must_use]
    pub fn state(&self) -> Option<&FileState> {
        match self {
            Self::Hashed { state, .. } => Some(state),
            Self::NotBinary { .. } | Self::Unreadable(_) => None,
        }
    }

    /// What the collector is told; nothing of a file that was never of interest.
    #[must_use]
    pub fn sighting(&self) -> Option<Sighting> {
        match self {
            Self::Hashed { state, .. } => Some(Sighting::Present(state.clone())),
            Self::Unreadable(reason) => Some(Sighting::Unreadable(reason.clone())),
            Self::NotBinary { .. } => None,
        }
    }

    /// What can be said of a path by what the collector was told; nothing if it was told that nothing is there.
    #[must_use]
    pub fn of_told(sighting: Sighting) -> Option<Self> {
        match sighting {
            Sighting::Present(state) => Some(Self::Hashed { stamp: Stamp::UNKNOWN, state }),
            Sighting::Unreadable(reason) => Some(Self::Unreadable(reason)),
            Sighting::Absent => None,
        }
    }

    /// Compact, since a machine has tens of thousands of these on its flash.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(72);
        match self {
            Self::NotBinary { stamp } => {
                bytes.push(TAG_NOT_BINARY);
                bytes.extend(stamp.0);
            }
            Self::Hashed { stamp, state } => {
                bytes.push(TAG_HASHED);
                bytes.extend(stamp.0);
                bytes.extend(state.digest.as_bytes());
                bytes.extend(state.size.to_le_bytes());
                bytes.push(kind_code(state.kind));
                let (user, group) = state.owner.unwrap_or((NO_ID, NO_ID));
                for number in [state.mode.unwrap_or(NO_ID), user, group] {
                    bytes.extend(number.to_le_bytes());
                }
            }
            Self::Unreadable(reason) => {
                bytes.push(TAG_UNREADABLE);
                bytes.extend(reason.as_bytes());
            }
        }
        bytes
    }

    /// `None` if these bytes are of another version: the file is then looked at as if for the first time.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (tag, mut rest) = bytes.split_first()?;
        match *tag {
            TAG_NOT_BINARY => Some(Self::NotBinary { stamp: Stamp(rest.try_into().ok()?) }),
            TAG_UNREADABLE => Some(Self::Unreadable(String::from_utf8(rest.to_vec()).ok()?)),
            TAG_HASHED => {
                let stamp = Stamp(take(&mut rest)?);
                let digest = Digest::from_bytes(take(&mut rest)?);
                let size = u64::from_le_bytes(take(&mut rest)?);
                let [kind] = take(&mut rest)?;
                let mode = u32::from_le_bytes(take(&mut rest)?);
                let user = u32::from_le_bytes(take(&mut rest)?);
                let group = u32::from_le_bytes(take(&mut rest)?);
                let state = FileState {
                    digest,
                    size,
                    kind: *KINDS.get(usize::from(kind))?,
                    mode: (mode != NO_ID).then_some(mode),
                    owner: (user != NO_ID).then_some((user, group)),
                };
                rest.is_empty().then_some(Self::Hashed { stamp, state })
            }
            _ => None,
        }
    }
}

const TAG_NOT_BINARY: u8 = 1;
const TAG_HASHED: u8 = 2;
const TAG_UNREADABLE: u8 = 3;
/// No user, group or mode has this number.
const NO_ID: u32 = u32::MAX;
const KINDS: [FileKind; 5] =
    [FileKind::Elf, FileKind::Pe, FileKind::MachO, FileKind::Script, FileKind::Other];

fn kind_code(kind: FileKind) -> u8 {
    match kind {
        FileKind::Elf => 0,
        FileKind::Pe => 1,
        FileKind::MachO => 2,
        FileKind::Script => 3,
        FileKind::Other => 4,
    }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_record_survives_its_bytes(
            stamp: [u8; 16], digest: [u8; 32], size: u64, kind in 0usize..5,
            mode in proptest::option::of(0u32..0o7777),
            owner in proptest::option::of((0u32..70_000, 0u32..70_000)), reason: String,
        ) {
            let stamp = Stamp(stamp);
            let state =
                FileState { digest: Digest::from_bytes(digest), size, kind: KINDS[kind], mode, owner };
            for record in
                [Record::Hashed { stamp, state }, Record::NotBinary { stamp }, Record::Unreadable(reason)]
            {
                prop_assert_eq!(Record::from_bytes(&record.to_bytes()), Some(record));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Record::from_bytes(&bytes);
        }
    }
}
