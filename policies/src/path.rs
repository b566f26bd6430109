//! Paths as endpoints have them: bytes, not text. Nothing here touches a file system.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::foreign::turns_direction;

/// A path on an endpoint, as the bytes its system gave (on Windows: WTF-8).
///
/// One that begins with a drive, as in `C:\`, is a Windows path: its parts stand between backslashes and are
/// compared without regard to the case of ASCII letters. In all others a backslash is a letter like any other.
///
/// The text form is lossless: valid UTF-8 stands as it is, apart from control characters, those that turn the
/// direction of writing, and bytes that are not UTF-8, which stand as `\xNN`; and so does a backslash before an `x`
/// (`\x5c`). In a Windows path, where every other backslash would be one of those, a slash begins such a sequence:
/// `/xNN`. No Windows name contains one.
/// Serialises as text in human-readable formats and as a byte string in binary ones.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointPath(Vec<u8>);

impl EndpointPath {
    /// The longest path that is accepted, in bytes (Linux `PATH_MAX` is 4096, Windows 32,767 UTF-16 units).
    pub const MAX_BYTES: usize = 98_304;

    /// # Errors
    /// The path is empty or longer than [`Self::MAX_BYTES`].
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Result<Self, InvalidPath> {
        let bytes = bytes.into();
        if bytes.is_empty() || bytes.len() > Self::MAX_BYTES {
            return Err(InvalidPath { length: bytes.len() });
        }
        Ok(Self(bytes))
    }

    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The last part.
    #[must_use]
    pub fn file_name(&self) -> &[u8] {
        let separator = Dialect::of(&self.0).separator();
        self.0.rsplit(|b| *b == separator).next().unwrap_or(&self.0)
    }

    /// Whether the last part is `name`.
    #[must_use]
    pub fn is_named(&self, name: &[u8]) -> bool {
        Dialect::of(&self.0).equal(self.file_name(), name)
    }

    /// Whether the system of this path takes the other for the same.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Dialect::of(&self.0).equal(&self.0, &other.0)
    }

    /// Whether this path is `directory` or lies below it.
    #[must_use]
    pub fn is_within(&self, directory: &[u8]) -> bool {
        let dialect = Dialect::of(&self.0);
        let directory = directory.strip_suffix(&[dialect.separator()]).unwrap_or(directory);
        self.0.split_at_checked(directory.len()).is_some_and(|(beginning, rest)| {
            dialect.equal(beginning, directory) && rest.first().is_none_or(|b| *b == dialect.separator())
        })
    }
}

/// How a path is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Unix,
    Windows,
}

impl Dialect {
    const fn of(path: &[u8]) -> Self {
        match path {
            [drive, b':', b'\\', ..] if drive.is_ascii_alphabetic() => Self::Windows,
            _ => Self::Unix,
        }
    }

    const fn separator(self) -> u8 {
        match self {
            Self::Unix => b'/',
            Self::Windows => b'\\',
        }
    }

    /// Begins the sequence for a byte that does not stand as it is.
    const fn escape(self) -> char {
        match self {
            Self::Unix => '\\',
            Self::Windows => '/',
        }
    }

    fn equal(self, one: &[u8], other: &[u8]) -> bool {
        match self {
            Self::Unix => one == other,
            Self::Windows => one.eq_ignore_ascii_case(other),
        }
    }
}

/// The path is empty or too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a path of {length} bytes; paths have 1 to {} bytes", EndpointPath::MAX_BYTES)]
pub struct InvalidPath {
    length: usize,
}

