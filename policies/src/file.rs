//! What an agent saw of a file. Walking and hashing is the agent's work.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::path::EndpointPath;
use crate::time::UnixMillis;

/// What a file is, decided by its content, never by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileKind {
    Elf,
    Pe,
    MachO,
    /// Begins with `#!`.
    Script,
    Other,
}

impl FileKind {
    pub const ALL: [Self; 5] = [Self::Elf, Self::Pe, Self::MachO, Self::Script, Self::Other];
    /// Bytes of a file's beginning that decide its kind.
    pub const HEAD_BYTES: usize = 4;

    /// Decides by the first bytes of the content; fewer than [`Self::HEAD_BYTES`] are enough for a short file.
    #[must_use]
    pub fn of_head(head: &[u8]) -> Self {
        match head {
            [0x7f, b'E', b'L', b'F', ..] => Self::Elf,
            [b'M', b'Z', ..] => Self::Pe,
            [0xfe, 0xed, 0xfa, 0xce | 0xcf, ..]
            | [0xce | 0xcf, 0xfa, 0xed, 0xfe, ..]
            | [0xca, 0xfe, 0xba, 0xbe, ..] => Self::MachO,
            [b'#', b'!', ..] => Self::Script,
            _ => Self::Other,
        }
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Elf => "elf",
            Self::Pe => "pe",
            Self::MachO => "mach-o",
            Self::Script => "script",
            Self::Other => "other",
        }
    }

    /// Whether the content can be run.
    #[must_use]
    pub const fn is_binary(self) -> bool {
        !matches!(self, Self::Other)
    }
}

/// The state of one file whose content was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileState {
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    pub kind: FileKind,
    /// Unix permission bits, with set-uid, set-gid and sticky (`0o7777`); `None` where the system has none.
    pub mode: Option<u32>,
    /// Numeric owner and group; `None` where the system has none.
    pub owner: Option<(u32, u32)>,
}

impl FileState {
    /// Whether the file runs with its owner's or group's rights.
    #[must_use]
    pub fn is_set_id(&self) -> bool {
        self.mode.is_some_and(|mode| mode & 0o6000 != 0)
    }
}

/// What was seen at a path. Unreadable is never taken for absent or unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sighting {
    Present(FileState),
    /// It is there, but its content could not be read, with the reason in English.
    Unreadable(String),
    Absent,
}

/// One path and what was seen there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSighting {
    pub path: EndpointPath,
    pub sighting: Sighting,
    /// By the agent's wall clock, which may be wrong.
    pub seen: UnixMillis,
}

/// How far the agent sees below one root. Every root skipped is listed with its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    pub root: EndpointPath,
    pub watch: Watch,
    /// Files whose content was hashed in the last complete scan.
    pub hashed_files: u64,
    /// Files or folders that could not be read in the last complete scan.
    pub unreadable: u64,
}

/// How changes below a root come to light.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Watch {
    /// By the kernel's notification, within seconds.
    Live,
    /// By the next scan only, with the reason in English.
    ScanOnly(String),
    /// Not looked at, with the reason in English.
    Skipped(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_is_decided_by_content() {
        assert_eq!(FileKind::of_head(b"\x7fELF"), FileKind::Elf);
        assert_eq!(FileKind::of_head(b"MZ\x90\0"), FileKind::Pe);
        assert_eq!(FileKind::of_head(b"#!/b"), FileKind::Script);
        assert_eq!(FileKind::of_head(b"#"), FileKind::Other);
        assert_eq!(FileKind::of_head(b""), FileKind::Other);
    }
}
