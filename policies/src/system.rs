//! The operating systems that agents run on.

use std::fmt;
use std::str::FromStr;

/// An operating system. A policy may be written for one, and then says nothing about another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    Linux,
    Windows,
}

impl System {
    pub const ALL: [Self; 2] = [Self::Linux, Self::Windows];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::Windows => "windows",
        }
    }
}

/// Its name as a person writes it.
impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Linux => "Linux",
            Self::Windows => "Windows",
        })
    }
}

/// The text names no system.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a system; use linux or windows")]
pub struct InvalidSystem(String);

impl FromStr for System {
    type Err = InvalidSystem;

    fn from_str(text: &str) -> Result<Self, InvalidSystem> {
        Self::ALL
            .into_iter()
            .find(|system| system.as_str() == text)
            .ok_or_else(|| InvalidSystem(text.chars().take(40).collect()))
    }
}
