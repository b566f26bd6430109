//! Upgrades from the centre: another program is fetched into one of two slots, tried, and kept only once the
//! collector has answered it; else the one before runs again.
//!
//! `judge` decides whether a release may come here, `slots` which program runs next; both are pure. `fetch`
//! moves bytes, `folder` keeps programs and their state on disk. The installed program is never written: whatever
//! becomes of the slots, it can run. What was chosen is started by `handover`; the running agent's part stands in
//! `cycle`.

pub mod fetch;
pub mod folder;
pub mod judge;
pub mod slots;

use std::fs;
use std::io;
use std::path::PathBuf;

use wardwatch_policies::release::{Target, Version};

use crate::state::StateDir;
use folder::Folder;

/// Set by the installed program for one that it hands over to: where the installed one lies.
pub const INSTALLED: &str = "WARDWATCH_INSTALLED";
/// Set for a program that runs beside the installed one, which waits for it.
pub(crate) const BESIDE: &str = "WARDWATCH_BESIDE";

/// The program of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    pub version: Version,
    /// The one that the service starts, which may be another.
    pub installed: PathBuf,
    /// Whether this one lies in a slot.
    pub in_slot: bool,
    /// Whether another process waits for this one.
    pub beside: bool,
}

impl Program {
    /// # Errors
    /// The system does not say where the program lies.
    pub fn of_this_process(version: Version) -> io::Result<Self> {
        let installed = std::env::var_os(INSTALLED);
        let in_slot = installed.is_some();
        let beside = is_beside();
        let installed = installed.map_or_else(std::env::current_exe, |path| Ok(PathBuf::from(path)))?;
        Ok(Self { version, installed, in_slot, beside })
    }
}

/// Whether another process waits for this one.
#[must_use]
pub fn is_beside() -> bool {
    std::env::var_os(INSTALLED).is_some() && std::env::var_os(BESIDE).is_some()
}

/// Which other version is on its way here and how far it is, for a person who asks.
#[must_use]
pub fn on_its_way(state: &StateDir) -> Option<String> {
    let folder = Folder::of(state);
    let slots = folder.load().ok()?;
    if let Some(trial) = &slots.trial {
        let attempts = trial.attempts_left;
        return Some(format!("{} is tried; attempts left after this one: {attempts}", trial.program.version));
    }
    let release = slots.order.as_ref()?.release.claimed()?;
    let have = fs::metadata(folder.part(slots.free())).map_or(0, |part| part.len());
    Some(format!("{} is fetched: {have} of {} bytes", release.version, release.size))
}

/// What this program is built for.
///
/// # Panics
/// Never: a test reads it.
#[must_use]
pub fn target() -> Target {
    env!("WARDWATCH_TARGET").parse().expect("cargo names targets by their triple")
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_program_knows_its_target() {
        assert!(super::target().as_str().contains(std::env::consts::OS));
    }
}
