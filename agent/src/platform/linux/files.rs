//! Single files.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::platform::FileFacts;

/// What stands between the name of a file and that of a stream of it: files have one stream here.
pub const STREAM_MARK: Option<u8> = None;

/// The facts of what is at `path`; `None` if that is no regular file. Links are not followed.
///
/// # Errors
/// Nothing is there, or it cannot be asked.
pub fn facts_at(path: &Path) -> io::Result<Option<FileFacts>> {
    Ok(facts(&path.symlink_metadata()?))
}

/// The facts of an open file; `None` if it is no regular file.
///
/// # Errors
/// The system does not say.
pub fn facts_of(file: &File) -> io::Result<Option<FileFacts>> {
    Ok(facts(&file.metadata()?))
}

fn facts(metadata: &Metadata) -> Option<FileFacts> {
    let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
    metadata.is_file().then(|| FileFacts {
        size: metadata.size(),
        device: metadata.dev(),
        number: metadata.ino().into(),
        changed: [
            nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        ],
        mode: Some(metadata.mode() & 0o7777),
        owner: Some((metadata.uid(), metadata.gid())),
        away: None,
    })
}

/// Opens for reading without following a link and without waiting for the other end of a pipe.
///
/// # Errors
/// It cannot be opened.
pub fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

/// What else than its content a file or folder carries under names of their own.
#[must_use]
pub fn streams(_path: &Path) -> Vec<PathBuf> {
    Vec::new()
}

/// Whether the error says that no regular file is there, or that a link is there now.
#[must_use]
pub fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
        || error.raw_os_error() == Some(Errno::LOOP.raw_os_error())
}

/// Whether the error says that another program keeps the file to itself: nobody can here.
#[must_use]
pub fn is_in_use(_error: &io::Error) -> bool {
    false
}
