//! The root below which everything is read. Links are followed within it and never out of it, one name at a
//! time by descriptor, so that a link which is swapped meanwhile leads nowhere else either.
//!
//! Only regular files are opened, without waiting and up to a size; FIFOs, devices and sockets never are.

mod walk;

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Dir, FileType, Mode, OFlags, Stat};
use wardwatch_policies::observation::Unreadable;
use wardwatch_policies::path::EndpointPath;
use wardwatch_policies::policy::pattern::name_matches;
use wardwatch_policies::policy::pattern::path::PathPattern;
use wardwatch_policies::system::System;

use super::super::say;
use walk::{Last, Spot};

/// The largest file that is read whole, in bytes.
pub(super) const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// The most names that are read of one folder.
const MAX_NAMES: usize = 20_000;
/// The most files that one pattern may match.
const MAX_MATCHES: usize = 2_000;

pub(super) struct Place {
    root: OwnedFd,
}

/// What stands at a path, not followed.
pub(super) struct Entry {
    pub(super) stat: Stat,
    /// Where it leads, if it is a link.
    pub(super) target: Option<Vec<u8>>,
}

/// Which file systems a file may be read from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Files that someone wrote. Reading a kernel's file can wait for ever or change something.
    Disk,
    /// The kernel's files as well: only for paths that stand in this program.
    Kernel,
}

