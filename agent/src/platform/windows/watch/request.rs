//! One request to the system for changes of a folder, which it answers some time later into memory of ours.
#![expect(
    unsafe_code,
    reason = "no well-kept safe crate hands over overlapped requests without a thread of its own"
)]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::os::windows::io::AsRawHandle;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::{GetLastError, STATUS_PENDING};
use windows_sys::Win32::Storage::FileSystem::{
    FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT, FILE_FLAG_OVERLAPPED, FILE_LIST_DIRECTORY,
    FILE_NOTIFY_CHANGE_ATTRIBUTES, FILE_NOTIFY_CHANGE_CREATION, FILE_NOTIFY_CHANGE_DIR_NAME,
    FILE_NOTIFY_CHANGE_FILE_NAME, FILE_NOTIFY_CHANGE_LAST_WRITE, FILE_NOTIFY_CHANGE_SECURITY,
    FILE_NOTIFY_CHANGE_SIZE, FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE, ReadDirectoryChangesW,
};
use windows_sys::Win32::System::IO::{CancelIoEx, GetOverlappedResult, OVERLAPPED};

use super::super::wake::Wake;
use super::Reach;

const CHANGES: u32 = FILE_NOTIFY_CHANGE_FILE_NAME
    | FILE_NOTIFY_CHANGE_DIR_NAME
    | FILE_NOTIFY_CHANGE_ATTRIBUTES
    | FILE_NOTIFY_CHANGE_SIZE
    | FILE_NOTIFY_CHANGE_LAST_WRITE
    | FILE_NOTIFY_CHANGE_CREATION
    | FILE_NOTIFY_CHANGE_SECURITY;
/// A tree may change a lot between two looks; more than 64 KiB is refused for shares.
const TREE_WORDS: usize = 16 * 1024;
const FOLDER_WORDS: usize = 1024;
/// How long to wait for the system to take note that a request is called off.
const CANCEL_PATIENCE: Duration = Duration::from_secs(1);

/// What the system writes to until the request is answered or called off.
struct Memory {
    overlapped: OVERLAPPED,
    /// Of 32 bits each, for the alignment that the system asks for.
    words: Box<[u32]>,
}

/// A request that the system holds, or has answered.
pub(super) struct Request {
    folder: File,
    reach: Reach,
    /// Made by `Box::into_raw`. Not touched but through this pointer while the system holds it.
    memory: *mut Memory,
}

// SAFETY: the memory belongs to the request alone, and the system does not care which thread asks.
unsafe impl Send for Request {}

impl Request {
    pub(super) fn begin(folder: &Path, reach: Reach, answered: &Wake) -> io::Result<Self> {
        let folder = OpenOptions::new()
            .access_mode(FILE_LIST_DIRECTORY)
            .share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)
            .custom_flags(FILE_FLAG_BACKUP_SEMANTICS | FILE_FLAG_OPEN_REPARSE_POINT | FILE_FLAG_OVERLAPPED)
            .open(folder)?;
        let words = if reach == Reach::Tree { TREE_WORDS } else { FOLDER_WORDS };
        let overlapped = OVERLAPPED { hEvent: answered.handle(), ..OVERLAPPED::default() };
        let memory = Memory { overlapped, words: vec![0; words].into_boxed_slice() };
        let mut request = Self { folder, reach, memory: Box::into_raw(Box::new(memory)) };
        request.ask_again()?;
        Ok(request)
    }

    pub(super) fn reach(&self) -> Reach {
        self.reach
    }

    /// Asks for the changes after the last answer.
    pub(super) fn ask_again(&mut self) -> io::Result<()> {
        // SAFETY: the system does not hold the memory: it was just made, or the last request was answered.
        let memory = unsafe { &mut *self.memory };
        let bytes = u32::try_from(size_of_val(&*memory.words)).map_err(io::Error::other)?;
        // SAFETY: the folder is open for overlapped use; memory and its event live until the request is answered or
        // called off, which `drop` waits for.
        let asked = unsafe {
            ReadDirectoryChangesW(
                self.folder.as_raw_handle(),
                memory.words.as_mut_ptr().cast(),
                bytes,
                i32::from(self.reach == Reach::Tree),
                CHANGES,
                std::ptr::null_mut(),
                &raw mut memory.overlapped,
                None,
            )
        };
        if asked == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// What the system answered: bytes of a list, or its error code. `None` while it holds the request.
    pub(super) fn answer(&self) -> Option<Result<&[u8], u32>> {
        if self.is_held() {
            return None;
        }
        let mut count = 0;
        // SAFETY: the request was answered, so nobody else writes to the memory; the count goes to a local.
        let told = unsafe {
            GetOverlappedResult(
                self.folder.as_raw_handle(),
                &raw const (*self.memory).overlapped,
                &raw mut count,
                0,
            )
        };
        if told == 0 {
            // SAFETY: takes nothing.
            return Some(Err(unsafe { GetLastError() }));
        }
        // SAFETY: as above; the borrow ends before the memory is given to the system again, which takes `&mut self`.
        let words = unsafe { &(*self.memory).words };
        let most = size_of_val(&**words);
        // SAFETY: bytes of numbers that are all set; `count` is bounded by their size.
        let bytes = unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), most.min(count as usize)) };
        Some(Ok(bytes))
    }

    fn is_held(&self) -> bool {
        // SAFETY: the pointer is valid; the system writes this field last, so it is read as memory that changes.
        let status = unsafe { (&raw const (*self.memory).overlapped.Internal).read_volatile() };
        status as u32 == STATUS_PENDING.cast_unsigned()
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        if self.is_held() {
            // SAFETY: the folder is open and the request was made with this memory.
            unsafe { CancelIoEx(self.folder.as_raw_handle(), &raw const (*self.memory).overlapped) };
        }
        let begun = Instant::now();
        while self.is_held() {
            if begun.elapsed() > CANCEL_PATIENCE {
                // Lost memory is better than memory that the system writes to after it has another use.
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        // SAFETY: made by `Box::into_raw`, and the system does not hold it any more.
        drop(unsafe { Box::from_raw(self.memory) });
    }
}
