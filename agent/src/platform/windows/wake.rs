//! Wakes a thread that waits, whatever else it waits for.
#![expect(unsafe_code, reason = "no safe crate of ours has event objects")]

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::null;
use std::time::Duration;

use windows_sys::Win32::Foundation::{HANDLE, WAIT_FAILED};
use windows_sys::Win32::System::Threading::{
    CreateEventW, INFINITE, ResetEvent, SetEvent, WaitForMultipleObjects,
};

/// A call that stays until it is forgotten.
pub struct Wake {
    event: OwnedHandle,
}

impl Wake {
    /// # Errors
    /// The system gives no more handles.
    pub fn new() -> io::Result<Self> {
        // SAFETY: neither attributes nor a name are given; the event stays set until it is reset.
        let event = unsafe { CreateEventW(null(), 1, 0, null()) };
        if event.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the handle was just made and belongs to nobody else.
        Ok(Self { event: unsafe { OwnedHandle::from_raw_handle(event) } })
    }

    pub fn call(&self) {
        // SAFETY: the handle is an event and open as long as `self` is.
        unsafe { SetEvent(self.handle()) };
    }

    pub fn forget(&self) {
        // SAFETY: as in `call`.
        unsafe { ResetEvent(self.handle()) };
    }

    /// Waits to be called, or for the time to pass.
    ///
    /// # Errors
    /// The system cannot wait.
    pub fn wait(&self, timeout: Duration) -> io::Result<()> {
        wait_for(&[self], timeout)
    }

    pub(super) fn handle(&self) -> HANDLE {
        self.event.as_raw_handle()
    }
}

/// Waits until one of a few is called or `timeout` has passed.
pub(super) fn wait_for(wakes: &[&Wake], timeout: Duration) -> io::Result<()> {
    let handles: Vec<HANDLE> = wakes.iter().map(|wake| wake.handle()).collect();
    // Rounded up, so that the last millisecond is not spent in a loop.
    let milliseconds = timeout.as_nanos().div_ceil(1_000_000);
    let milliseconds = u32::try_from(milliseconds).map_or(INFINITE - 1, |time| time.min(INFINITE - 1));
    let count = u32::try_from(handles.len()).map_err(io::Error::other)?;
    // SAFETY: `handles` has `count` open event handles, which the borrowed wakes keep open.
    match unsafe { WaitForMultipleObjects(count, handles.as_ptr(), 0, milliseconds) } {
        WAIT_FAILED => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_call_stays_until_it_is_forgotten() {
        let wake = Wake::new().unwrap();
        wake.call();
        let begun = Instant::now();
        wake.wait(Duration::from_secs(60)).unwrap();
        wake.wait(Duration::from_secs(60)).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(30));
        wake.forget();
        wake.wait(Duration::from_millis(50)).unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(50));
    }
}
