//! Readings and observations: what the sensor is asked to read, and what it read. Nothing here judges.

pub mod registry;

use std::collections::BTreeMap;

use crate::observation::registry::RegistrySeen;
use crate::path::EndpointPath;
use crate::policy::pattern::path::PathPattern;
use crate::policy::pattern::{InvalidPattern, LinePattern};
use crate::policy::registry::RegistrySource;

/// One thing to read. Several probes may share one reading.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reading {
    /// Type, mode and owner of the files at a path.
    Files {
        path: PathPattern,
    },
    /// The lines of a file that match.
    Lines {
        path: PathPattern,
        line: LinePattern,
    },
    Key(KeySource),
    /// A value or a key in the registry of Windows.
    Registry(RegistrySource),
    /// A kernel setting, as in `net.ipv4.ip_forward`.
    Sysctl {
        name: String,
    },
    Mounts,
    Package {
        name: String,
    },
    Service {
        name: String,
    },
    /// The accounts; with `passwords`, also whether one of these, or the account's own name, opens them.
    Accounts {
        passwords: Vec<String>,
    },
    /// Listening sockets.
    Sockets,
    /// The names of running processes.
    Processes,
}

/// Where a key stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeySource {
    /// Read in this order; files that are absent are left out.
    pub paths: Vec<PathPattern>,
    pub format: KeyFormat,
    /// Only of [`KeyFormat::Ini`].
    pub section: Option<String>,
    pub key: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyFormat {
    /// `[section]`, `key = value`; the last value counts.
    Ini,
    /// `KEY="value"`, with or without `export`; the last value counts.
    Shell,
    /// `key value`; the last value counts.
    Words,
    /// OpenSSH server: case does not matter, `Include` is followed, the first value outside `Match` counts.
    Sshd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    Tcp,
    Udp,
}

/// It could not be read, with the reason in English.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

impl From<InvalidPattern> for Unreadable {
    fn from(error: InvalidPattern) -> Self {
        Self(error.to_string())
    }
}

/// What was read for each reading.
pub type Observations = BTreeMap<Reading, Result<Observation, Unreadable>>;

/// The answer to one [`Reading`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// Empty where nothing is there.
    Files(Vec<FileSeen>),
    Lines(Vec<LinesSeen>),
    Key(KeySeen),
    /// One for each person and view that was asked for.
    Registry(Vec<RegistrySeen>),
    /// `None`: this kernel has no such setting.
    Sysctl(Option<String>),
    Mounts(Vec<Mount>),
    /// The installed version, `None` where it is not installed.
    Package(Option<String>),
    Service(ServiceSeen),
    Accounts(Vec<Account>),
    Sockets(Vec<Socket>),
    Processes(Vec<String>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSeen {
    pub path: EndpointPath,
    /// `Err` where the system has no such permissions.
    pub permissions: Result<Permissions, Unreadable>,
}

/// Mode and owner as Unix keeps them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    /// Permission bits, `0o7777`.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// The name of `gid` in this root, if it has one.
    pub group: Option<String>,
}

/// What one file had of the pattern asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinesSeen {
    pub path: EndpointPath,
    /// The first line that matches, counted from 1, with its text, masked if it may hold a secret.
    pub first: Option<(usize, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySeen {
    /// The files that were there and were read.
    pub files: Vec<EndpointPath>,
    /// The value that counts, and where it stands.
    pub value: Option<KeyValue>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    pub value: String,
    pub path: EndpointPath,
    /// Counted from 1.
    pub line: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub point: String,
    pub options: Vec<String>,
}

/// How a service stands, by what its init system's files or the service manager of Windows show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSeen {
    /// Where it was found, as in `/etc/systemd/system/ssh.service`.
    pub at: Option<EndpointPath>,
    pub installed: bool,
    pub enabled: bool,
    pub masked: bool,
    /// What its system calls the way it starts, as in `manual`, where that is another word.
    pub start_type: Option<&'static str>,
    /// `Err` where the init system keeps no record of it that can be read.
    pub active: Result<bool, Unreadable>,
}

impl ServiceSeen {
    /// A service that is not there.
    #[must_use]
    pub const fn absent() -> Self {
        Self {
            at: None,
            installed: false,
            enabled: false,
            masked: false,
            start_type: None,
            active: Ok(false),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceState {
    /// It starts with the system.
    Enabled,
    /// It is not there, masked, or does not start by itself.
    Disabled,
    /// It cannot be started at all.
    Masked,
    /// It runs.
    Active,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub name: String,
    pub uid: u32,
    pub password: Password,
    /// Its hash stands in `/etc/passwd` itself.
    pub in_passwd: bool,
}

/// What is known of an account's password. The hash itself never leaves the sensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Password {
    Empty,
    Locked,
    Set { scheme: HashScheme, guess: Guess },
    Unreadable(Unreadable),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashScheme {
    Des,
    Md5,
    Sha256,
    Sha512,
    /// yescrypt, bcrypt, scrypt or another that resists guessing.
    Other,
}

/// Whether a well-known password opens the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guess {
    NotTried,
    NoneFits,
    /// One fits; which one is not told.
    Fits,
    /// The hash cannot be computed here.
    CannotCompute(Unreadable),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    pub protocol: Protocol,
    pub port: u16,
    pub address: String,
    pub loopback: bool,
}

impl Protocol {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

impl ServiceState {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::Masked => "masked",
            Self::Active => "active",
        }
    }
}
