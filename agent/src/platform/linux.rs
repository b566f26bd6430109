//! Linux: what `/proc`, `/sys` and the system calls say.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead};
use std::os::linux::fs::MetadataExt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::path::{EndpointPath, InvalidPath};
use zeroize::Zeroizing;

use super::Mount;
use crate::state::Machine;

/// Where programs lie. The first two come first so that what a person runs is known first.
pub const DEFAULT_ROOTS: &[&str] = &[
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

/// Time since the system booted, sleep included. No person and no time server can set it.
#[must_use]
pub fn boot_elapsed() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
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

/// Files that this process makes from now on are for its own user alone, in a folder open to others too.
pub fn keep_files_private() {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
}

/// Lets every other thread of the machine go first. Best effort: a refusal changes nothing but speed.
pub fn lower_priority() {
    // On Linux "this process" means the calling thread here.
    let _ = rustix::process::setpriority_process(None, 15);
}

/// All mounts this process can see.
///
/// # Errors
/// `/proc` is not mounted or cannot be read.
pub fn mounts() -> io::Result<Vec<Mount>> {
    fs::read("/proc/self/mountinfo").map(|text| parse_mountinfo(&text))
}

/// proc(5): the mount point is field 5, the type follows a lone `-`; space, tab, line feed and backslash
/// stand as three octal digits.
fn parse_mountinfo(text: &[u8]) -> Vec<Mount> {
    let parse = |line: &[u8]| {
        let mut fields = line.split(|b| *b == b' ');
        let point = fields.nth(4)?;
        let file_system = fields.skip_while(|field| *field != b"-").nth(1)?;
        Some(Mount {
            point: PathBuf::from(OsString::from_vec(unescape_octal(point))),
            file_system: String::from_utf8_lossy(file_system).into_owned(),
        })
    };
    text.split(|b| *b == b'\n').filter_map(parse).collect()
}

fn unescape_octal(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, after @ ..] = rest {
        let digit = |b: u8| (b'0'..=b'7').contains(&b).then(|| u32::from(b - b'0'));
        let code = match (first, after) {
            (b'\\', [a, b, c, ..]) => digit(*a)
                .zip(digit(*b))
                .zip(digit(*c))
                .and_then(|((a, b), c)| u8::try_from(a * 64 + b * 8 + c).ok()),
            _ => None,
        };
        match code {
            Some(code) => {
                bytes.push(code);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
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
#[must_use]
pub fn shutdown_is_under_way() -> bool {
    ["/run/systemd/shutdown/scheduled", "/run/nologin"].iter().any(|mark| Path::new(mark).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_with_escaped_names_and_optional_fields() {
        let text =
            b"36 35 98:0 /a /mnt/m\\303\\241y\\0401 rw,noatime master:1 shared:2 - nfs4 server:/a rw\n\
            22 27 0:21 / /proc rw,relatime - proc proc rw\nnonsense\n";
        assert_eq!(
            parse_mountinfo(text),
            [
                Mount { point: "/mnt/máy 1".into(), file_system: "nfs4".into() },
                Mount { point: "/proc".into(), file_system: "proc".into() },
            ]
        );
    }
}
