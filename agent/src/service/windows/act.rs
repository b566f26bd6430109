//! The acts on Windows. Each looks first whether it is done already.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use windows_registry::LOCAL_MACHINE;

use super::super::{Act, Done, NAME, remove_state};
use super::manager::{self, Setting};
use crate::platform;

const EVENT_SOURCES: &str = r"SYSTEM\CurrentControlSet\Services\EventLog\Application";
/// A part of Windows that has the text "%1".
const EVENT_TEXTS: &str = r"%SystemRoot%\System32\EventCreate.exe";
/// Errors, warnings and information.
const EVENT_TYPES: u32 = 7;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum WindowsAct {
    Stop,
    Copy {
        from: PathBuf,
        to: PathBuf,
    },
    PrivateFolder {
        path: PathBuf,
    },
    Register {
        program: PathBuf,
        arguments: Vec<OsString>,
    },
    Configure(Setting),
    RegisterEventSource,
    Start,
    Unregister,
    RemoveEventSource,
    RemoveProgram {
        path: PathBuf,
    },
    /// The agent's state folder with all that is in it.
    RemoveState {
        path: PathBuf,
    },
}

impl fmt::Display for WindowsAct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stop => write!(f, "stop the service {NAME}"),
            Self::Copy { from, to } => write!(f, "copy {} to {}", from.display(), to.display()),
            Self::PrivateFolder { path } => write!(f, "close {} to other users", path.display()),
            Self::Register { program, .. } => {
                write!(f, "register the service {NAME} for {}", program.display())
            }
            Self::Configure(setting) => setting.fmt(f),
            Self::RegisterEventSource => {
                write!(f, "register \"{}\" in the event log", platform::DISPLAY_NAME)
            }
            Self::Start => write!(f, "start the service {NAME}"),
            Self::Unregister => write!(f, "unregister the service {NAME}"),
            Self::RemoveEventSource => {
                write!(f, "remove \"{}\" from the sources of the event log", platform::DISPLAY_NAME)
            }
            Self::RemoveProgram { path } => write!(f, "remove {}", path.display()),
            Self::RemoveState { path } => write!(f, "remove {} with identity and keys", path.display()),
        }
    }
}

impl Act for WindowsAct {
    fn perform(&self) -> Result<Done> {
        match self {
            Self::Stop => manager::stop(),
            Self::Copy { from, to } => copy(from, to),
            Self::PrivateFolder { path } => {
                platform::create_private_folder(path)?;
                Ok(Done::Now)
            }
            Self::Register { program, arguments } => manager::register(program, arguments),
            Self::Configure(setting) => manager::configure(*setting),
            Self::RegisterEventSource => {
                let key = LOCAL_MACHINE.create(event_source_key())?;
                key.set_expand_string("EventMessageFile", EVENT_TEXTS)?;
                key.set_u32("TypesSupported", EVENT_TYPES)?;
                Ok(Done::Now)
            }
            Self::Start => manager::start(),
            Self::Unregister => manager::unregister(),
            Self::RemoveEventSource => {
                if LOCAL_MACHINE.open(event_source_key()).is_err() {
                    return Ok(Done::Before);
                }
                LOCAL_MACHINE.remove_tree(event_source_key())?;
                Ok(Done::Now)
            }
            Self::RemoveProgram { path } => remove_program(path),
            Self::RemoveState { path } => remove_state(path),
        }
    }
}

fn event_source_key() -> String {
    format!(r"{EVENT_SOURCES}\{}", platform::DISPLAY_NAME)
}

/// By a draft beside it, so that a power cut leaves the old program or the new one.
fn copy(from: &Path, to: &Path) -> Result<Done> {
    let program = fs::read(from).with_context(|| format!("{} cannot be read", from.display()))?;
    if fs::read(to).is_ok_and(|there| there == program) {
        return Ok(Done::Before);
    }
    fs::create_dir_all(to.parent().context("the program needs a folder")?)?;
    let draft = to.with_extension("new");
    fs::write(&draft, program)?;
    platform::replace_file(&draft, to).inspect_err(|_| {
        let _ = fs::remove_file(&draft);
    })?;
    Ok(Done::Now)
}

fn remove_program(path: &Path) -> Result<Done> {
    match fs::remove_file(path) {
        Ok(()) => {
            if let Some(folder) = path.parent() {
                // It stays if somebody else put something into it.
                let _ = fs::remove_dir(folder);
            }
            Ok(Done::Now)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Done::Before),
        Err(error) => {
            Ok(Done::InVain(format!("{error}; a running program cannot remove itself: remove it by hand")))
        }
    }
}
