//! Walks from the root to a path, name by name. `..` ends at the root, a link to an absolute path begins there.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use wardwatch_policies::observation::Unreadable;

use super::{Place, shown, unreadable};

/// As many links as the kernel itself follows.
const MAX_LINKS: usize = 40;

/// Whether the last name is followed where it is a link.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    Follow,
    Stay,
}

/// Where a walk ended.
pub(super) struct Spot {
    /// Names the place without any right to read it.
    pub(super) fd: OwnedFd,
    pub(super) stat: Stat,
    pub(super) parent: OwnedFd,
    pub(super) name: Vec<u8>,
}

impl Place {
    pub(super) fn walk(&self, path: &[u8], last: Last) -> Result<Option<Spot>, Unreadable> {
        self.try_walk(path, last).or_else(|error| match Errno::from_io_error(&error) {
            Some(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Some(Errno::LOOP) => Err(Unreadable(format!("{}: more than {MAX_LINKS} links", shown(path)))),
            _ => Err(unreadable(path, &error)),
        })
    }

    fn try_walk(&self, path: &[u8], last: Last) -> io::Result<Option<Spot>> {
        let mut names: VecDeque<Vec<u8>> = split(path).collect();
        let mut folders: Vec<OwnedFd> = Vec::new();
        let mut links = 0;
        while let Some(name) = names.pop_front() {
            if name == b".." {
                folders.pop();
                continue;
            }
            let folder = folders.last().unwrap_or(&self.root);
            let fd = open_path(folder, &name)?;
            let stat = rustix::fs::fstat(&fd)?;
            let is_link = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
            if is_link && !(names.is_empty() && last == Last::Stay) {
                links += 1;
                if links > MAX_LINKS {
                    return Err(Errno::LOOP.into());
                }
                let target = read_link(&fd)?;
                if target.first() == Some(&b'/') {
                    folders.clear();
                }
                for part in split(&target).collect::<Vec<_>>().into_iter().rev() {
                    names.push_front(part);
                }
            } else if names.is_empty() {
                let parent = folder.try_clone()?;
                return Ok(Some(Spot { fd, stat, parent, name }));
            } else {
                folders.push(fd);
            }
        }
        // The path ended at the root or in `..`: the folder reached is itself the spot.
        let folder = folders.last().unwrap_or(&self.root);
        let fd = open_path(folder, b".")?;
        let stat = rustix::fs::fstat(&fd)?;
        Ok(Some(Spot { fd, stat, parent: folder.try_clone()?, name: b".".to_vec() }))
    }
}

fn split(path: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b".")).map(<[u8]>::to_vec)
}

fn open_path(folder: impl AsFd, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat(folder, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
}

/// Where an open link leads.
pub(super) fn read_link(link: impl AsFd) -> io::Result<Vec<u8>> {
    Ok(rustix::fs::readlinkat(link, c"", Vec::new())?.into_bytes())
}
