//! The acts on Linux. Each looks first whether it is done already; files are replaced as a whole.

use std::fmt;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::super::{Act, Done, remove_state};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum LinuxAct {
    Folder {
        path: PathBuf,
        mode: u32,
    },
    /// A program.
    Copy {
        from: PathBuf,
        to: PathBuf,
    },
    Write {
        path: PathBuf,
        text: String,
        mode: u32,
    },
    Link {
        path: PathBuf,
        target: PathBuf,
    },
    Remove {
        path: PathBuf,
    },
    RemoveEmptyFolder {
        path: PathBuf,
    },
    /// The agent's state folder with all that is in it.
    RemoveState {
        path: PathBuf,
    },
    Run {
        program: PathBuf,
        arguments: Vec<String>,
        must_succeed: bool,
    },
}

impl LinuxAct {
    pub(super) fn run(program: &str, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self::Run { program: program.into(), arguments, must_succeed: true }
    }

    pub(super) fn try_to_run(program: &str, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Self::Run { program: program.into(), arguments, must_succeed: false }
    }
}

impl fmt::Display for LinuxAct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder { path, .. } => write!(f, "make the folder {}", path.display()),
            Self::Copy { from, to } => write!(f, "copy {} to {}", from.display(), to.display()),
            Self::Write { path, .. } => write!(f, "write {}", path.display()),
            Self::Link { path, target } => write!(f, "link {} to {}", path.display(), target.display()),
            Self::Remove { path } => write!(f, "remove {}", path.display()),
            Self::RemoveEmptyFolder { path } => write!(f, "remove {} if it is empty", path.display()),
            Self::RemoveState { path } => write!(f, "remove {} with identity and keys", path.display()),
            Self::Run { program, arguments, .. } => {
                write!(f, "run {} {}", program.display(), arguments.join(" "))
            }
        }
    }
}

impl Act for LinuxAct {
    fn perform(&self) -> Result<Done> {
        match self {
            Self::Folder { path, mode } => {
                if path.is_dir() {
                    return Ok(Done::Before);
                }
                make_folder(path, *mode)?;
                Ok(Done::Now)
            }
            Self::Copy { from, to } => {
                let program = fs::read(from).with_context(|| format!("{} cannot be read", from.display()))?;
                replace(to, &program, 0o755)
            }
            Self::Write { path, text, mode } => replace(path, text.as_bytes(), *mode),
            Self::Link { path, target } => {
                if fs::read_link(path).is_ok_and(|leads| leads == *target) {
                    return Ok(Done::Before);
                }
                make_parent(path)?;
                remove(path)?;
                symlink(target, path)?;
                Ok(Done::Now)
            }
            Self::Remove { path } => remove(path),
            Self::RemoveEmptyFolder { path } => match fs::remove_dir(path) {
                Ok(()) => Ok(Done::Now),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Done::Before),
                Err(error) => Ok(Done::InVain(error.to_string())),
            },
            Self::RemoveState { path } => remove_state(path),
            Self::Run { program, arguments, must_succeed } => run(program, arguments, *must_succeed),
        }
    }
}

/// Writes a file beside the old one and puts it in its place: a running program is not overwritten, and a power
/// cut leaves the old or the new one.
fn replace(path: &Path, content: &[u8], mode: u32) -> Result<Done> {
    if is_so(path, content, mode) {
        return Ok(Done::Before);
    }
    make_parent(path)?;
    // Hidden: BusyBox init would start what is left of it after a power cut.
    let name = path.file_name().unwrap_or_default().display();
    let draft = path.with_file_name(format!(".{name}.new"));
    // What somebody put there, such as a link, is not written to.
    remove(&draft)?;
    let write = || {
        let mut file = File::create_new(&draft)?;
        file.write_all(content)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&draft, path)
    };
    write()
        .with_context(|| {
            let _ = fs::remove_file(&draft);
            "the folder cannot be written; where it is read-only, name places in writable storage with --program and \
             --state-dir, or make an image with --root"
        })?;
    Ok(Done::Now)
}

fn is_so(path: &Path, content: &[u8], mode: u32) -> bool {
    let same = || -> io::Result<bool> {
        let metadata = fs::symlink_metadata(path)?;
        if !metadata.is_file()
            || metadata.len() != content.len() as u64
            || metadata.permissions().mode() & 0o7777 != mode
        {
            return Ok(false);
        }
        let mut there = Vec::with_capacity(content.len());
        File::open(path)?.take(content.len() as u64).read_to_end(&mut there)?;
        Ok(there == content)
    };
    same().unwrap_or(false)
}

fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    make_folder(parent, 0o755).with_context(|| format!("the folder {} cannot be made", parent.display()))
}

/// With these very rights, whatever this process keeps to itself.
fn make_folder(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_folder(parent, 0o755)?;
    }
    fs::create_dir(path)?;
    fs::set_permissions(path, Permissions::from_mode(mode))
}

fn remove(path: &Path) -> Result<Done> {
    match fs::remove_file(path) {
        Ok(()) => Ok(Done::Now),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Done::Before),
        Err(error) => Err(error.into()),
    }
}

fn run(program: &Path, arguments: &[String], must_succeed: bool) -> Result<Done> {
    let problem = match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => return Ok(Done::Now),
        Ok(output) => format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()),
        Err(error) => error.to_string(),
    };
    if must_succeed {
        bail!("{problem}");
    }
    Ok(Done::InVain(problem))
}
