//! Hears of changes below folders by `ReadDirectoryChangesW`. It says where something happened, not what: that is
//! looked at afterwards.
//!
//! One request a root hears of its whole tree. Where a trial at the start shows that the system announces nothing
//! from deeper folders, each folder has a request of its own; where it announces nothing at all, there is no watcher.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::{ERROR_NOTIFY_ENUM_DIR, ERROR_SUCCESS};

use super::wake::{Wake, wait_for};
use crate::platform::{NotWatched, Notice};

mod entries;
mod request;

use entries::{Action, Entry};
use request::Request;

/// How long a trial waits for its own change to be announced.
const TRIAL: Duration = Duration::from_secs(1);
/// Requests that hear of whole trees are few and large.
const MOST_TREES: usize = 64;

/// How far one request hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Tree,
    Folder,
}

/// Watched folders.
pub struct Watcher {
    reach: Reach,
    most: usize,
    /// Called by the system whenever a request is answered.
    answered: Wake,
    requests: Mutex<HashMap<Box<Path>, Request>>,
}

impl Watcher {
    /// Watches at most `most` folders; `own` is a folder in which is tried what the system announces.
    ///
    /// # Errors
    /// The system announces no changes, or gives no handles.
    pub fn new(most: usize, own: &Path) -> Result<Self, NotWatched> {
        for reach in [Reach::Tree, Reach::Folder] {
            let watcher = Self::with_reach(reach, most)?;
            let tried = watcher.hears_in(own);
            if tried.map_err(|error| NotWatched(format!("watching could not be tried: {error}")))? {
                return Ok(watcher);
            }
        }
        Err(NotWatched("the system announces no changes".into()))
    }

    fn with_reach(reach: Reach, most: usize) -> Result<Self, NotWatched> {
        let answered =
            Wake::new().map_err(|error| NotWatched(format!("the system gives no watcher ({error})")))?;
        Ok(Self { reach, most, answered, requests: Mutex::default() })
    }

    /// Changes something below a folder of our own and says whether that was announced.
    fn hears_in(&self, own: &Path) -> io::Result<bool> {
        let folder = own.join(format!("watch-trial-{}", std::process::id()));
        let place = match self.reach {
            Reach::Tree => folder.join("below"),
            Reach::Folder => folder.clone(),
        };
        fs::create_dir_all(&place)?;
        let watched = self.watch(&folder);
        let heard = watched.is_ok() && {
            fs::write(place.join("change"), [])?;
            self.wait_for_notice()
        };
        self.forget(&folder);
        fs::remove_dir_all(&folder)?;
        Ok(heard)
    }

    fn wait_for_notice(&self) -> bool {
        let end = Instant::now() + TRIAL;
        let mut heard = false;
        while !heard && Instant::now() < end {
            let waited = self.answered.wait(end.saturating_duration_since(Instant::now()));
            let read = waited.and_then(|()| self.read(&mut |_| heard = true));
            if read.is_err() {
                return false;
            }
        }
        heard
    }

    /// Watches `folder`, and what lies below as far as one request hears.
    ///
    /// # Errors
    /// Why it is not watched. A folder that is gone is no error.
    pub fn watch(&self, folder: &Path) -> Result<(), NotWatched> {
        self.request(folder, self.reach)
    }

    /// Watches the entries of `folder` and nothing below.
    ///
    /// # Errors
    /// As [`Self::watch`].
    pub fn watch_entries(&self, folder: &Path) -> Result<(), NotWatched> {
        self.request(folder, Reach::Folder)
    }

    fn request(&self, folder: &Path, reach: Reach) -> Result<(), NotWatched> {
        let mut requests = self.requests();
        let covers = |root: &Path, request: &Request| match request.reach() {
            Reach::Tree => folder.starts_with(root),
            Reach::Folder => reach == Reach::Folder && root == folder,
        };
        if requests.iter().any(|(root, request)| covers(root, request)) {
            return Ok(());
        }
        if requests.len() >= self.most {
            return Err(NotWatched(format!("more than {} folders; raise files.max_watches", self.most)));
        }
        if reach == Reach::Tree && requests.len() >= MOST_TREES {
            return Err(NotWatched(format!("more than {MOST_TREES} trees of folders; name fewer roots")));
        }
        match Request::begin(folder, reach, &self.answered) {
            Ok(request) => requests.insert(folder.into(), request),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(NotWatched("permission denied".into()));
            }
            Err(error) => return Err(NotWatched(format!("the system refuses a watch: {error}"))),
        };
        // A new request takes back the call of one that was answered meanwhile.
        self.answered.call();
        Ok(())
    }

    /// Forgets the requests for `folder` and all below.
    pub fn forget(&self, folder: &Path) {
        self.requests().retain(|path, _| !path.starts_with(folder));
    }

    /// How many requests the system holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.requests().len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hands over what happened since the last call, without waiting.
    ///
    /// # Errors
    /// None here: a folder that can no longer be watched is told as one that went.
    pub fn read(&self, receive: &mut dyn FnMut(Notice)) -> io::Result<()> {
        loop {
            // Before looking: what is answered after the look calls again.
            self.answered.forget();
            let mut notices = Vec::new();
            let mut any = false;
            self.requests().retain(|folder, request| {
                let Some(answer) = request.answer() else { return true };
                any = true;
                let goes_on = note(folder, answer, &mut notices) && request.ask_again().is_ok();
                if !goes_on {
                    notices.push(Notice::FolderWent(folder.to_path_buf()));
                }
                goes_on
            });
            notices.into_iter().for_each(&mut *receive);
            // To ask again takes back the call of an answer that came in between: look once more.
            if !any {
                return Ok(());
            }
        }
    }

    /// Waits until something happened, `wake` was called, or `timeout` has passed.
    ///
    /// # Errors
    /// The system cannot wait.
    pub fn wait(&self, wake: &Wake, timeout: Duration) -> io::Result<()> {
        wait_for(&[&self.answered, wake], timeout)
    }

    fn requests(&self) -> MutexGuard<'_, HashMap<Box<Path>, Request>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says whether the folder is still there to be watched.
fn note(folder: &Path, answer: Result<&[u8], u32>, notices: &mut Vec<Notice>) -> bool {
    match answer {
        // More happened than the system could keep.
        Ok([]) | Err(ERROR_NOTIFY_ENUM_DIR) => notices.push(Notice::Overflow),
        Ok(bytes) => {
            let entries = entries::parse(bytes);
            if entries.is_none() {
                notices.push(Notice::Overflow);
            }
            entries.into_iter().flatten().for_each(|entry| notices_of(folder, entry, notices));
        }
        Err(code) => {
            debug_assert_ne!(code, ERROR_SUCCESS);
            return false;
        }
    }
    true
}

/// The system does not say whether it speaks of a file or a folder, so that is looked up; of what is gone it may have
/// been either.
fn notices_of(folder: &Path, entry: Entry, notices: &mut Vec<Notice>) {
    let path: PathBuf = folder.join(entry.name);
    let is_folder = || path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
    match entry.action {
        Action::Came if is_folder() => notices.push(Notice::FolderCame(path)),
        Action::Came => notices.push(Notice::File(path)),
        Action::Went => notices.extend([Notice::File(path.clone()), Notice::FolderWent(path)]),
        // A folder changes with everything in it, which is announced by itself.
        Action::Changed if is_folder() => {}
        Action::Changed => notices.push(Notice::Writing(path)),
    }
}

#[cfg(test)]
mod tests;
