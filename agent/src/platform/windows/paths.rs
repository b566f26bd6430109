//! Paths: their long form inside the agent, their bytes in reports, and where things lie on Windows.

use std::ffi::{OsStr, OsString};
use std::os::windows::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use wardwatch_policies::path::{EndpointPath, InvalidPath};

use super::{is_superuser, known_folder};

/// For messages.
pub const FULL_PATH_BEGINS_WITH: &str = "a drive, as in C:\\";

const LONG: &str = r"\\?\";
const LONG_SHARE: &str = r"\\?\UNC\";

/// Where programs lie. System32 comes first so that what everybody runs is known first.
#[must_use]
pub fn default_roots() -> Vec<PathBuf> {
    let windows = windows_folder();
    vec![
        windows.join("System32"),
        windows.join("SysWOW64"),
        windows,
        programs_folder(),
        folder_of("ProgramFiles(x86)").unwrap_or_else(|| system_drive().join("Program Files (x86)")),
        program_data().join(r"Microsoft\Windows\Start Menu\Programs"),
    ]
}

/// Copies of what lies elsewhere: the store of components, whose files are linked into their places, and updates that
/// wait to be installed.
#[must_use]
pub fn default_excludes() -> Vec<PathBuf> {
    let windows = windows_folder();
    vec![windows.join("WinSxS"), windows.join(r"SoftwareDistribution\Download")]
}

/// The root of the running system.
#[must_use]
pub fn system_root() -> PathBuf {
    system_drive()
}

/// `install` puts the program here.
#[must_use]
pub fn default_program() -> PathBuf {
    programs_folder().join(r"Wardwatch\wardwatch-agent.exe")
}

/// Settings are read from here if it is there and no other file is named.
#[must_use]
pub fn default_config_file() -> PathBuf {
    data_folder().join("agent.toml")
}

/// A service that is not enrolled looks here for the string.
#[must_use]
pub fn enrolment_file() -> PathBuf {
    data_folder().join("wardwatch-enrol.txt")
}

/// For an administrator and for services a folder of the machine; for others one of their own.
#[must_use]
pub fn default_state_dir() -> PathBuf {
    if is_superuser() {
        return data_folder().join("state");
    }
    folder_of("LOCALAPPDATA").unwrap_or_else(std::env::temp_dir).join("Wardwatch")
}

/// Where programs for all users are installed.
fn programs_folder() -> PathBuf {
    known_folder::program_files().unwrap_or_else(|| system_drive().join("Program Files"))
}

/// What belongs to Wardwatch and to the whole machine.
pub(super) fn data_folder() -> PathBuf {
    program_data().join("Wardwatch")
}

fn program_data() -> PathBuf {
    known_folder::program_data().unwrap_or_else(|| system_drive().join("ProgramData"))
}

fn windows_folder() -> PathBuf {
    folder_of("SystemRoot").unwrap_or_else(|| system_drive().join("Windows"))
}

fn system_drive() -> PathBuf {
    let drive = std::env::var_os("SystemDrive").filter(|drive| !drive.is_empty());
    let mut drive = drive.unwrap_or_else(|| "C:".into());
    drive.push("\\");
    drive.into()
}

fn folder_of(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// The form in which a walk meets a path: long, and with the names as they are on disk where it is there.
#[must_use]
pub fn walked_path(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| long(path))
}

/// The long form of a full path; one that has it stays as it is.
pub(super) fn long(path: &Path) -> PathBuf {
    // Makes `/` to `\`, and takes out `.` and `..`, which have no meaning in the long form.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let bytes = path.as_os_str().as_encoded_bytes();
    let mut long = OsString::new();
    if bytes.starts_with(LONG.as_bytes()) {
        return path;
    }
    match bytes.strip_prefix(br"\\") {
        Some(share) => {
            long.push(LONG_SHARE);
            long.push(from_wtf8(share));
        }
        None => {
            long.push(LONG);
            long.push(&path);
        }
    }
    long.into()
}

/// As reports show it: without the mark of the long form.
///
/// # Errors
/// The path is empty or too long to be reported.
pub fn endpoint_path(path: &Path) -> Result<EndpointPath, InvalidPath> {
    let bytes = path.as_os_str().as_encoded_bytes();
    if let Some(share) = bytes.strip_prefix(LONG_SHARE.as_bytes()) {
        return EndpointPath::from_bytes([br"\\", share].concat());
    }
    EndpointPath::from_bytes(bytes.strip_prefix(LONG.as_bytes()).unwrap_or(bytes))
}

/// The other way: in the long form, if it is a full path.
#[must_use]
pub fn local_path(path: &EndpointPath) -> PathBuf {
    let bytes = path.as_bytes();
    let (mark, rest) = match bytes {
        [b'\\', b'\\', share @ ..] => (LONG_SHARE, share),
        [_, b':', b'\\', ..] => (LONG, bytes),
        _ => ("", bytes),
    };
    let mut local = OsString::from(mark);
    local.push(from_wtf8(rest));
    local.into()
}

/// Bytes that are no WTF-8 become the replacement character: no file has such a name.
fn from_wtf8(bytes: &[u8]) -> OsString {
    let mut units = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        let (valid, after) = match str::from_utf8(rest) {
            Ok(all) => (all, &[][..]),
            Err(error) => {
                let (valid, after) = rest.split_at(error.valid_up_to());
                (str::from_utf8(valid).unwrap_or_default(), after)
            }
        };
        units.extend(valid.encode_utf16());
        rest = match after {
            // Half of a surrogate pair.
            [0xed, high @ 0xa0..=0xbf, low @ 0x80..=0xbf, after @ ..] => {
                units.push(0xd000 | u16::from(high & 0x3f) << 6 | u16::from(low & 0x3f));
                after
            }
            [_, after @ ..] => {
                units.push(0xfffd);
                after
            }
            [] => after,
        };
    }
    OsString::from_wide(&units)
}

/// For system calls: UTF-16 with a zero at the end.
pub(super) fn wide(text: impl AsRef<OsStr>) -> Vec<u16> {
    text.as_ref().encode_wide().chain([0]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_name_that_windows_allows_survives_a_report(units in proptest::collection::vec(1u16.., 1..40)) {
            let name: Vec<u16> = units.into_iter().filter(|unit| !b"\\/:".map(u16::from).contains(unit)).collect();
            let mut path = OsString::from(r"\\?\C:\Program Files\");
            path.push(OsString::from_wide(&name));
            let path = PathBuf::from(path);
            prop_assert_eq!(local_path(&endpoint_path(&path).unwrap()), path);
        }
    }

    #[test]
    fn reports_show_paths_without_the_mark_of_the_long_form() {
        let shown = |path: &str| endpoint_path(Path::new(path)).unwrap().to_string();
        assert_eq!(shown(r"\\?\C:\Windows\System32\a.exe"), r"C:\Windows\System32\a.exe");
        assert_eq!(shown(r"\\?\UNC\server\share\a.exe"), r"\\server\share\a.exe");
        let share: EndpointPath = r"\\server\share\a.exe".parse().unwrap();
        assert_eq!(local_path(&share), Path::new(r"\\?\UNC\server\share\a.exe"));
    }

    #[test]
    fn a_path_that_is_not_there_has_a_long_form_all_the_same() {
        assert_eq!(walked_path(Path::new(r"C:\no such\..\folder/x")), Path::new(r"\\?\C:\folder\x"));
    }
}