impl Place {
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { root: rustix::fs::open(root, flags, Mode::empty())? })
    }

    /// What a path leads to; `None` where nothing is there.
    pub(super) fn stat(&self, path: &[u8]) -> Result<Option<Stat>, Unreadable> {
        Ok(self.walk(path, Last::Follow)?.map(|spot| spot.stat))
    }

    pub(super) fn exists(&self, path: &[u8]) -> Result<bool, Unreadable> {
        Ok(self.stat(path)?.is_some())
    }

    /// What stands at a path itself, and where it leads if it is a link.
    pub(super) fn link(&self, path: &[u8]) -> Result<Option<Entry>, Unreadable> {
        let Some(spot) = self.walk(path, Last::Stay)? else { return Ok(None) };
        if FileType::from_raw_mode(spot.stat.st_mode) != FileType::Symlink {
            return Ok(Some(Entry { stat: spot.stat, target: None }));
        }
        let target = walk::read_link(&spot.fd).map_err(|error| unreadable(path, &error))?;
        Ok(Some(Entry { stat: spot.stat, target: Some(target) }))
    }

    /// The text of a file that someone wrote, at most [`MAX_FILE_BYTES`]; bytes that are not UTF-8 are replaced.
    pub(super) fn text(&self, path: &[u8]) -> Result<Option<String>, Unreadable> {
        self.whole(path, Source::Disk)
    }

    /// The text of one of the kernel's files, or of one that stands in its place below a root.
    pub(super) fn kernel_text(&self, path: &[u8]) -> Result<Option<String>, Unreadable> {
        self.whole(path, Source::Kernel)
    }

    fn whole(&self, path: &[u8], source: Source) -> Result<Option<String>, Unreadable> {
        let Some(file) = self.open_file(path, source)? else { return Ok(None) };
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| unreadable(path, &error))?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(Unreadable(format!("{} has more than {MAX_FILE_BYTES} bytes", shown(path))));
        }
        let text = String::from_utf8(bytes);
        Ok(Some(text.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())))
    }

    /// A regular file, open for reading from its beginning; its size is for the caller to bound.
    pub(super) fn file(&self, path: &[u8]) -> Result<Option<File>, Unreadable> {
        self.open_file(path, Source::Disk)
    }

    /// One of the kernel's files, as [`Self::kernel_text`], for one that may be long.
    pub(super) fn kernel_file(&self, path: &[u8]) -> Result<Option<File>, Unreadable> {
        self.open_file(path, Source::Kernel)
    }

    fn open_file(&self, path: &[u8], source: Source) -> Result<Option<File>, Unreadable> {
        let Some(spot) = self.walk(path, Last::Follow)? else { return Ok(None) };
        match FileType::from_raw_mode(spot.stat.st_mode) {
            FileType::RegularFile => {}
            // A folder has no text, as if no file were there.
            FileType::Directory => return Ok(None),
            _ => return Err(Unreadable(format!("{} is not a regular file and was not opened", shown(path)))),
        }
        if source == Source::Disk && is_kernels(&spot).map_err(|error| unreadable(path, &error))? {
            return Err(Unreadable(format!("{} is the kernel's and was not opened", shown(path))));
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&spot.parent, spot.name.as_slice(), flags, Mode::empty())
            .map_err(|error| unreadable(path, &error.into()))?;
        let opened = rustix::fs::fstat(&fd).map_err(|error| unreadable(path, &error.into()))?;
        if (opened.st_dev, opened.st_ino) != (spot.stat.st_dev, spot.stat.st_ino) {
            return Err(Unreadable(format!("{} was replaced while it was being read", shown(path))));
        }
        Ok(Some(File::from(fd)))
    }

    /// The names in a folder, sorted; `None` where there is no such folder.
    pub(super) fn names(&self, path: &[u8]) -> Result<Option<Vec<Vec<u8>>>, Unreadable> {
        let Some(spot) = self.walk(path, Last::Follow)? else { return Ok(None) };
        if FileType::from_raw_mode(spot.stat.st_mode) != FileType::Directory {
            return Ok(None);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let wrong = |error: rustix::io::Errno| unreadable(path, &error.into());
        let fd = rustix::fs::openat(&spot.fd, c".", flags, Mode::empty()).map_err(wrong)?;
        let mut names = Vec::new();
        for entry in Dir::new(fd).map_err(wrong)? {
            let name = entry.map_err(wrong)?.file_name().to_bytes().to_vec();
            if !matches!(name.as_slice(), b"." | b"..") {
                names.push(name);
            }
            if names.len() > MAX_NAMES {
                return Err(Unreadable(format!("{} holds more than {MAX_NAMES} names", shown(path))));
            }
        }
        names.sort_unstable();
        Ok(Some(names))
    }

    /// The paths that a pattern matches, in order. A path without `*` is given as it is, there or not.
    pub(super) fn expand(&self, pattern: &PathPattern) -> Result<Vec<EndpointPath>, Unreadable> {
        if pattern.system() != System::Linux {
            return Err(Unreadable(format!("this is Linux, and the path one of {}", pattern.system())));
        }
        let mut paths = vec![Vec::new()];
        for name in pattern.names() {
            let mut next = Vec::new();
            for path in paths {
                if name.contains('*') {
                    let names = self.names(&path)?.unwrap_or_default();
                    let matching = names.into_iter().filter(|found| name_matches(name, found));
                    next.extend(matching.map(|found| join(&path, &found)));
                } else {
                    next.push(join(&path, name.as_bytes()));
                }
                if next.len() > MAX_MATCHES {
                    return Err(Unreadable(format!(
                        "more than {MAX_MATCHES} files match {}",
                        pattern.as_str()
                    )));
                }
            }
            paths = next;
        }
        paths
            .into_iter()
            .map(|path| EndpointPath::from_bytes(path).map_err(|error| Unreadable(error.to_string())))
            .collect()
    }
}

fn is_kernels(spot: &Spot) -> io::Result<bool> {
    const PROC: i64 = 0x9fa0;
    const SYS: i64 = 0x6265_6572;
    const DEBUG: i64 = 0x6462_6720;
    const TRACE: i64 = 0x7472_6163;
    let file_system = rustix::fs::fstatfs(&spot.fd)?.f_type as i64;
    Ok([PROC, SYS, DEBUG, TRACE].contains(&file_system))
}

pub(super) fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    [folder, b"/", name].concat()
}

pub(super) fn shown(path: &[u8]) -> String {
    EndpointPath::from_bytes(path).map_or_else(|_| "/".into(), |path| path.to_string())
}

fn unreadable(path: &[u8], error: &io::Error) -> Unreadable {
    Unreadable(format!("{}: {}", shown(path), say(error)))
}

#[cfg(test)]
mod tests;
