//! Single files: opened without following links and without fetching what lies elsewhere; their streams.
#![expect(unsafe_code, reason = "std asks neither for a file's number nor for its streams")]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::AsRawHandle;
use std::path::Path;

use windows_sys::Win32::Foundation::{
    ERROR_DELETE_PENDING, ERROR_INVALID_NAME, ERROR_LOCK_VIOLATION, ERROR_SHARING_VIOLATION,
    INVALID_HANDLE_VALUE,
};
use windows_sys::Win32::Storage::FileSystem::{
    BY_HANDLE_FILE_INFORMATION, FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_OFFLINE,
    FILE_ATTRIBUTE_RECALL_ON_DATA_ACCESS, FILE_ATTRIBUTE_RECALL_ON_OPEN, FILE_ATTRIBUTE_REPARSE_POINT,
    FILE_ATTRIBUTE_TAG_INFO, FILE_BASIC_INFO, FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_NO_RECALL,
    FILE_FLAG_OPEN_REPARSE_POINT, FILE_FLAG_SEQUENTIAL_SCAN, FILE_GENERIC_READ, FILE_ID_INFO,
    FILE_INFO_BY_HANDLE_CLASS, FILE_READ_ATTRIBUTES, FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE,
    FILE_STANDARD_INFO, FileAttributeTagInfo, FileBasicInfo, FileIdInfo, FileStandardInfo, FindClose,
    FindFirstFileW, GetFileInformationByHandle, GetFileInformationByHandleEx, SYNCHRONIZE, WIN32_FIND_DATAW,
};

use super::paths::wide;
use crate::platform::FileFacts;

mod streams;

pub use streams::streams;

/// What stands between the name of a file and that of a stream of it.
pub const STREAM_MARK: Option<u8> = Some(b':');

const AWAY: u32 =
    FILE_ATTRIBUTE_OFFLINE | FILE_ATTRIBUTE_RECALL_ON_OPEN | FILE_ATTRIBUTE_RECALL_ON_DATA_ACCESS;
const AWAY_REASON: &str = "not on this disk; to read it would fetch it";
/// A reparse point with this bit leads to another name (a symbolic link, a junction, a mounted volume).
const NAME_SURROGATE: u32 = 0x2000_0000;

/// The facts of what is at `path`; `None` if that is no regular file. Links are not followed.
///
/// # Errors
/// Nothing is there, or it cannot be asked.
pub fn facts_at(path: &Path) -> io::Result<Option<FileFacts>> {
    // Before it is opened: only the folder's list says of some files that to open them fetches them.
    let listed = listed(path)?;
    if listed.dwFileAttributes & AWAY != 0 {
        let is_folder = listed.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY != 0;
        return Ok((!is_folder).then(|| away(&listed)));
    }
    facts_of(&open_as(path, FILE_READ_ATTRIBUTES | SYNCHRONIZE, FILE_FLAG_OPEN_REPARSE_POINT)?)
}

/// The facts of an open file; `None` if it is no regular file.
///
/// # Errors
/// The system does not say.
pub fn facts_of(file: &File) -> io::Result<Option<FileFacts>> {
    let standard: FILE_STANDARD_INFO = ask(file)?;
    if standard.Directory || is_link(file)? {
        return Ok(None);
    }
    let basic: FILE_BASIC_INFO = ask(file)?;
    let (device, number) = identity(file)?;
    Ok(Some(FileFacts {
        size: u64::try_from(standard.EndOfFile).unwrap_or(0),
        device,
        number,
        changed: [basic.LastWriteTime.into(), basic.ChangeTime.into()],
        mode: None,
        owner: None,
        away: (basic.FileAttributes & AWAY != 0).then_some(AWAY_REASON),
    }))
}

/// Opens for reading without following a link, leaving others free to read, write, rename and delete.
///
/// # Errors
/// It cannot be opened.
pub fn open(path: &Path) -> io::Result<File> {
    let file = open_as(path, FILE_GENERIC_READ, FILE_FLAG_OPEN_REPARSE_POINT | FILE_FLAG_SEQUENTIAL_SCAN)?;
    let attributes: FILE_ATTRIBUTE_TAG_INFO = ask(&file)?;
    if attributes.FileAttributes & FILE_ATTRIBUTE_REPARSE_POINT == 0 {
        return Ok(file);
    }
    if attributes.ReparseTag & NAME_SURROGATE != 0 {
        return Err(io::ErrorKind::NotFound.into());
    }
    // Its content is kept compressed or elsewhere on this disk, and read by way of what the tag stands for.
    let through = open_as(path, FILE_GENERIC_READ, FILE_FLAG_SEQUENTIAL_SCAN)?;
    if identity(&through)? != identity(&file)? {
        return Err(io::ErrorKind::NotFound.into());
    }
    Ok(through)
}

