//! Folders that belong to the agent alone, since keys lie in them.
#![expect(unsafe_code, reason = "no safe crate sets access rights")]

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::ptr::{null, null_mut};

use windows_sys::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, SDDL_REVISION_1, SE_FILE_OBJECT,
    SetNamedSecurityInfoW,
};
use windows_sys::Win32::Security::{
    DACL_SECURITY_INFORMATION, GetSecurityDescriptorDacl, PROTECTED_DACL_SECURITY_INFORMATION,
    PSECURITY_DESCRIPTOR,
};

use super::paths::{data_folder, long, wide};
use super::rights::{self, Freed, error_of};
use super::{files, is_superuser};

/// In the security descriptor definition language: full rights, handed down, for the system and administrators, and
/// nothing inherited from above.
const MACHINE_ONLY: &str = "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)";
/// The same, and for whoever owns the folder and what is made in it.
const OWNER_TOO: &str = "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;OW)";

/// Makes a folder, and those above it, for the system, administrators and, if this process has not an administrator's
/// rights, its user. One that is there gets the same rights.
///
/// # Errors
/// It cannot be made or protected, or it is there and is a link or somebody else's, who could have put anything in it.
pub fn create_private_folder(path: &Path) -> io::Result<()> {
    let path = long(path);
    let whole = long(&data_folder());
    // Everybody may make files in the folder above: settings put there would be obeyed.
    if path.starts_with(&whole) {
        fs::create_dir_all(&whole)?;
        protect(&whole)?;
    }
    fs::create_dir_all(&path)?;
    protect(&path)
}

/// Opens a file that holds a secret and decides whom this agent obeys: a regular file and no link, of this user, the
/// system or administrators, to which nobody else may write. `None` where there is no file.
///
/// # Errors
/// It may not be believed, or not be opened.
pub fn open_private(path: &Path) -> Result<Option<File>, String> {
    let file = match files::open(path) {
        Ok(file) => file,
        Err(error) if files::is_gone(&error) => return Ok(None),
        Err(error) => return Err(format!("it cannot be opened ({error})")),
    };
    let asked = |error: io::Error| format!("it cannot be looked at ({error})");
    if files::facts_of(&file).map_err(asked)?.is_none() {
        return Err("it is no regular file".into());
    }
    match rights::distrust(&file).map_err(asked)? {
        Some(reason) => {
            Err(format!("{reason}; put it anew, as an administrator, where others may not write"))
        }
        None => Ok(Some(file)),
    }
}

/// Why somebody other than this user, the system or administrators could have filled a file or folder that decides what
/// this agent runs. `None` where nobody could, or nothing is there.
///
/// # Errors
/// The system does not say whose it is.
pub fn distrust(path: &Path) -> io::Result<Option<String>> {
    let path = long(path);
    let file = match rights::look_at(&path) {
        Err(error) if files::is_gone(&error) => return Ok(None),
        there => there?,
    };
    let reason = rights::distrust(&file)?;
    Ok(reason.map(|reason| format!("{reason}; remove it, and install anew as an administrator")))
}

fn protect(folder: &Path) -> io::Result<()> {
    // Held until it is protected: what is asked by name is what was looked at.
    let held = rights::hold(folder)?;
    if let Some(reason) = rights::distrust_owner(&held)? {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{reason}, so that anything may be in {}; remove it", folder.display()),
        ));
    }
    let rights = wide(if is_superuser() { MACHINE_ONLY } else { OWNER_TOO });
    let mut descriptor: PSECURITY_DESCRIPTOR = null_mut();
    // SAFETY: the text ends with a zero; the descriptor is written to a local and freed below.
    let made = unsafe {
        ConvertStringSecurityDescriptorToSecurityDescriptorW(
            rights.as_ptr(),
            SDDL_REVISION_1,
            &raw mut descriptor,
            null_mut(),
        )
    };
    if made == 0 {
        return Err(io::Error::last_os_error());
    }
    let _freed = Freed(descriptor);
    let (mut present, mut defaulted, mut list) = (0, 0, null_mut());
    // SAFETY: the descriptor was just made; all answers are written to locals.
    let has_list =
        unsafe { GetSecurityDescriptorDacl(descriptor, &raw mut present, &raw mut list, &raw mut defaulted) };
    if has_list == 0 || present == 0 {
        return Err(io::Error::last_os_error());
    }
    let name = wide(folder);
    // SAFETY: the name ends with a zero; the list is part of the descriptor, which lives until the end.
    let set = unsafe {
        SetNamedSecurityInfoW(
            name.as_ptr(),
            SE_FILE_OBJECT,
            DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION,
            null_mut(),
            null_mut(),
            list,
            null(),
        )
    };
    error_of(set)
}
