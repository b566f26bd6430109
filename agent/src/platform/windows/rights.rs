//! Who may write to a file or folder, asked by its handle: nothing else can take its place meanwhile.
#![expect(unsafe_code, reason = "no safe crate reads access rights")]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::path::Path;
use std::ptr::{null_mut, read};

use windows_sys::Win32::Foundation::{ERROR_SUCCESS, GENERIC_ALL, GENERIC_WRITE, LocalFree};
use windows_sys::Win32::Security::Authorization::{GetSecurityInfo, SE_FILE_OBJECT};
use windows_sys::Win32::Security::{
    ACCESS_ALLOWED_ACE, ACE_HEADER, ACL, DACL_SECURITY_INFORMATION, EqualSid, GetAce, GetTokenInformation,
    INHERIT_ONLY_ACE, IsWellKnownSid, OWNER_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR, PSID, TOKEN_QUERY,
    TOKEN_USER, TokenUser, WinBuiltinAdministratorsSid, WinCreatorOwnerRightsSid, WinLocalSystemSid,
};
use windows_sys::Win32::Storage::FileSystem::{
    DELETE, FILE_APPEND_DATA, FILE_DELETE_CHILD, FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT,
    FILE_READ_ATTRIBUTES, FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE, FILE_WRITE_DATA,
    READ_CONTROL, WRITE_DAC, WRITE_OWNER,
};
use windows_sys::Win32::System::SystemServices::{
    ACCESS_ALLOWED_ACE_TYPE, ACCESS_ALLOWED_CALLBACK_ACE_TYPE, ACCESS_DENIED_ACE_TYPE,
    ACCESS_DENIED_CALLBACK_ACE_TYPE, ACCESS_DENIED_CALLBACK_OBJECT_ACE_TYPE, ACCESS_DENIED_OBJECT_ACE_TYPE,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

/// By any of these somebody decides what a file or folder holds, now or later.
const WRITES: u32 = FILE_WRITE_DATA
    | FILE_APPEND_DATA
    | FILE_DELETE_CHILD
    | DELETE
    | WRITE_DAC
    | WRITE_OWNER
    | GENERIC_WRITE
    | GENERIC_ALL;

/// A token's user needs no more, in bytes: a SID has at most 68.
const TOKEN_USER_BYTES: usize = 256;

/// Opens a file or folder, or the link that is in its place, to ask about it.
///
/// # Errors
/// It cannot be opened.
pub(super) fn look_at(path: &Path) -> io::Result<File> {
    open(path, FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)
}

/// The same; while it is open nobody can put another in its place.
///
/// # Errors
/// It cannot be opened, or somebody is about to move or remove it.
pub(super) fn hold(path: &Path) -> io::Result<File> {
    open(path, FILE_SHARE_READ | FILE_SHARE_WRITE)
}

fn open(path: &Path, share: u32) -> io::Result<File> {
    OpenOptions::new()
        .access_mode(READ_CONTROL | FILE_READ_ATTRIBUTES)
        .share_mode(share)
        .custom_flags(FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT)
        .open(path)
}

/// Why somebody other than this user, the system or administrators could have filled what is open, or could do so.
/// `None` where nobody could.
///
/// # Errors
/// The system does not say.
pub(super) fn distrust(file: &File) -> io::Result<Option<&'static str>> {
    examine(file, others_may_write)
}

/// The same where it does not matter yet who may write.
///
/// # Errors
/// The system does not say.
pub(super) fn distrust_owner(file: &File) -> io::Result<Option<&'static str>> {
    examine(file, |_, _| Ok(false))
}

fn examine(
    file: &File,
    is_open_to_others: impl FnOnce(*mut ACL, &User) -> io::Result<bool>,
) -> io::Result<Option<&'static str>> {
    if file.metadata()?.is_symlink() {
        return Ok(Some("it is a link to another place"));
    }
    let (mut owner, mut list): (PSID, *mut ACL) = (null_mut(), null_mut());
    let mut descriptor: PSECURITY_DESCRIPTOR = null_mut();
    // SAFETY: the handle is open; all answers are written to locals. Owner and list live as long as the descriptor,
    // which is freed at the end.
    let asked = unsafe {
        GetSecurityInfo(
            file.as_raw_handle(),
            SE_FILE_OBJECT,
            OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION,
            &raw mut owner,
            null_mut(),
            &raw mut list,
            null_mut(),
            &raw mut descriptor,
        )
    };
    error_of(asked)?;
    let _freed = Freed(descriptor);
    let user = User::of_this_process()?;
    if owner.is_null() || !user.may_be_trusted_as(owner) {
        return Ok(Some("it belongs to another user"));
    }
    Ok(is_open_to_others(list, &user)?.then_some("other users may write to it"))
}

