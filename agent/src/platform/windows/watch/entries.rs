//! Reads the list of changes that the system writes: `FILE_NOTIFY_INFORMATION`, one after the other.

use std::ffi::OsString;
use std::os::windows::ffi::OsStringExt;

use windows_sys::Win32::Storage::FileSystem::{
    FILE_ACTION_ADDED, FILE_ACTION_REMOVED, FILE_ACTION_RENAMED_NEW_NAME, FILE_ACTION_RENAMED_OLD_NAME,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Came,
    Went,
    Changed,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) action: Action,
    /// Below the watched folder.
    pub(super) name: OsString,
}

/// Offset of the next entry, action, length of the name in bytes.
const HEADER_BYTES: usize = 12;

/// All entries; `None` if this is no such list.
pub(super) fn parse(bytes: &[u8]) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut rest = bytes;
    loop {
        let number = |at: usize| {
            let field = rest.get(at..at + 4)?.first_chunk::<4>()?;
            Some(u32::from_le_bytes(*field))
        };
        let (next, action, length) = (number(0)?, number(4)?, number(8)?);
        let name = rest.get(HEADER_BYTES..HEADER_BYTES.checked_add(usize::try_from(length).ok()?)?)?;
        let (pairs, []) = name.as_chunks::<2>() else { return None };
        let units: Vec<u16> = pairs.iter().copied().map(u16::from_le_bytes).collect();
        entries.push(Entry { action: action_of(action), name: OsString::from_wide(&units) });
        match usize::try_from(next).ok()? {
            0 => return Some(entries),
            next => rest = rest.get(next..)?,
        }
    }
}

fn action_of(code: u32) -> Action {
    match code {
        FILE_ACTION_ADDED | FILE_ACTION_RENAMED_NEW_NAME => Action::Came,
        FILE_ACTION_REMOVED | FILE_ACTION_RENAMED_OLD_NAME => Action::Went,
        // Whatever else is announced, something is not as it was.
        _ => Action::Changed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(next: u32, action: u32, name: &str) -> Vec<u8> {
        let name: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let length = u32::try_from(name.len()).unwrap();
        let mut bytes: Vec<u8> = [next, action, length].into_iter().flat_map(u32::to_le_bytes).collect();
        bytes.extend(name);
        bytes.resize(bytes.len().max(next as usize), 0);
        bytes
    }

    #[test]
    fn a_list_is_read_to_its_end() {
        let bytes = [entry(28, FILE_ACTION_ADDED, "máy\\a"), entry(0, FILE_ACTION_REMOVED, "b")].concat();
        assert_eq!(
            parse(&bytes),
            Some(vec![
                Entry { action: Action::Came, name: "máy\\a".into() },
                Entry { action: Action::Went, name: "b".into() },
            ])
        );
    }

    #[test]
    fn a_list_that_is_cut_is_none() {
        let bytes = entry(0, FILE_ACTION_ADDED, "abc");
        assert_eq!(parse(&bytes[..bytes.len() - 1]), None);
        assert_eq!(parse(&entry(400, FILE_ACTION_ADDED, "abc")[..20]), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = parse(&bytes);
        }
    }
}
