//! Linux: what `/proc`, `/sys` and the system calls say.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::future::Future;
use std::io::{self, BufRead};
use std::os::linux::fs::MetadataExt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use rustix::fs::Mode;
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::path::{EndpointPath, InvalidPath};
use wardwatch_wire::report::StopReason;
use zeroize::Zeroizing;

use crate::platform::{Machine, Stop};

pub mod files;
mod mounts;
mod programs;
mod trust;
pub mod wake;
pub mod watch;

pub use mounts::foreign_places;
pub use programs::{become_program, end_children_too, end_with_parent, free_bytes, make_runnable};
pub use trust::{distrust, open_private};

/// For messages.
pub const FULL_PATH_BEGINS_WITH: &str = "/";

/// Where the log goes.
#[must_use]
pub fn log_writer() -> fn() -> io::Stderr {
    io::stderr
}

/// Does the work: a service is a program like others here, and hears by signals when to stop.
///
/// # Errors
/// What the work fails with.
pub fn under_service_manager(
    _name: &str,
    work: impl FnOnce(Stop) -> anyhow::Result<ExitCode> + Send + 'static,
) -> anyhow::Result<ExitCode> {
    work(None)
}

/// Whoever may see everything here.
pub const SUPERUSER: &str = "root";

/// How one becomes that.
pub const BECOME_SUPERUSER: &str = "call it with sudo or as root";

/// Where programs lie. The first two come first so that what a person runs is known first.
#[must_use]
pub fn default_roots() -> Vec<PathBuf> {
    const ROOTS: [&str; 18] = [
        "/usr/bin",
        "/usr/sbin",
        "/bin",
        "/sbin",
        "/usr",
        "/lib",
        "/lib32",
        "/lib64",
        "/libx32",
        "/opt",
        "/boot",
        "/etc/init.d",
        "/etc/rc.d",
        "/etc/cron.d",
        "/etc/cron.hourly",
        "/etc/cron.daily",
        "/etc/cron.weekly",
        "/etc/cron.monthly",
    ];
    ROOTS.map(PathBuf::from).into()
}

/// Places below the default roots that hold only copies of what lies elsewhere: none.
#[must_use]
pub fn default_excludes() -> Vec<PathBuf> {
    Vec::new()
}

/// Time since the system booted, sleep included. No person and no time server can set it.
#[must_use]
pub fn boot_elapsed() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Names this start of the system; `None` where `/proc` does not.
#[must_use]
pub fn boot_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let id = text.trim();
    (!id.is_empty()).then(|| id.to_owned())
}

/// # Errors
/// The path is empty or too long to be reported.
pub fn endpoint_path(path: &Path) -> Result<EndpointPath, InvalidPath> {
    EndpointPath::from_bytes(path.as_os_str().as_bytes())
}

#[must_use]
pub fn local_path(path: &EndpointPath) -> PathBuf {
    PathBuf::from(OsString::from_vec(path.as_bytes().to_vec()))
}

#[must_use]
pub fn is_superuser() -> bool {
    rustix::process::geteuid().is_root()
}

/// The form in which a walk meets a path.
#[must_use]
pub fn walked_path(path: &Path) -> PathBuf {
    path.to_owned()
}

/// The root of the running system.
#[must_use]
pub fn system_root() -> PathBuf {
    "/".into()
}

/// Makes a folder, and those above it, for its owner alone. One that is there stays as it is.
///
/// # Errors
/// It cannot be made.
pub fn create_private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// How to make a file for its owner alone, in a folder open to others too.
#[must_use]
pub fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

/// Puts `draft`, whose content is on disk, in the place of `path`, and returns once that is on disk too.
///
/// # Errors
/// It cannot be moved; then `path` is as it was.
pub fn replace_file(draft: &Path, path: &Path) -> io::Result<()> {
    fs::rename(draft, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// Files that this process makes from now on are for its own user alone, in a folder open to others too.
pub fn keep_files_private() {
    rustix::process::umask(Mode::from_raw_mode(0o077));
}

/// Lets every other thread of the machine go first. Best effort: a refusal changes nothing but speed.
pub fn lower_priority() {
    // On Linux "this process" means the calling thread here.
    let _ = rustix::process::setpriority_process(None, 15);
}

/// The UUID of each mounted file system by its device number, which changes from boot to boot.
#[must_use]
pub fn file_system_ids() -> HashMap<u64, Digest> {
    let entries = fs::read_dir("/dev/disk/by-uuid").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let device = fs::metadata(entry.path()).ok()?.st_rdev();
            Some((device, Digest::of(entry.file_name().as_bytes())))
        })
        .collect()
}

