//! Where an enrolment string is read from. Never from the command line, where every user of the machine and
//! the shell's history would see it.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;

use anyhow::{Context, Result};
use wardwatch_wire::enrolment::{EnrolmentString, MAX_STRING_BYTES};
use zeroize::Zeroizing;

use crate::platform;

/// Where the string is.
pub enum Source {
    /// Removed once it has served.
    File(PathBuf),
    /// Asked for without echo if it is a terminal.
    StandardInput,
}

impl Source {
    pub(super) fn read(&self) -> Result<EnrolmentString> {
        let text = match self {
            Self::File(path) => {
                let file = File::open(path).with_context(|| {
                    format!("the enrolment string cannot be read from {}; check the path", path.display())
                })?;
                read_bounded(file)?
            }
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
        if let Self::File(path) = self
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!(
                "{} holds a secret and cannot be removed ({error}); remove it by hand",
                path.display()
            );
        }
    }
}

fn read_bounded(from: impl Read) -> Result<Zeroizing<String>> {
    let mut text = Zeroizing::new(String::new());
    from.take(MAX_STRING_BYTES as u64 + 1)
        .read_to_string(&mut text)
        .context("the enrolment string cannot be read; it is one line of text")?;
    Ok(text)
}
