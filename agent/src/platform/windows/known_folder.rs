//! Folders that Windows names itself. A variable of the environment may be set by the user who calls a program.
#![expect(unsafe_code, reason = "no safe crate of ours asks for them")]

use std::ffi::OsString;
use std::os::windows::ffi::OsStringExt;
use std::path::PathBuf;
use std::ptr::null_mut;

use windows_sys::Win32::System::Com::CoTaskMemFree;
use windows_sys::Win32::UI::Shell::{FOLDERID_ProgramData, FOLDERID_ProgramFiles, SHGetKnownFolderPath};
use windows_sys::core::{GUID, PWSTR};

/// Data of all users.
pub(super) fn program_data() -> Option<PathBuf> {
    ask(&FOLDERID_ProgramData)
}

/// Programs for all users.
pub(super) fn program_files() -> Option<PathBuf> {
    ask(&FOLDERID_ProgramFiles)
}

fn ask(folder: &GUID) -> Option<PathBuf> {
    let mut name: PWSTR = null_mut();
    // SAFETY: the id lives until the call returns, and the answer is written to a local.
    let result = unsafe { SHGetKnownFolderPath(folder, 0, null_mut(), &raw mut name) };
    let path = (result >= 0 && !name.is_null()).then(|| {
        // SAFETY: the name ends with a zero, and nothing before it is read.
        let length = (0..).take_while(|&index| unsafe { *name.add(index) } != 0).count();
        // SAFETY: so many units were just read there.
        OsString::from_wide(unsafe { std::slice::from_raw_parts(name, length) }).into()
    });
    // SAFETY: it is to be freed so, also where the call failed; nothing uses it any more.
    unsafe { CoTaskMemFree(name.cast()) };
    path
}