fn others_may_write(list: *mut ACL, user: &User) -> io::Result<bool> {
    // Without a list everybody may do everything.
    if list.is_null() {
        return Ok(true);
    }
    // SAFETY: the caller had the list from the system.
    let entries = unsafe { (*list).AceCount };
    for index in 0..u32::from(entries) {
        let mut entry = null_mut();
        // SAFETY: the list is valid, and the answer is written to a local.
        if unsafe { GetAce(list, index, &raw mut entry) } == 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: every entry begins with this header.
        let header = unsafe { read(entry.cast::<ACE_HEADER>()) };
        if u32::from(header.AceFlags) & INHERIT_ONLY_ACE != 0 {
            continue;
        }
        match u32::from(header.AceType) {
            ACCESS_ALLOWED_ACE_TYPE | ACCESS_ALLOWED_CALLBACK_ACE_TYPE => {
                let allowed = entry.cast::<ACCESS_ALLOWED_ACE>();
                // SAFETY: entries of both types begin like this, and the SID begins where the last field does.
                let (mask, who) = unsafe { ((*allowed).Mask, (&raw mut (*allowed).SidStart).cast()) };
                if mask & WRITES != 0 && !user.may_be_trusted_as(who) {
                    return Ok(true);
                }
            }
            ACCESS_DENIED_ACE_TYPE
            | ACCESS_DENIED_OBJECT_ACE_TYPE
            | ACCESS_DENIED_CALLBACK_ACE_TYPE
            | ACCESS_DENIED_CALLBACK_OBJECT_ACE_TYPE => {}
            // No file has others; whom they allow what is not known here.
            _ => return Ok(true),
        }
    }
    Ok(false)
}

/// The user of a process, with whoever has more rights anyhow.
struct User {
    /// Begins with a `TOKEN_USER`, which points to what follows it. Of numbers as wide as a pointer, for its alignment.
    token: Box<[usize; TOKEN_USER_BYTES / size_of::<usize>()]>,
}

impl User {
    fn of_this_process() -> io::Result<Self> {
        let mut token = null_mut();
        // SAFETY: the first handle stands for this process; the second is written to a local.
        if unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token) } == 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the token was just opened and belongs to nobody else.
        let token = unsafe { OwnedHandle::from_raw_handle(token) };
        let mut user = Self { token: Box::new([0; TOKEN_USER_BYTES / size_of::<usize>()]) };
        let mut written = 0;
        // SAFETY: the buffer has as many bytes as are given.
        let asked = unsafe {
            GetTokenInformation(
                token.as_raw_handle(),
                TokenUser,
                user.token.as_mut_ptr().cast(),
                TOKEN_USER_BYTES as u32,
                &raw mut written,
            )
        };
        if asked == 0 { Err(io::Error::last_os_error()) } else { Ok(user) }
    }

    fn may_be_trusted_as(&self, who: PSID) -> bool {
        // SAFETY: both SIDs are valid, as the system gave them; that of the user lies in the same buffer, which stays
        // where it is.
        let is_user = unsafe { EqualSid(who, (*self.token.as_ptr().cast::<TOKEN_USER>()).User.Sid) } != 0;
        // The rights of the owner, who is looked at elsewhere.
        let known = [WinBuiltinAdministratorsSid, WinLocalSystemSid, WinCreatorOwnerRightsSid];
        // SAFETY: the SID is valid, as the system gave it.
        is_user || known.into_iter().any(|kind| unsafe { IsWellKnownSid(who, kind) } != 0)
    }
}

pub(super) fn error_of(code: u32) -> io::Result<()> {
    if code == ERROR_SUCCESS { Ok(()) } else { Err(io::Error::from_raw_os_error(code.cast_signed())) }
}

/// What the system allocated for us.
pub(super) struct Freed(pub(super) PSECURITY_DESCRIPTOR);

impl Drop for Freed {
    fn drop(&mut self) {
        // SAFETY: the system gave it with the request to free it so, and nothing uses it any more.
        unsafe { LocalFree(self.0) };
    }
}
