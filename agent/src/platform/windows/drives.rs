//! Drives whose files are not this machine's own.
#![expect(unsafe_code, reason = "no safe crate of ours lists drives")]

use std::io;
use std::path::PathBuf;

use windows_sys::Win32::Storage::FileSystem::{GetDriveTypeW, GetLogicalDrives};
use windows_sys::Win32::System::WindowsProgramming::{
    DRIVE_CDROM, DRIVE_FIXED, DRIVE_RAMDISK, DRIVE_REMOTE, DRIVE_REMOVABLE,
};

use super::paths::wide;
use crate::platform::ForeignPlace;

/// Drives that a walk does not enter. Volumes that are mounted in a folder are links, which no walk follows.
///
/// # Errors
/// The system does not list its drives.
pub fn foreign_places() -> io::Result<Vec<ForeignPlace>> {
    // SAFETY: takes nothing.
    let drives = unsafe { GetLogicalDrives() };
    if drives == 0 {
        return Err(io::Error::last_os_error());
    }
    let letters = (b'A'..=b'Z').filter(|letter| drives & (1 << (letter - b'A')) != 0).map(char::from);
    let foreign = letters.filter_map(|letter| {
        let root = wide(format!("{letter}:\\"));
        // SAFETY: the root ends with a zero and lives until the call returns.
        let reason = reason_to_skip(unsafe { GetDriveTypeW(root.as_ptr()) })?;
        Some(ForeignPlace { point: PathBuf::from(format!(r"\\?\{letter}:\")), reason: reason.into() })
    });
    Ok(foreign.collect())
}

fn reason_to_skip(kind: u32) -> Option<&'static str> {
    match kind {
        DRIVE_FIXED | DRIVE_RAMDISK => None,
        DRIVE_REMOTE => Some("a network drive"),
        DRIVE_REMOVABLE => Some("a removable drive"),
        DRIVE_CDROM => Some("a drive for discs"),
        _ => Some("a drive of which the system does not say what it is"),
    }
}
