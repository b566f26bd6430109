//! One program in the place of another.
#![expect(
    unsafe_code,
    reason = "no safe crate of ours says how much of a disk is free or ties programs together"
)]

use std::ffi::OsStr;
use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::path::Path;
use std::ptr;
use std::sync::OnceLock;

use windows_sys::Win32::Storage::FileSystem::GetDiskFreeSpaceExW;
use windows_sys::Win32::System::JobObjects::{
    AssignProcessToJobObject, CreateJobObjectW, JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JobObjectExtendedLimitInformation, SetInformationJobObject,
};
use windows_sys::Win32::System::Threading::GetCurrentProcess;

use super::paths::wide;
use crate::platform::RunBeside;

/// Nothing to do: the name of a file says whether it can be run.
///
/// # Errors
/// None.
pub fn make_runnable(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Bytes that may still be written below `folder`, by this user.
///
/// # Errors
/// The system does not say.
pub fn free_bytes(folder: &Path) -> io::Result<u64> {
    let folder = wide(folder);
    let mut free = 0;
    // SAFETY: the path ends with a zero, and `free` lives until the call returns; what is null is not written.
    let done =
        unsafe { GetDiskFreeSpaceExW(folder.as_ptr(), &raw mut free, ptr::null_mut(), ptr::null_mut()) };
    if done == 0 { Err(io::Error::last_os_error()) } else { Ok(free) }
}

/// Does nothing: here no process becomes another program, which is to be run beside this one.
///
/// # Errors
/// None.
pub fn become_program(_program: &Path, _environment: &[(&str, Option<&OsStr>)]) -> io::Result<RunBeside> {
    Ok(RunBeside)
}

/// Does nothing: the parent sees to it, by [`end_children_too`].
pub fn end_with_parent() {}

/// From here on every program that this process starts ends with it, however that comes about.
///
/// # Errors
/// The system does not see to it; an orphan still sees its standard input end.
pub fn end_children_too() -> io::Result<()> {
    static JOB: OnceLock<OwnedHandle> = OnceLock::new();
    if JOB.get().is_some() {
        return Ok(());
    }
    // SAFETY: what is null asks for a job without a name; the answer is looked at before it is used.
    let job = unsafe { CreateJobObjectW(ptr::null(), ptr::null()) };
    if job.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the job was just made and belongs to nobody else.
    let job = unsafe { OwnedHandle::from_raw_handle(job) };
    let mut limits = JOBOBJECT_EXTENDED_LIMIT_INFORMATION::default();
    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE;
    // SAFETY: the limits have the form and size that this kind of setting asks for.
    let limited = unsafe {
        SetInformationJobObject(
            job.as_raw_handle(),
            JobObjectExtendedLimitInformation,
            (&raw const limits).cast(),
            size_of_val(&limits) as u32,
        )
    };
    // SAFETY: the second handle stands for this process.
    if limited == 0 || unsafe { AssignProcessToJobObject(job.as_raw_handle(), GetCurrentProcess()) } == 0 {
        return Err(io::Error::last_os_error());
    }
    // Open until this process ends: closing it ends all that belong to the job, this one first.
    let _ = JOB.set(job);
    Ok(())
}
