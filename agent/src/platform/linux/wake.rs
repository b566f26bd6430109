//! Wakes a thread that waits, whatever else it waits for.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

/// A call that stays until it is forgotten.
pub struct Wake {
    event: OwnedFd,
}

impl Wake {
    /// # Errors
    /// The system gives no more handles.
    pub fn new() -> io::Result<Self> {
        Ok(Self { event: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)? })
    }

    pub fn call(&self) {
        // Full means that it was called already.
        let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
    }

    pub fn forget(&self) {
        let _ = rustix::io::read(&self.event, &mut [0; 8]);
    }

    /// Waits to be called, or for the time to pass.
    ///
    /// # Errors
    /// The system cannot wait.
    pub fn wait(&self, timeout: Duration) -> io::Result<()> {
        wait_for(&[self.as_fd()], timeout)
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

/// Waits until one of `sources` is readable or `timeout` has passed.
pub(super) fn wait_for(sources: &[BorrowedFd<'_>], timeout: Duration) -> io::Result<()> {
    let mut fds: Vec<_> =
        sources.iter().map(|source| PollFd::from_borrowed_fd(*source, PollFlags::IN)).collect();
    let timeout = Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    };
    match poll(&mut fds, Some(&timeout)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