/// Whether the error says that nothing is there any more.
#[must_use]
pub fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        || is_any_of(error, &[ERROR_DELETE_PENDING, ERROR_INVALID_NAME])
}

/// Whether the error says that another program keeps the file to itself.
#[must_use]
pub fn is_in_use(error: &io::Error) -> bool {
    is_any_of(error, &[ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION])
}

fn is_any_of(error: &io::Error, codes: &[u32]) -> bool {
    error.raw_os_error().is_some_and(|code| codes.contains(&code.cast_unsigned()))
}

fn open_as(path: &Path, access: u32, flags: u32) -> io::Result<File> {
    OpenOptions::new()
        .access_mode(access)
        .share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)
        // Without the first a folder cannot be opened, not even to see that it is one.
        .custom_flags(FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_NO_RECALL | flags)
        .open(path)
}

fn is_link(file: &File) -> io::Result<bool> {
    let attributes: FILE_ATTRIBUTE_TAG_INFO = ask(file)?;
    Ok(attributes.FileAttributes & FILE_ATTRIBUTE_REPARSE_POINT != 0
        && attributes.ReparseTag & NAME_SURROGATE != 0)
}

/// The volume and the number of the file there.
fn identity(file: &File) -> io::Result<(u64, u128)> {
    if let Ok(id) = ask::<FILE_ID_INFO>(file) {
        return Ok((id.VolumeSerialNumber, u128::from_le_bytes(id.FileId.Identifier)));
    }
    // FAT and some drivers know the older question only.
    let mut about = BY_HANDLE_FILE_INFORMATION::default();
    // SAFETY: the handle is open, and the answer is written to a local of the call's type.
    if unsafe { GetFileInformationByHandle(file.as_raw_handle(), &raw mut about) } == 0 {
        return Err(io::Error::last_os_error());
    }
    let number = u128::from(about.nFileIndexHigh) << 32 | u128::from(about.nFileIndexLow);
    Ok((about.dwVolumeSerialNumber.into(), number))
}

/// What the folder's list says of a path; of a stream, what it says of the file that carries it.
fn listed(path: &Path) -> io::Result<WIN32_FIND_DATAW> {
    let path = wide(streams::carrier(path));
    let mut data = WIN32_FIND_DATAW::default();
    // SAFETY: the path ends with a zero, and the answer is written to a local of the call's type.
    let search = unsafe { FindFirstFileW(path.as_ptr(), &raw mut data) };
    if search == INVALID_HANDLE_VALUE {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the search was just begun and is used nowhere else.
    unsafe { FindClose(search) };
    Ok(data)
}

fn away(listed: &WIN32_FIND_DATAW) -> FileFacts {
    let pair = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
    let written = listed.ftLastWriteTime;
    FileFacts {
        size: pair(listed.nFileSizeHigh, listed.nFileSizeLow),
        device: 0,
        number: 0,
        changed: [pair(written.dwHighDateTime, written.dwLowDateTime).into(), 0],
        mode: None,
        owner: None,
        away: Some(AWAY_REASON),
    }
}

/// A question about an open file.
///
/// # Safety
/// The answer of class `CLASS` has the layout of the type, and any bytes are a valid value of it but for those
/// that the system never writes.
unsafe trait Answer: Default {
    const CLASS: FILE_INFO_BY_HANDLE_CLASS;
}

// SAFETY: as the documentation of `GetFileInformationByHandleEx` pairs them.
unsafe impl Answer for FILE_STANDARD_INFO {
    const CLASS: FILE_INFO_BY_HANDLE_CLASS = FileStandardInfo;
}
// SAFETY: likewise.
unsafe impl Answer for FILE_BASIC_INFO {
    const CLASS: FILE_INFO_BY_HANDLE_CLASS = FileBasicInfo;
}
// SAFETY: likewise.
unsafe impl Answer for FILE_ID_INFO {
    const CLASS: FILE_INFO_BY_HANDLE_CLASS = FileIdInfo;
}
// SAFETY: likewise.
unsafe impl Answer for FILE_ATTRIBUTE_TAG_INFO {
    const CLASS: FILE_INFO_BY_HANDLE_CLASS = FileAttributeTagInfo;
}

fn ask<T: Answer>(file: &File) -> io::Result<T> {
    let mut answer = T::default();
    let size = u32::try_from(size_of::<T>()).map_err(io::Error::other)?;
    // SAFETY: the handle is open, and by `Answer` the class writes at most `size` bytes that are a `T`.
    let told = unsafe {
        GetFileInformationByHandleEx(file.as_raw_handle(), T::CLASS, (&raw mut answer).cast(), size)
    };
    if told == 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

#[cfg(test)]
mod tests;
