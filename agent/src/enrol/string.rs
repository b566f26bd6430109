//! Where an enrolment string is read from. Never from the command line, where every user of the machine and
//! the shell's history would see it.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow};
use wardwatch_wire::enrolment::{EnrolmentString, MAX_STRING_BYTES};
use zeroize::Zeroizing;

use crate::platform;

/// Where the string is.
pub enum Source {
    /// Removed once it has served.
    File(PathBuf),
    /// Where somebody put it for an agent that waits; believed only if nobody else could write or read it.
    /// Removed once it has served.
    Placed(PathBuf),
    /// Asked for without echo if it is a terminal.
    StandardInput,
    Typed(Zeroizing<String>),
}

impl Source {
    /// Asks the person at the terminal, if there is one, who may have no string yet.
    ///
    /// # Errors
    /// The terminal cannot be read.
    pub fn ask() -> Result<Option<Self>> {
        if !io::stdin().is_terminal() {
            return Ok(None);
        }
        let text = platform::prompt_secret("Enrolment string (not shown; empty: enrol later): ")
            .context("the enrolment string cannot be read from the terminal")?;
        Ok((!text.trim().is_empty()).then_some(Self::Typed(text)))
    }

    pub(super) fn read(&self) -> Result<EnrolmentString> {
        let text = match self {
            Self::File(path) => {
                let file = File::open(path).with_context(|| {
                    format!("the enrolment string cannot be read from {}; check the path", path.display())
                })?;
                read_bounded(file)?
            }
            Self::Placed(path) => {
                let opened = platform::open_private(path).map_err(|problem| {
                    anyhow!("the enrolment string in {} is not used: {problem}", path.display())
                })?;
                read_bounded(opened.with_context(|| format!("{} is gone", path.display()))?)?
            }
            Self::Typed(text) => text.clone(),
            Self::StandardInput if io::stdin().is_terminal() => {
                platform::prompt_secret("Enrolment string (not shown): ")
                    .context("the enrolment string cannot be read from the terminal")?
            }
            Self::StandardInput => read_bounded(io::stdin().lock())?,
        };
        Ok(text.parse()?)
    }

    /// Removes the file, since its string may not be used by anyone else now.
    pub(super) fn forget(&self) {
        if let Self::File(path) | Self::Placed(path) = self
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!(
                "{} holds a secret and cannot be removed ({error}); remove it by hand",
                path.display()
            );
        }
    }
}

pub(super) fn read_bounded(from: impl Read) -> Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    from.take(MAX_STRING_BYTES as u64 + 1)
        .read_to_string(&mut text)
        .context("the enrolment string cannot be read; it is one line of text")?;
    Ok(text)
}
