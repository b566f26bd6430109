//! The typed probes: what a condition can ask of an endpoint, and what it expects.

use std::fmt;

use crate::observation::{KeySource, Protocol, Reading, ServiceState};
use crate::policy::pattern::path::PathPattern;
use crate::policy::pattern::{InvalidPattern, LinePattern};
use crate::policy::registry::{RegistrySource, ValueType};

/// One question with the answer it expects. The sensor is asked by [`Probe::reading`] only, so it cannot judge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A file of any type is there.
    File {
        path: PathPattern,
    },
    /// No permission bit is set that is not in `no_more_than`.
    Mode {
        path: PathPattern,
        no_more_than: u32,
        if_absent: IfAbsent,
    },
    Owner {
        path: PathPattern,
        owner: Owner,
        if_absent: IfAbsent,
    },
    /// Some line of the file matches.
    Content {
        path: PathPattern,
        line: LinePattern,
        if_absent: IfAbsent,
    },
    /// A value in a configuration file; `default` is what the program takes where the key is absent.
    Key {
        source: KeySource,
        expected: Comparison,
        default: Option<String>,
    },
    /// A value or a key in the registry of Windows.
    Registry {
        source: RegistrySource,
        expected: InRegistry,
    },
    Sysctl {
        name: String,
        expected: Comparison,
    },
    /// Something is mounted at this point, with all these options.
    Mount {
        point: String,
        options: Vec<String>,
    },
    /// A package is installed.
    Package {
        name: String,
    },
    Service {
        name: String,
        is: ServiceState,
    },
    Accounts(AccountRule),
    /// Something listens on this port other than on loopback.
    Listening {
        port: u16,
        protocol: Option<Protocol>,
    },
    /// A process of this name runs.
    Process {
        name: String,
    },
}

/// What a probe answers about a file that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfAbsent {
    Pass,
    Fail,
}

/// Who may own a file. The user by number; groups by the names that the endpoint's own `/etc/group` gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    /// Any of these groups; empty: any group.
    pub groups: Vec<String>,
}

/// What is expected of a place in the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InRegistry {
    Present,
    Absent,
    /// A value of this type that compares; `default` is what Windows takes where it is absent.
    Value {
        value_type: ValueType,
        expected: Comparison,
        default: Option<String>,
    },
}

/// How a value is compared. Numeric comparisons take a value that is no number as a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    Eq(String),
    Ne(String),
    Lt(i64),
    Le(i64),
    Gt(i64),
    Ge(i64),
    OneOf(Vec<String>),
    Matches(LinePattern),
}

/// What must hold for every account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountRule {
    OnlyRootHasUid0,
    NoEmptyPassword,
    /// Password hashes stand in `/etc/shadow`, not in `/etc/passwd` which everyone reads.
    Shadowed,
    /// No password is hashed with DES or MD5.
    NoWeakHash,
    /// No account has one of these well-known passwords, or its own name, as its password.
    NoDefaultPassword {
        passwords: Vec<String>,
    },
}

impl Probe {
    /// What the sensor has to read for this probe.
    #[must_use]
    pub fn reading(&self) -> Reading {
        match self {
            Self::File { path } | Self::Mode { path, .. } | Self::Owner { path, .. } => {
                Reading::Files { path: path.clone() }
            }
            Self::Content { path, line, .. } => Reading::Lines { path: path.clone(), line: line.clone() },
            Self::Key { source, .. } => Reading::Key(source.clone()),
            Self::Registry { source, .. } => Reading::Registry(source.clone()),
            Self::Sysctl { name, .. } => Reading::Sysctl { name: name.clone() },
            Self::Mount { .. } => Reading::Mounts,
            Self::Package { name } => Reading::Package { name: name.clone() },
            Self::Service { name, .. } => Reading::Service { name: name.clone() },
            Self::Accounts(AccountRule::NoDefaultPassword { passwords }) => {
                Reading::Accounts { passwords: passwords.clone() }
            }
            Self::Accounts(_) => Reading::Accounts { passwords: Vec::new() },
            Self::Listening { .. } => Reading::Sockets,
            Self::Process { .. } => Reading::Processes,
        }
    }
}

impl Comparison {
    /// Whether `found` is as expected. Words are compared without case: `No` and `no` mean the same in every
    /// format that is read.
    ///
    /// # Errors
    /// As [`LinePattern::matcher`].
    pub fn holds(&self, found: &str) -> Result<bool, InvalidPattern> {
        let found = found.trim();
        // Wider than a limit: the registry has numbers of 64 bits without a sign.
        let number = || found.parse::<i128>().ok();
        Ok(match self {
            Self::Eq(value) => found.eq_ignore_ascii_case(value),
            Self::Ne(value) => !found.eq_ignore_ascii_case(value),
            Self::Lt(limit) => number().is_some_and(|number| number < i128::from(*limit)),
            Self::Le(limit) => number().is_some_and(|number| number <= i128::from(*limit)),
            Self::Gt(limit) => number().is_some_and(|number| number > i128::from(*limit)),
            Self::Ge(limit) => number().is_some_and(|number| number >= i128::from(*limit)),
            Self::OneOf(values) => values.iter().any(|value| found.eq_ignore_ascii_case(value)),
            Self::Matches(pattern) => pattern.matcher()?.is_match(found),
        })
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eq(value) => f.write_str(value),
            Self::Ne(value) => write!(f, "anything but {value}"),
            Self::Lt(limit) => write!(f, "less than {limit}"),
            Self::Le(limit) => write!(f, "at most {limit}"),
            Self::Gt(limit) => write!(f, "more than {limit}"),
            Self::Ge(limit) => write!(f, "at least {limit}"),
            Self::OneOf(values) => write!(f, "one of {}", values.join(", ")),
            Self::Matches(pattern) => write!(f, "a value that matches {pattern:?}"),
        }
    }
}
