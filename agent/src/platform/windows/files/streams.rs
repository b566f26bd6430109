//! Alternate data streams: what a file or folder carries under names of their own, as `FILE:STREAM`.

use std::ffi::{OsStr, OsString};
use std::os::windows::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use windows_sys::Win32::Foundation::INVALID_HANDLE_VALUE;
use windows_sys::Win32::Storage::FileSystem::{
    FindClose, FindFirstStreamW, FindNextStreamW, FindStreamInfoStandard, WIN32_FIND_STREAM_DATA,
};

use crate::platform::windows::paths::wide;

const COLON: u16 = b':' as u16;
const DATA: &str = ":$DATA";

/// The streams of a file or folder beside its content. None where the file system has no streams; where they cannot
/// be listed, the file cannot be opened either, which is told of the file.
#[must_use]
pub fn streams(path: &Path) -> Vec<PathBuf> {
    let mut streams = Vec::new();
    let name = wide(path);
    let mut found = WIN32_FIND_STREAM_DATA::default();
    // SAFETY: the path ends with a zero, and this level of information writes a `WIN32_FIND_STREAM_DATA`.
    let search =
        unsafe { FindFirstStreamW(name.as_ptr(), FindStreamInfoStandard, (&raw mut found).cast(), 0) };
    if search == INVALID_HANDLE_VALUE {
        return streams;
    }
    loop {
        streams.extend(named(&found.cStreamName).map(|name| beside(path, &name)));
        // SAFETY: the search is open, and the call writes what the one above did.
        if unsafe { FindNextStreamW(search, (&raw mut found).cast()) } == 0 {
            break;
        }
    }
    // SAFETY: the search is open and not used any more.
    unsafe { FindClose(search) };
    streams
}

/// The name in `:NAME:$DATA`, up to a zero; `None` for the content itself, which has no name, and for streams of other
/// types, which hold no data.
fn named(found: &[u16]) -> Option<OsString> {
    let end = found.iter().position(|unit| *unit == 0).unwrap_or(found.len());
    let kind: Vec<u16> = DATA.encode_utf16().collect();
    let name = found[..end].strip_prefix(&[COLON])?.strip_suffix(kind.as_slice())?;
    (!name.is_empty()).then(|| OsString::from_wide(name))
}

fn beside(path: &Path, stream: &OsStr) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(":");
    beside.push(stream);
    beside.into()
}

/// The file or folder that carries the stream at `path`; `path` itself if that is no stream.
pub(super) fn carrier(path: &Path) -> PathBuf {
    let Some(name) = path.file_name() else { return path.to_owned() };
    let units: Vec<u16> = name.encode_wide().collect();
    match units.iter().position(|unit| *unit == COLON) {
        Some(colon) => path.with_file_name(OsString::from_wide(&units[..colon])),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_named_beside_its_file_and_leads_back_to_it() {
        let units = |text: &str| text.encode_utf16().collect::<Vec<_>>();
        assert_eq!(named(&units(":máy.exe:$DATA\0rest")), Some("máy.exe".into()));
        assert_eq!(named(&units("::$DATA")), None);
        assert_eq!(named(&units(":x:$INDEX_ALLOCATION")), None);
        let file = Path::new(r"\\?\C:\a\b.txt");
        let stream = beside(file, OsStr::new("máy.exe"));
        assert_eq!(stream, Path::new(r"\\?\C:\a\b.txt:máy.exe"));
        assert_eq!(carrier(&stream), file);
        assert_eq!(carrier(file), file);
    }
}
