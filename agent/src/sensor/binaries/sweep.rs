//! One pass over all roots: one thread walks, others look, the caller receives what they found. Between them
//! stand bounded queues, so memory does not grow with the tree.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use wardwatch_policies::digest::Digest;

use super::content::{Interest, Look, Reader, Trust};
use super::ground::{Fences, Roots};
use super::pace::{Pace, Pacer};
use super::record::Record;
use super::walk::{Step, walk};
use crate::platform;

const QUEUE: usize = 256;
const QUIET: Duration = Duration::from_millis(100);

/// What is looked at, and how.
pub struct Sweep<'a> {
    pub roots: &'a Roots,
    pub fences: &'a Fences,
    pub file_systems: &'a HashMap<u64, Digest>,
    pub interest: Interest,
    /// Files that are hashed whatever they are.
    pub always: &'a [PathBuf],
    pub trust: Trust,
    pub pace: Pace,
    /// Threads that read; at least one is used.
    pub readers: usize,
    /// Called with each folder before it is listed: who watches it from then on misses nothing.
    pub enter: &'a (dyn Fn(&Path) + Sync),
    pub stop: &'a AtomicBool,
}

/// What a sweep came across.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing for a while: a big file is being read.
    Nothing,
    /// `now` equals `before` if nothing changed.
    File {
        path: PathBuf,
        before: Option<Record>,
        now: Record,
    },
    UnreadableFolder(PathBuf, String),
    Skipped(PathBuf, String),
}

/// Whether all was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Complete,
    Stopped,
}

impl Sweep<'_> {
    /// Looks at everything below the roots. `remembered` gives what is known of a path.
    ///
    /// # Errors
    /// The first error of `receive`, after which nothing more is looked at.
    pub fn run<E>(
        &self,
        remembered: &(dyn Fn(&Path) -> Option<Record> + Sync),
        receive: &mut dyn FnMut(Found) -> Result<(), E>,
    ) -> Result<End, E> {
        let (send_path, paths) = sync_channel::<PathBuf>(QUEUE);
        let (send_found, found) = sync_channel::<Found>(QUEUE);
        let paths = Mutex::new(paths);
        thread::scope(|scope| {
            let walker_out = send_found.clone();
            scope.spawn(move || self.walk_all(&send_path, &walker_out));
            for _ in 0..self.readers.max(1) {
                let out = send_found.clone();
                let paths = &paths;
                scope.spawn(move || self.read_all(paths, &out, remembered));
            }
            drop(send_found);
            let received = loop {
                let next = match found.recv_timeout(QUIET) {
                    Ok(next) => next,
                    Err(RecvTimeoutError::Timeout) => Found::Nothing,
                    Err(RecvTimeoutError::Disconnected) => break Ok(()),
                };
                if let Err(error) = receive(next) {
                    break Err(error);
                }
            };
            // Threads that still send see the queue closed and end.
            drop(found);
            drain(&paths, received.is_err());
            received
        })?;
        Ok(if self.stop.load(Ordering::Relaxed) { End::Stopped } else { End::Complete })
    }

    fn walk_all(&self, paths: &SyncSender<PathBuf>, out: &SyncSender<Found>) {
        self.settle();
        for root in self.roots.as_slice() {
            let walked = walk(root, self.roots, self.fences, &mut |step| {
                let sent = match step {
                    Step::File(path) => paths.send(path).is_ok(),
                    Step::Folder(path) => {
                        (self.enter)(&path);
                        true
                    }
                    Step::Unreadable(path, reason) => out.send(Found::UnreadableFolder(path, reason)).is_ok(),
                    Step::Skipped(path, reason) => out.send(Found::Skipped(path, reason)).is_ok(),
                };
                if sent && !self.stop.load(Ordering::Relaxed) {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            });
            if walked.is_break() {
                return;
            }
        }
    }

    fn read_all(
        &self,
        paths: &Mutex<Receiver<PathBuf>>,
        out: &SyncSender<Found>,
        remembered: &(dyn Fn(&Path) -> Option<Record> + Sync),
    ) {
        self.settle();
        let pacer = Pacer::new(self.pace);
        let mut reader = Reader::new(self.interest, self.trust, self.file_systems, self.stop, pacer);
        loop {
            let next = paths.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(path) = next else { return };
            if self.stop.load(Ordering::Relaxed) {
                continue;
            }
            let before = remembered(&path);
            reader.interest = if self.always.contains(&path) { Interest::AllFiles } else { self.interest };
            if let Look::File(now) = reader.look(&path, before.as_ref())
                && out.send(Found::File { path, before, now }).is_err()
            {
                return;
            }
        }
    }

    fn settle(&self) {
        if self.pace != Pace::FullSpeed {
            platform::lower_priority();
        }
    }
}

/// After an error nobody takes paths any more: take them here, so that the walker does not wait for ever.
fn drain(paths: &Mutex<Receiver<PathBuf>>, failed: bool) {
    if failed {
        let paths = paths.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in paths.iter() {}
    }
}
