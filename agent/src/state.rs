//! The state folder: who this agent is, its keys, and the files that the rest of the agent keeps there.
//!
//! Keys never leave it. It is bound to the machine, so that a copied disk does not speak in another's name.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use ed25519_dalek::{SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::ids::{AgentId, EndpointKind, UnitId};
use zeroize::{Zeroize, Zeroizing};

use crate::platform;

mod base64_text;
#[cfg(test)]
mod tests;

pub use crate::platform::Machine;

/// No file of the state folder that is read whole is larger, in bytes.
pub(crate) const MAX_FILE_BYTES: u64 = 256 * 1024;
const LOCK: &str = "lock";
const LOCK_WAITING: &str = "waiting.lock";
/// How long a lock is tried for.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
const LOCK_RETRY: Duration = Duration::from_millis(20);

/// The state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error(
        "this machine is not enrolled: {} holds no identity; run `wardwatch-agent enrol` with a string from \
         `wardwatch-collector token create`",
        .0.display()
    )]
    NotEnrolled(PathBuf),
    #[error(
        "another agent runs with the state folder {}; stop it first, or name another folder with --state-dir",
        .0.display()
    )]
    Locked(PathBuf),
    #[error(
        "the state folder {} belongs to another machine, so it is not used: two machines under one name would \
         be taken for an attack; enrol this machine anew with `wardwatch-agent enrol`",
        .0.display()
    )]
    OtherMachine(PathBuf),
    #[error("nothing was started, since programs and keys lie in {}: {reason}", .path.display())]
    OfOthers { path: PathBuf, reason: String },
    #[error("{} cannot be read: {problem}; enrol this machine anew if it is damaged", .path.display())]
    Damaged { path: PathBuf, problem: String },
    #[error("{} cannot be {did}: {source}; check the folder's owner, the free space, and that the disk is not read-only", .path.display())]
    Io { path: PathBuf, did: &'static str, source: io::Error },
}

/// Who this agent is and whom it believes, as the collector answered the enrolment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub agent: AgentId,
    pub unit: UnitId,
    pub kind: EndpointKind,
    /// Names or addresses of the collector, tried in turn.
    pub hosts: Vec<String>,
    pub mqtt_port: u16,
    /// Of the HTTPS listener that enrolled this agent and gives it programs; `None` if an earlier version
    /// enrolled it.
    #[serde(default)]
    pub enrol_port: Option<u16>,
    /// The authority's certificate, X.509 in DER.
    #[serde(with = "base64_text::one")]
    pub ca: Vec<u8>,
    /// This agent's certificate and its issuers, leaf first.
    #[serde(with = "base64_text::many")]
    pub chain: Vec<Vec<u8>>,
    pub root: Digest,
    /// Ed25519.
    #[serde(with = "base64_text::one")]
    pub collector_key: Vec<u8>,
    pub collector_key_serial: u64,
    /// Of the machine that enrolled.
    pub machine: Machine,
}

impl Identity {
    /// # Errors
    /// The stored key is not one.
    pub fn verifying_key(&self) -> Result<VerifyingKey, String> {
        let bytes: &[u8; 32] =
            self.collector_key.as_slice().try_into().map_err(|_| "a key that has not 32 bytes".to_owned())?;
        VerifyingKey::from_bytes(bytes).map_err(|_| "a key that is no Ed25519 key".to_owned())
    }
}

/// The keys of this agent.
pub struct Keys {
    /// Signs reports.
    pub report: SigningKey,
    /// The TLS key in PEM.
    pub tls_pem: Zeroizing<String>,
}

/// An enrolment that was begun: the same keys ask again if the answer was lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    pub agent: AgentId,
    pub token_id: u64,
    pub machine: Machine,
}

/// The state folder of one agent.
#[derive(Debug, Clone)]
pub struct StateDir {
    path: PathBuf,
}

/// Held while an agent runs; the kernel gives it back however the process ends.
pub struct Lock {
    _file: File,
}