/// Tells this machine from a copy of its disk: the machine id and what the hardware says of itself, where it
/// can be read. Only digests are kept, since serial numbers name a person's device.
#[must_use]
pub fn machine() -> Machine {
    const SOURCES: [&str; 5] = [
        "/etc/machine-id",
        "/sys/class/dmi/id/product_uuid",
        "/sys/class/dmi/id/product_serial",
        "/sys/class/dmi/id/board_serial",
        "/proc/device-tree/serial-number",
    ];
    let read = |source: &str| {
        let text = fs::read(source).ok()?;
        let said = text.iter().any(|byte| byte.is_ascii_alphanumeric());
        said.then(|| (source.to_owned(), Digest::of(&text)))
    };
    Machine::new(SOURCES.into_iter().filter_map(read))
}

/// `install` puts the program here.
#[must_use]
pub fn default_program() -> PathBuf {
    "/usr/sbin/wardwatch-agent".into()
}

/// Settings are read from here if it is there and no other file is named.
#[must_use]
pub fn default_config_file() -> PathBuf {
    "/etc/wardwatch/agent.toml".into()
}

/// For root the place that the file-system standard gives; for others the one of the XDG standard.
#[must_use]
pub fn default_state_dir() -> PathBuf {
    if is_superuser() {
        return "/var/lib/wardwatch-agent".into();
    }
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .unwrap_or_else(|| "/var/tmp".into())
        .join("wardwatch-agent")
}

/// Where an enrolment string is waited for.
#[must_use]
pub fn enrolment_file() -> PathBuf {
    "/etc/wardwatch/wardwatch-enrol.txt".into()
}

/// What an agent that runs as an ordinary user cannot see or do here.
#[must_use]
pub fn lost_without_rights() -> &'static [&'static str] {
    &[
        "files that only root may read are told as unreadable, and folders that only root may enter are not watched",
        "checks that read /etc/shadow, keys of the SSH server or rules of sudo are unknown",
        "programs of other users cannot be told from their processes' links, and mounts are those of this session",
        "serial numbers of the hardware are not read, so that a copied disk is recognised by its machine id alone",
        "no service can be registered: the agent ends with the session, and nothing starts it again",
    ]
}

#[must_use]
pub fn hostname() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Asks at the terminal without echo, and gives the echo back whatever happens.
///
/// # Errors
/// Standard input is no terminal, or ends.
pub fn prompt_secret(prompt: &str) -> io::Result<Zeroizing<String>> {
    let stdin = io::stdin();
    let before = tcgetattr(&stdin)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    silent.local_modes.insert(LocalModes::ECHONL);
    eprint!("{prompt}");
    tcsetattr(&stdin, OptionalActions::Flush, &silent)?;
    let mut line = Zeroizing::new(String::new());
    let read = stdin.lock().read_line(&mut line);
    tcsetattr(&stdin, OptionalActions::Flush, &before)?;
    read.map(|_| line)
}

/// Whether the whole machine is going down, as systemd announces it. Says no when it cannot tell: an endpoint
/// that is wrongly called silent is looked at, one that is wrongly called off is not.
fn shutdown_is_under_way() -> bool {
    ["/run/systemd/shutdown/scheduled", "/run/nologin"].iter().any(|mark| Path::new(mark).exists())
}

/// Completes when a person, the service manager or the system asks this process to stop. Asked from now on, such a
/// request no longer kills the process.
///
/// # Errors
/// The system gives no means to hear of it.
pub fn stop_requested() -> io::Result<impl Future<Output = StopReason> + Send> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if shutdown_is_under_way() { StopReason::Shutdown } else { StopReason::Service }
    })
}
