//! Watches folders as a sweep enters them, and remembers why some are not watched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wardwatch_policies::file::Watch;

use crate::platform::wake::Wake;
use crate::platform::watch::Watcher;
use crate::platform::{NotWatched, Notice};
use crate::sensor::binaries::ground::Roots;

pub(super) struct Watching {
    watcher: Result<Watcher, String>,
    /// By root, why the first folder below it is not watched.
    reasons: Mutex<BTreeMap<PathBuf, String>>,
}

impl Watching {
    /// `own` is a folder of our own, to try in whether the system announces changes.
    pub(super) fn new(most: usize, own: &Path) -> Self {
        let watcher = Watcher::new(most, own).map_err(|error| error.to_string());
        if let Err(reason) = &watcher {
            tracing::warn!("changes are found by scans only: {reason}");
        }
        Self { watcher, reasons: Mutex::default() }
    }

    /// A sweep of all roots begins. A root that is a single file is watched through its folder.
    pub(super) fn begin(&self, roots: &Roots) {
        self.reasons().clear();
        for root in roots.as_slice() {
            if root.is_file()
                && let Some(folder) = root.parent()
            {
                self.note(root, folder, Watcher::watch_entries);
            }
        }
    }

    /// A sweep is about to list this folder.
    pub(super) fn enter(&self, roots: &Roots, folder: &Path) {
        self.note(roots.of(folder).unwrap_or(folder), folder, Watcher::watch);
    }

    fn note(&self, root: &Path, folder: &Path, watch: impl Fn(&Watcher, &Path) -> Result<(), NotWatched>) {
        if let Ok(watcher) = &self.watcher
            && let Err(reason) = watch(watcher, folder)
        {
            let reason = format!("{}: {reason}", folder.display());
            self.reasons().entry(root.to_owned()).or_insert(reason);
        }
    }

    pub(super) fn forget(&self, folder: &Path) {
        if let Ok(watcher) = &self.watcher {
            watcher.forget(folder);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.watcher.as_ref().map_or(0, Watcher::len)
    }

    /// How changes below `root` come to light.
    pub(super) fn below(&self, root: &Path) -> Watch {
        match &self.watcher {
            Err(reason) => Watch::ScanOnly(reason.clone()),
            Ok(_) => self.reasons().get(root).map_or(Watch::Live, |reason| Watch::ScanOnly(reason.clone())),
        }
    }

    pub(super) fn read(&self, receive: &mut dyn FnMut(Notice)) {
        if let Ok(watcher) = &self.watcher
            && let Err(error) = watcher.read(receive)
        {
            tracing::error!("changes cannot be heard: {error}; all files are looked at again");
            receive(Notice::Overflow);
        }
    }

    /// Waits for a change, for `wake` or for the time to pass.
    pub(super) fn wait(&self, wake: &Wake, timeout: Duration) {
        let waited = match &self.watcher {
            Ok(watcher) => watcher.wait(wake, timeout),
            Err(_) => wake.wait(timeout),
        };
        settle(waited);
    }

    /// Waits for `wake` or for the time to pass.
    pub(super) fn wait_for_wake(&self, wake: &Wake, timeout: Duration) {
        settle(wake.wait(timeout));
    }

    fn reasons(&self) -> MutexGuard<'_, BTreeMap<PathBuf, String>> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A system that cannot wait must not make this thread spin.
fn settle(waited: std::io::Result<()>) {
    if let Err(error) = waited {
        tracing::error!("the system cannot wait for changes: {error}");
        std::thread::sleep(Duration::from_secs(1));
    }
}