impl fmt::Display for EndpointPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escape = Dialect::of(&self.0).escape();
        let mut rest = self.0.as_slice();
        // A sequence after the colon would make the text look like that of a Windows path.
        if escape == '\\'
            && let [drive, b':', ..] = rest
            && drive.is_ascii_alphabetic()
        {
            write!(f, "\\x{drive:02x}")?;
            rest = &rest[1..];
        }
        for chunk in rest.utf8_chunks() {
            let mut chars = chunk.valid().chars().peekable();
            while let Some(c) = chars.next() {
                if c.is_control() || turns_direction(c) || (c == escape && chars.peek() == Some(&'x')) {
                    let mut buffer = [0; 4];
                    for byte in c.encode_utf8(&mut buffer).bytes() {
                        write!(f, "{escape}x{byte:02x}")?;
                    }
                } else {
                    write!(f, "{c}")?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "{escape}x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for EndpointPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for EndpointPath {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.as_bytes();
        let escape = Dialect::of(rest).escape();
        while let [first, after @ ..] = rest {
            match after {
                [b'x', high, low, after @ ..]
                    if char::from(*first) == escape
                        && high.is_ascii_hexdigit()
                        && low.is_ascii_hexdigit() =>
                {
                    let nibble = |digit: u8| (digit as char).to_digit(16).unwrap_or(0) as u8;
                    bytes.push(nibble(*high) << 4 | nibble(*low));
                    rest = after;
                }
                _ => {
                    bytes.push(*first);
                    rest = after;
                }
            }
        }
        Self::from_bytes(bytes)
    }
}

impl Serialize for EndpointPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for EndpointPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = EndpointPath;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<EndpointPath, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<EndpointPath, E> {
                EndpointPath::from_bytes(bytes).map_err(E::custom)
            }

            fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<EndpointPath, E> {
                EndpointPath::from_bytes(bytes).map_err(E::custom)
            }
        }
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Visitor)
        } else {
            deserializer.deserialize_byte_buf(Visitor)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_is_lossless(bytes in proptest::collection::vec(any::<u8>(), 1..60)) {
            let path = EndpointPath::from_bytes(bytes).unwrap();
            prop_assert_eq!(path.to_string().parse(), Ok(path));
        }
    }

    proptest! {
        #[test]
        fn text_of_a_path_with_a_drive_is_lossless(rest in proptest::collection::vec(any::<u8>(), 0..60)) {
            for drive in [&b"C:\\"[..], b"C:", b"/C:\\"] {
                let path = EndpointPath::from_bytes([drive, &rest].concat()).unwrap();
                prop_assert_eq!(path.to_string().parse(), Ok(path));
            }
        }
    }

    #[test]
    fn windows_paths_are_read_with_backslashes_and_without_regard_to_case() {
        let path: EndpointPath = r"C:\Windows\System32\xcopy.exe".parse().unwrap();
        assert_eq!(path.to_string(), r"C:\Windows\System32\xcopy.exe");
        assert_eq!(path.file_name(), b"xcopy.exe");
        assert!(path.is_named(b"XCopy.exe") && !path.is_named(b"copy.exe"));
        assert!(path.is_within(br"c:\windows") && path.is_within(br"C:\") && !path.is_within(br"C:\Win"));
        assert!(path.is_same(&r"c:\WINDOWS\system32\xcopy.exe".parse().unwrap()));
        let half = EndpointPath::from_bytes(*b"C:\\\xed\xa0\x80.exe").unwrap();
        assert_eq!(half.to_string(), r"C:\/xed/xa0/x80.exe");
    }

    #[test]
    fn elsewhere_a_backslash_is_a_letter_and_case_counts() {
        let path: EndpointPath = r"/opt/a\b".parse().unwrap();
        assert_eq!(path.file_name(), br"a\b");
        assert!(!path.is_within(b"/OPT") && !path.is_named(br"A\b"));
    }

    #[test]
    fn vietnamese_names_stand_as_they_are_and_other_bytes_are_escaped() {
        let path = EndpointPath::from_bytes(*b"/opt/Ph\xc6\xb0\xe1\xbb\x9dng/\xff\n\\x41").unwrap();
        assert_eq!(path.to_string(), "/opt/Phường/\\xff\\x0a\\x5cx41");
    }

    #[test]
    fn a_neighbour_with_the_same_beginning_is_not_within() {
        let path: EndpointPath = "/usr/bin/ls".parse().unwrap();
        assert!(path.is_within(b"/usr/bin") && path.is_within(b"/usr/bin/") && path.is_within(b"/"));
        assert!(!path.is_within(b"/usr/bi"));
    }
}
