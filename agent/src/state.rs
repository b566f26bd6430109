//! The state folder: who this agent is, its keys, and the files that the rest of the agent keeps there.
//!
//! Keys never leave it. It is bound to the machine, so that a copied disk does not speak in another's name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ed25519_dalek::{SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::ids::{AgentId, EndpointKind, UnitId};
use zeroize::{Zeroize, Zeroizing};

mod base64_text;
mod machine;

pub use machine::Machine;

/// No file of the state folder that is read whole is larger, in bytes.
const MAX_FILE_BYTES: u64 = 256 * 1024;

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
    #[error("{} cannot be read: {problem}; enrol this machine anew if it is damaged", .path.display())]
    Damaged { path: PathBuf, problem: String },
    #[error("{} cannot be {did}: {source}; check the folder's owner and the free space", .path.display())]
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
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path);
        made.map_err(|source| StateError::Io { path: self.path.clone(), did: "made", source })
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
        let path = self.path.join("lock");
        let explain = |source| StateError::Io { path: path.clone(), did: "locked", source };
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(explain)?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(fs::TryLockError::WouldBlock) => Err(StateError::Locked(self.path.clone())),
            Err(fs::TryLockError::Error(source)) => Err(explain(source)),
        }
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
        ];
        files.iter().try_for_each(|path| remove(path))
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

fn read_bounded(path: &Path) -> Result<Option<Vec<u8>>, StateError> {
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
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    write().map_err(|source| StateError::Io { path: path.to_owned(), did: "written", source })
}
