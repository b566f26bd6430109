//! Mounts whose files are not this machine's own.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::platform::ForeignPlace;

#[derive(Debug, PartialEq, Eq)]
struct Mount {
    point: PathBuf,
    /// As the kernel names it, such as `ext4` or `fuse.sshfs`.
    file_system: String,
}

/// Mounts that this process can see and that a walk does not enter. The root file system is always the machine's own.
///
/// # Errors
/// `/proc` is not mounted or cannot be read.
pub fn foreign_places() -> io::Result<Vec<ForeignPlace>> {
    fs::read("/proc/self/mountinfo").map(|text| foreign(parse_mountinfo(&text)))
}

fn foreign(mounts: Vec<Mount>) -> Vec<ForeignPlace> {
    let foreign = mounts.into_iter().filter(|mount| mount.point != Path::new("/")).filter_map(|mount| {
        let reason = reason_to_skip(&mount.file_system)?;
        Some(ForeignPlace { point: mount.point, reason: format!("{reason} ({})", mount.file_system) })
    });
    foreign.collect()
}

/// File systems that are not this machine's own files: to walk them would load a server, hang on a lost
/// link, wake a mount or read what the kernel makes up.
fn reason_to_skip(file_system: &str) -> Option<&'static str> {
    let base = file_system.split('.').next().unwrap_or(file_system);
    match base {
        "nfs" | "nfs4" | "cifs" | "smb3" | "smbfs" | "9p" | "afs" | "ceph" | "glusterfs" | "lustre"
        | "ncpfs" | "ocfs2" | "gfs2" | "beegfs" | "coda" => Some("a network file system"),
        "fuse" | "fuseblk" | "virtiofs" => Some("a FUSE file system"),
        "autofs" => Some("an automount point"),
        "proc" | "sysfs" | "cgroup" | "cgroup2" | "debugfs" | "tracefs" | "securityfs" | "bpf" | "pstore"
        | "configfs" | "devpts" | "mqueue" | "hugetlbfs" | "efivarfs" | "binfmt_misc" | "devtmpfs"
        | "selinuxfs" | "rpc_pipefs" | "nsfs" => Some("files that the kernel makes up"),
        _ => None,
    }
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

    #[test]
    fn foreign_mounts_are_told_with_the_reason_and_the_root_file_system_never_is() {
        let mount = |point: &str, kind: &str| Mount { point: point.into(), file_system: kind.to_owned() };
        let mounts = vec![
            mount("/", "9p"),
            mount("/usr/share/team", "nfs4"),
            mount("/opt/remote", "fuse.sshfs"),
            mount("/opt/disk", "ext4"),
            mount("/net", "autofs"),
        ];
        let told: Vec<_> = foreign(mounts).into_iter().map(|place| (place.point, place.reason)).collect();
        let expected = [
            ("/usr/share/team", "a network file system (nfs4)"),
            ("/opt/remote", "a FUSE file system (fuse.sshfs)"),
            ("/net", "an automount point (autofs)"),
        ];
        assert_eq!(told, expected.map(|(point, reason)| (PathBuf::from(point), reason.to_owned())));
    }
}
