//! Paths where something happened and nobody has looked yet. A short delay lets what belongs together come
//! together; a file that is still being written is left a little longer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::platform::Notice;

const SETTLE: Duration = Duration::from_millis(150);
const WRITING: Duration = Duration::from_secs(1);
/// So often a file is looked at that changes while it is read, before that is told.
const ATTEMPTS: u32 = 10;

#[derive(Debug, Clone, Copy)]
struct Due {
    at: Instant,
    /// Later notices do not put it off.
    firm: bool,
}

#[derive(Debug, Default)]
pub(super) struct Dirty {
    files: BTreeMap<PathBuf, Due>,
    folders: BTreeMap<PathBuf, Instant>,
    attempts: BTreeMap<PathBuf, u32>,
}

impl Dirty {
    pub(super) fn note(&mut self, notice: Notice, now: Instant) {
        match notice {
            Notice::File(path) => {
                let due = self.files.entry(path).or_insert(Due { at: now + SETTLE, firm: true });
                if !due.firm {
                    *due = Due { at: now + SETTLE, firm: true };
                }
            }
            Notice::Writing(path) => {
                let due = self.files.entry(path).or_insert(Due { at: now + WRITING, firm: false });
                if !due.firm {
                    due.at = now + WRITING;
                }
            }
            Notice::FolderCame(path) | Notice::FolderWent(path) => {
                self.folders.entry(path).or_insert(now + SETTLE);
            }
            Notice::Overflow => {}
        }
    }

    /// When the next look is due.
    pub(super) fn due(&self) -> Option<Instant> {
        self.files.values().map(|due| due.at).chain(self.folders.values().copied()).min()
    }

    /// Takes what is due, folders only if asked for.
    pub(super) fn take_due(&mut self, now: Instant, folders: bool) -> (Vec<PathBuf>, Vec<PathBuf>) {
        let files = self.files.extract_if(.., |_, due| due.at <= now).map(|(path, _)| path).collect();
        let folders = if folders {
            self.folders.extract_if(.., |_, at| *at <= now).map(|(path, _)| path).collect()
        } else {
            Vec::new()
        };
        (files, folders)
    }

    /// Looks again later at a file that changed while it was read; says no after too many attempts.
    pub(super) fn again(&mut self, path: &Path, now: Instant) -> bool {
        let attempts = self.attempts.entry(path.to_owned()).or_default();
        *attempts += 1;
        let again = *attempts < ATTEMPTS;
        if again {
            self.files.insert(path.to_owned(), Due { at: now + WRITING, firm: true });
        }
        again
    }

    pub(super) fn settled(&mut self, path: &Path) {
        self.attempts.remove(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> PathBuf {
        "/usr/bin/a".into()
    }

    #[test]
    fn a_closed_file_is_looked_at_soon_however_often_it_is_written() {
        let (mut dirty, now) = (Dirty::default(), Instant::now());
        dirty.note(Notice::File(file()), now);
        dirty.note(Notice::Writing(file()), now + SETTLE / 2);
        dirty.note(Notice::File(file()), now + SETTLE / 2);
        assert_eq!(dirty.due(), Some(now + SETTLE));
        assert_eq!(dirty.take_due(now + SETTLE, true), (vec![file()], vec![]));
        assert_eq!(dirty.due(), None);
    }

    #[test]
    fn a_file_that_is_still_written_waits_for_its_writer() {
        let (mut dirty, now) = (Dirty::default(), Instant::now());
        dirty.note(Notice::Writing(file()), now);
        dirty.note(Notice::Writing(file()), now + WRITING / 2);
        assert_eq!(dirty.due(), Some(now + WRITING / 2 + WRITING));
        dirty.note(Notice::File(file()), now + WRITING / 2);
        assert_eq!(dirty.due(), Some(now + WRITING / 2 + SETTLE));
    }

    #[test]
    fn a_file_that_never_rests_is_told_as_such_in_the_end() {
        let (mut dirty, now) = (Dirty::default(), Instant::now());
        assert_eq!((0..20).filter(|_| dirty.again(&file(), now)).count(), ATTEMPTS as usize - 1);
    }
}
