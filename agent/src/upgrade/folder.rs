//! The programs of the slots and what is known of them, on disk: `slots/current.json`, `slots/{a,b}/` with a
//! program each, `slots/{a,b}.part` while one is fetched. All in the state folder, where nobody else writes.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use wardwatch_policies::digest::Digest;

use super::slots::{Occupant, Slot, Slots};
use crate::platform;
use crate::state::{MAX_FILE_BYTES, StateDir, StateError, read_bounded, write_private};

const PROGRAM: &str = "wardwatch-agent";
const READ_ATTEMPTS: u32 = 20;
const READ_PAUSE: Duration = Duration::from_millis(25);

/// Where the slots of one agent are.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    state_file: PathBuf,
}

/// A program in a slot that must not be run.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("its file cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("its file is torn or was changed: it is not what was signed")]
    Changed,
}

impl Folder {
    #[must_use]
    pub fn of(state: &StateDir) -> Self {
        Self { path: state.slots(), state_file: state.slots_file() }
    }

    /// Whether an upgrade was ever begun here.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.state_file.exists()
    }

    #[must_use]
    pub fn program(&self, slot: Slot) -> PathBuf {
        self.path.join(slot.as_str()).join(format!("{PROGRAM}{}", std::env::consts::EXE_SUFFIX))
    }

    /// Where a program is while it is fetched.
    #[must_use]
    pub fn part(&self, slot: Slot) -> PathBuf {
        self.path.join(format!("{}.part", slot.as_str()))
    }

    /// Removes what came of a program that is not wanted any more.
    pub fn discard(&self, slot: Slot) {
        let part = self.part(slot);
        match fs::remove_file(&part) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!("{} cannot be removed: {error}", part.display());
            }
            _ => {}
        }
    }

    /// What is known of the slots. What is damaged is as if it had never been: the installed program runs.
    ///
    /// # Errors
    /// The system does not give it, so that it must not be written over.
    pub fn load(&self) -> Result<Slots, StateError> {
        let bytes = match self.read() {
            Ok(None) => return Ok(Slots::default()),
            Ok(Some(bytes)) => bytes,
            Err(StateError::Damaged { path, problem }) => {
                tracing::error!("{} is damaged ({problem}); the installed program runs", path.display());
                return Ok(Slots::default());
            }
            Err(error) => return Err(error),
        };
        Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::error!("{} is damaged ({error}); the installed program runs", self.state_file.display());
            Slots::default()
        }))
    }

    /// On Windows whoever looks at every new file may hold it for a moment.
    fn read(&self) -> Result<Option<Vec<u8>>, StateError> {
        let mut attempts = 0;
        loop {
            match read_bounded(&self.state_file) {
                Err(StateError::Io { .. }) if attempts < READ_ATTEMPTS => attempts += 1,
                read => return read,
            }
            thread::sleep(READ_PAUSE);
        }
    }

    /// # Errors
    /// The folder cannot be written, or the slots hold more than would be read again.
    pub fn save(&self, slots: &Slots) -> Result<(), StateError> {
        let path = &self.state_file;
        let io = |source| StateError::Io { path: path.clone(), did: "written", source };
        fs::create_dir_all(&self.path).map_err(io)?;
        let bytes = serde_json::to_vec_pretty(slots).map_err(|error| io(error.into()))?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(io(io::ErrorKind::FileTooLarge.into()));
        }
        write_private(path, &bytes)
    }

    /// Makes the fetched part the program of its slot. Durable on return.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn place(&self, slot: Slot) -> io::Result<PathBuf> {
        let (part, program) = (self.part(slot), self.program(slot));
        let folder = program.parent().unwrap_or(&self.path);
        fs::create_dir_all(folder)?;
        platform::make_runnable(&part)?;
        File::options().write(true).open(&part)?.sync_all()?;
        platform::replace_file(&part, &program)?;
        Ok(program)
    }

    /// Whether the program in a slot still is what its release says.
    ///
    /// # Errors
    /// It is not.
    pub fn verify(&self, occupant: &Occupant) -> Result<(), Unusable> {
        let found = digest_of(&self.program(occupant.slot), occupant.size)?;
        if found == Some(occupant.digest) { Ok(()) } else { Err(Unusable::Changed) }
    }
}

/// The digest of a file of `size` bytes; `None` if it has another size.
///
/// # Errors
/// The file cannot be read.
pub fn digest_of(path: &Path, size: u64) -> io::Result<Option<Digest>> {
    let file = File::open(path)?;
    if file.metadata()?.len() != size {
        return Ok(None);
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file.take(size))?;
    Ok(Some(Digest::from_bytes(*hasher.finalize().as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::super::slots::Told;
    use super::*;
    use wardwatch_policies::release::UpgradeOutcome;
    use wardwatch_wire::downlink::CommandId;

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::of(&StateDir::new(dir.path().to_owned()));
        (dir, folder)
    }

    fn occupant(content: &[u8]) -> Occupant {
        Occupant {
            slot: Slot::B,
            version: "0.2.0".parse().unwrap(),
            digest: Digest::of(content),
            size: content.len() as u64,
            command: CommandId(1),
        }
    }

    #[test]
    fn a_program_that_is_torn_changed_or_gone_is_not_run() {
        let (_dir, folder) = folder();
        let content = b"a whole program";
        assert!(matches!(folder.verify(&occupant(content)), Err(Unusable::Unreadable(_))));
        folder.save(&Slots::default()).unwrap();
        fs::write(folder.part(Slot::B), content).unwrap();
        let program = folder.place(Slot::B).unwrap();
        folder.verify(&occupant(content)).unwrap();
        assert!(!folder.part(Slot::B).exists());
        for wrong in [&content[..5], b"another program", b""] {
            fs::write(&program, wrong).unwrap();
            assert!(matches!(folder.verify(&occupant(content)), Err(Unusable::Changed)));
        }
    }

    #[test]
    fn what_is_damaged_leads_to_the_installed_program() {
        let (_dir, folder) = folder();
        assert_eq!(folder.load().unwrap(), Slots::default());
        let slots = Slots { key_serial: 7, ..Slots::default() };
        folder.save(&slots).unwrap();
        assert_eq!(folder.load().unwrap(), slots);
        for damaged in ["{\"key_serial\"".to_owned(), " ".repeat(300 * 1024)] {
            fs::write(&folder.state_file, damaged).unwrap();
            assert_eq!(folder.load().unwrap(), Slots::default());
        }
    }

    #[test]
    fn what_the_system_does_not_give_is_not_taken_for_nothing() {
        let (_dir, folder) = folder();
        fs::create_dir_all(&folder.state_file).unwrap();
        assert!(matches!(folder.load(), Err(StateError::Io { .. })));
    }

    #[test]
    fn what_would_not_be_read_again_is_not_written() {
        let (_dir, folder) = folder();
        let slots = Slots { key_serial: 7, ..Slots::default() };
        folder.save(&slots).unwrap();
        let mut large = slots.clone();
        large.untold.push(Told {
            command: CommandId(1),
            version: None,
            outcome: UpgradeOutcome::Returned { reason: "x".repeat(300 * 1024) },
        });
        assert!(matches!(folder.save(&large), Err(StateError::Io { .. })));
        assert_eq!(folder.load().unwrap(), slots);
    }
}