impl StateDir {
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Makes the folder, readable by its owner alone.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn create(&self) -> Result<(), StateError> {
        let made = platform::create_private_folder(&self.path);
        made.map_err(|source| StateError::Io { path: self.path.clone(), did: "made", source })
    }

    /// Refuses a folder that others could have filled: its programs are run and its keys believed.
    ///
    /// # Errors
    /// The folder, or what decides there which program runs, is not this user's alone.
    pub fn refuse_of_others(&self) -> Result<(), StateError> {
        [self.path.clone(), self.slots(), self.slots_file()].into_iter().try_for_each(|path| {
            match platform::distrust(&path) {
                Ok(None) => Ok(()),
                Ok(Some(reason)) => Err(StateError::OfOthers { path, reason }),
                Err(source) => Err(StateError::Io { path, did: "looked at", source }),
            }
        })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    #[must_use]
    pub fn outbox(&self) -> PathBuf {
        self.path.join("outbox.redb")
    }

    #[must_use]
    pub fn cache(&self) -> PathBuf {
        self.path.join("files.redb")
    }

    #[must_use]
    pub fn status(&self) -> PathBuf {
        self.path.join("status.json")
    }

    /// Where programs other than the installed one lie.
    #[must_use]
    pub fn slots(&self) -> PathBuf {
        self.path.join("slots")
    }

    /// What is known of them.
    #[must_use]
    pub fn slots_file(&self) -> PathBuf {
        self.slots().join("current.json")
    }

    fn identity_file(&self) -> PathBuf {
        self.path.join("identity.json")
    }

    fn pending_file(&self) -> PathBuf {
        self.path.join("enrolment.json")
    }

    fn report_key_file(&self) -> PathBuf {
        self.path.join("report.key")
    }

    fn tls_key_file(&self) -> PathBuf {
        self.path.join("tls.key")
    }

    /// # Errors
    /// Another process holds it, or the folder cannot be written.
    pub fn lock(&self) -> Result<Lock, StateError> {
        self.lock_file(LOCK)
    }

    /// Held by an agent that waits for enrolment, which must be able to lock the state meanwhile.
    ///
    /// # Errors
    /// As [`Self::lock`].
    pub fn lock_waiting(&self) -> Result<Lock, StateError> {
        self.lock_file(LOCK_WAITING)
    }

    fn lock_file(&self, name: &str) -> Result<Lock, StateError> {
        let path = self.path.join(name);
        let explain = |source| StateError::Io { path: path.clone(), did: "locked", source };
        let file =
            platform::private_file().create(true).truncate(false).write(true).open(&path).map_err(explain)?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _file: file }),
                // Whoever asks for the status holds it for a moment, which must not keep an agent from starting.
                Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_PATIENCE => sleep(LOCK_RETRY),
                Err(TryLockError::WouldBlock) => return Err(StateError::Locked(self.path.clone())),
                Err(TryLockError::Error(source)) => return Err(explain(source)),
            }
        }
    }

    /// Whether an agent runs with this folder, or waits to be enrolled.
    ///
    /// # Errors
    /// The locks cannot be read.
    pub fn is_locked(&self) -> Result<bool, StateError> {
        for path in [LOCK, LOCK_WAITING].map(|name| self.path.join(name)) {
            let explain = |source| StateError::Io { path: path.clone(), did: "read", source };
            let file = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened.map_err(explain)?,
            };
            match file.try_lock_shared() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(true),
                Err(TryLockError::Error(source)) => return Err(explain(source)),
            }
        }
        Ok(false)
    }

    /// The identity, if this machine may use it.
    ///
    /// # Errors
    /// Not enrolled, enrolled on another machine, or damaged.
    pub fn identity(&self, machine: &Machine) -> Result<Identity, StateError> {
        let identity: Identity = self
            .read_json(&self.identity_file())?
            .ok_or_else(|| StateError::NotEnrolled(self.path.clone()))?;
        if !identity.machine.is(machine) {
            return Err(StateError::OtherMachine(self.path.clone()));
        }
        Ok(identity)
    }

    /// # Errors
    /// The file cannot be written.
    pub fn save_identity(&self, identity: &Identity) -> Result<(), StateError> {
        self.write_json(&self.identity_file(), identity)?;
        remove(&self.pending_file())
    }

    /// # Errors
    /// The file is there and cannot be read.
    pub fn pending(&self) -> Result<Option<Pending>, StateError> {
        self.read_json(&self.pending_file())
    }

    /// Keys first, the note that they are in use last.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn save_pending(&self, pending: &Pending, keys: &Keys) -> Result<(), StateError> {
        let seed = Zeroizing::new(keys.report.to_bytes());
        write_private(&self.report_key_file(), seed.as_slice())?;
        write_private(&self.tls_key_file(), keys.tls_pem.as_bytes())?;
        self.write_json(&self.pending_file(), pending)
    }

    /// # Errors
    /// A key is missing or damaged.
    pub fn keys(&self) -> Result<Keys, StateError> {
        let path = self.report_key_file();
        let mut bytes = Zeroizing::new(read_bounded(&path)?.unwrap_or_default());
        let mut seed = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| StateError::Damaged {
            path: path.clone(),
            problem: "it does not hold a key of 32 bytes".into(),
        })?;
        bytes.zeroize();
        let report = SigningKey::from_bytes(&seed);
        seed.zeroize();
        let path = self.tls_key_file();
        let text = String::from_utf8(read_bounded(&path)?.unwrap_or_default())
            .map_err(|_| StateError::Damaged { path, problem: "it does not hold a key in PEM".into() })?;
        Ok(Keys { report, tls_pem: Zeroizing::new(text) })
    }

    /// Forgets whatever an earlier enrolment left.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn clear(&self) -> Result<(), StateError> {
        let files = [
            self.identity_file(),
            self.pending_file(),
            self.outbox(),
            self.cache(),
            self.status(),
            self.report_key_file(),
            self.tls_key_file(),
            self.slots_file(),
        ];
        files.iter().try_for_each(|path| remove(path))?;
        // A program that runs cannot be removed everywhere; without the file above nobody starts it again.
        let _ = fs::remove_dir_all(self.slots());
        Ok(())
    }

    fn read_json<T: for<'de> Deserialize<'de>>(&self, path: &Path) -> Result<Option<T>, StateError> {
        let Some(bytes) = read_bounded(path)? else { return Ok(None) };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| StateError::Damaged { path: path.to_owned(), problem: error.to_string() })
    }

    fn write_json(&self, path: &Path, value: &impl Serialize) -> Result<(), StateError> {
        let bytes = serde_json::to_vec_pretty(value).map_err(|error| StateError::Io {
            path: path.to_owned(),
            did: "written",
            source: error.into(),
        })?;
        write_private(path, &bytes)
    }
}

pub(crate) fn read_bounded(path: &Path) -> Result<Option<Vec<u8>>, StateError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StateError::Io { path: path.to_owned(), did: "opened", source }),
    };
    let mut bytes = Vec::new();
    match file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes) {
        Ok(_) if bytes.len() as u64 > MAX_FILE_BYTES => {
            Err(StateError::Damaged { path: path.to_owned(), problem: "it is too large".into() })
        }
        Ok(_) => Ok(Some(bytes)),
        Err(source) => Err(StateError::Io { path: path.to_owned(), did: "read", source }),
    }
}

fn remove(path: &Path) -> Result<(), StateError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(StateError::Io { path: path.to_owned(), did: "removed", source })
        }
        _ => Ok(()),
    }
}

/// Replaces a file as a whole, so that a crash leaves the old or the new one; readable by its owner alone.
///
/// # Errors
/// The file cannot be written.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let draft = path.with_extension("part");
    let write = || {
        // What somebody put there, such as a link, is not written to.
        if let Err(error) = fs::remove_file(&draft)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = platform::private_file().create_new(true).write(true).open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        drop(file);
        platform::replace_file(&draft, path)
    };
    write().map_err(|source| StateError::Io { path: path.to_owned(), did: "written", source })
}
