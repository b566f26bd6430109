//! One program in the place of another.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::platform::RunBeside;

/// Lets whoever may enter its folder run the file.
///
/// # Errors
/// Its mode cannot be set.
pub fn make_runnable(path: &Path) -> io::Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

/// Bytes that may still be written below `folder`.
///
/// # Errors
/// The system does not say.
pub fn free_bytes(folder: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Becomes `program`, with the arguments of this process; the variables of the environment are set or removed.
///
/// # Errors
/// It cannot be run; this process goes on.
pub fn become_program(program: &Path, environment: &[(&str, Option<&OsStr>)]) -> io::Result<RunBeside> {
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1));
    for (name, value) in environment {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Err(command.exec())
}

/// Does nothing: a child sees to it, by [`end_with_parent`].
///
/// # Errors
/// None.
pub fn end_children_too() -> io::Result<()> {
    Ok(())
}

/// Ends this process when its parent ends, however that comes about.
pub fn end_with_parent() {
    // Known since Linux 2.1; without it an orphan still sees its standard input end.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
}
