//! Hears of changes below folders by inotify. It says where something happened, not what: that is looked at
//! afterwards.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use super::wake::{Wake, wait_for};
use crate::platform::{NotWatched, Notice};

const BUFFER_BYTES: usize = 16 * 1024;

/// Watched folders.
pub struct Watcher {
    kernel: OwnedFd,
    most: usize,
    folders: Mutex<HashMap<i32, Box<Path>>>,
}

impl Watcher {
    /// Watches at most `most` folders. Whether changes are announced need not be tried in a folder of our own here.
    ///
    /// # Errors
    /// The kernel gives no watcher, most often because this user has too many.
    pub fn new(most: usize, _own: &Path) -> Result<Self, NotWatched> {
        let kernel = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(|error| {
            NotWatched(format!("the system gives no watcher ({error}); raise fs.inotify.max_user_instances"))
        })?;
        Ok(Self { kernel, most, folders: Mutex::default() })
    }

    /// Watches `folder`, as far as one request to the system hears: its entries, not those of the folders in it.
    ///
    /// # Errors
    /// Why it is not watched. A folder that is gone is no error.
    pub fn watch(&self, folder: &Path) -> Result<(), NotWatched> {
        self.watch_entries(folder)
    }

    /// Watches the entries of `folder` and nothing below.
    ///
    /// # Errors
    /// As [`Self::watch`].
    pub fn watch_entries(&self, folder: &Path) -> Result<(), NotWatched> {
        let flags = WatchFlags::CREATE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MODIFY
            | WatchFlags::ATTRIB
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR
            | WatchFlags::DONT_FOLLOW
            | WatchFlags::EXCL_UNLINK;
        // Held meanwhile, so that no notice of this folder is read before its name is known.
        let mut folders = self.folders();
        match inotify::add_watch(&self.kernel, folder, flags) {
            Ok(descriptor) if folders.len() < self.most || folders.contains_key(&descriptor) => {
                folders.insert(descriptor, folder.into());
                Ok(())
            }
            Ok(descriptor) => {
                // It was made only to learn whether the folder was watched before.
                let _ = inotify::remove_watch(&self.kernel, descriptor);
                Err(NotWatched(format!("more than {} folders; raise files.max_watches", self.most)))
            }
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            Err(Errno::NOSPC) => Err(NotWatched(
                "the system allows this user no more watches; raise fs.inotify.max_user_watches".into(),
            )),
            Err(Errno::ACCESS) => Err(NotWatched("permission denied".into())),
            Err(error) => Err(NotWatched(format!("the system refuses a watch: {error}"))),
        }
    }

    /// Forgets the watches of `folder` and all below.
    pub fn forget(&self, folder: &Path) {
        let mut folders = self.folders();
        folders.retain(|descriptor, path| {
            let below = path.starts_with(folder);
            if below {
                // It may have ended by itself.
                let _ = inotify::remove_watch(&self.kernel, *descriptor);
            }
            !below
        });
    }

    /// How many folders are watched.
    #[must_use]
    pub fn len(&self) -> usize {
        self.folders().len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Hands over what happened since the last call, without waiting.
    ///
    /// # Errors
    /// The kernel's queue cannot be read.
    pub fn read(&self, receive: &mut dyn FnMut(Notice)) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); BUFFER_BYTES];
        let mut reader = inotify::Reader::new(&self.kernel, &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::WOULDBLOCK) => return Ok(()),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let flags = event.events();
            if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                receive(Notice::Overflow);
                continue;
            }
            let mut folders = self.folders();
            if flags.contains(ReadFlags::IGNORED) {
                folders.remove(&event.wd());
                continue;
            }
            let Some(folder) = folders.get(&event.wd()) else { continue };
            let notice = match event.file_name() {
                Some(name) => notice_of(folder.join(OsStr::from_bytes(name.to_bytes())), flags),
                None if flags.intersects(ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF) => {
                    Notice::FolderWent(folder.to_path_buf())
                }
                None => continue,
            };
            drop(folders);
            receive(notice);
        }
    }

    /// Waits until something happened, `wake` was called, or `timeout` has passed.
    ///
    /// # Errors
    /// The system cannot wait.
    pub fn wait(&self, wake: &Wake, timeout: Duration) -> io::Result<()> {
        wait_for(&[self.kernel.as_fd(), wake.as_fd()], timeout)
    }

    fn folders(&self) -> MutexGuard<'_, HashMap<i32, Box<Path>>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn notice_of(path: PathBuf, flags: ReadFlags) -> Notice {
    if flags.contains(ReadFlags::ISDIR) {
        return if flags.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) {
            Notice::FolderWent(path)
        } else {
            Notice::FolderCame(path)
        };
    }
    if flags.contains(ReadFlags::MODIFY) { Notice::Writing(path) } else { Notice::File(path) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn notices(watcher: &Watcher) -> Vec<Notice> {
        let mut notices = Vec::new();
        watcher.read(&mut |notice| notices.push(notice)).unwrap();
        notices
    }

    #[test]
    fn files_and_folders_that_come_and_go_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let watcher = Watcher::new(10, folder.path()).unwrap();
        watcher.watch(folder.path()).unwrap();
        let (file, inner) = (folder.path().join("máy\n"), folder.path().join("inner"));
        fs::write(&file, "x").unwrap();
        fs::create_dir(&inner).unwrap();
        let seen = notices(&watcher);
        assert!(seen.contains(&Notice::File(file.clone())));
        assert!(seen.contains(&Notice::FolderCame(inner.clone())));
        fs::remove_file(&file).unwrap();
        fs::remove_dir(&inner).unwrap();
        let seen = notices(&watcher);
        assert!(seen.contains(&Notice::File(file)));
        assert!(seen.contains(&Notice::FolderWent(inner)));
    }

    #[test]
    fn a_file_that_stays_open_is_noticed_as_being_written() {
        use std::io::Write;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let mut file = fs::File::create(&path).unwrap();
        let watcher = Watcher::new(10, folder.path()).unwrap();
        watcher.watch(folder.path()).unwrap();
        file.write_all(b"x").unwrap();
        assert_eq!(notices(&watcher), [Notice::Writing(path)]);
    }

    #[test]
    fn watches_are_bounded_and_the_reason_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let watcher = Watcher::new(1, folder.path()).unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        watcher.watch(folder.path()).unwrap();
        watcher.watch(folder.path()).unwrap();
        assert!(watcher.watch(&inner).unwrap_err().to_string().contains("files.max_watches"));
        assert_eq!(watcher.len(), 1);
    }

    #[test]
    fn a_forgotten_folder_is_silent() {
        let folder = tempfile::tempdir().unwrap();
        let watcher = Watcher::new(10, folder.path()).unwrap();
        watcher.watch(folder.path()).unwrap();
        watcher.forget(folder.path());
        fs::write(folder.path().join("a"), "x").unwrap();
        assert_eq!(notices(&watcher), []);
        assert!(watcher.is_empty());
    }
}
