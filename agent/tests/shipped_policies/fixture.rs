//! Small roots as data, and how they become folders.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode};
use serde::Deserialize;
use tempfile::TempDir;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Root {
    #[serde(default)]
    files: BTreeMap<String, Node>,
    /// As in `tcp 0.0.0.0:23`.
    #[serde(default)]
    listening: Vec<String>,
    processes: Option<Vec<String>>,
    #[serde(default)]
    packages: Vec<String>,
    #[serde(default)]
    sysctl: BTreeMap<String, i64>,
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Node {
    Text(String),
    File {
        text: String,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
    },
    Link {
        link: String,
    },
    Folder {
        #[serde(rename = "folder")]
        _folder: bool,
        mode: Option<u32>,
    },
    Fifo {
        #[serde(rename = "fifo")]
        _fifo: bool,
    },
    Absent {
        #[serde(rename = "absent")]
        _absent: bool,
    },
}

/// Builds `base` and over it `root` in a folder that lives as long as the value.
pub(crate) fn build(base: &Root, root: &Root, is_root: bool) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let processes = root.processes.as_ref().or(base.processes.as_ref());
    for (index, name) in processes.into_iter().flatten().enumerate() {
        write(at, &format!("/proc/{}/comm", index + 1), &format!("{name}\n"));
    }
    for (name, value) in base.sysctl.iter().chain(&root.sysctl) {
        write(at, &format!("/proc/sys/{}", name.replace('.', "/")), &format!("{value}\n"));
    }
    let packages: String =
        base.packages.iter().chain(&root.packages).fold(String::new(), |mut text, name| {
            let _ = write!(text, "Package: {name}\nStatus: install ok installed\nVersion: 1.0-1\n\n");
            text
        });
    if !packages.is_empty() {
        write(at, "/var/lib/dpkg/status", &packages);
    }
    for (name, text) in sockets(base.listening.iter().chain(&root.listening)) {
        write(at, &format!("/proc/net/{name}"), &text);
    }
    for (path, node) in
        base.files.iter().filter(|(path, _)| !root.files.contains_key(*path)).chain(&root.files)
    {
        place(at, path, node, is_root);
    }
    folder
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(&path[1..]);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn place(root: &Path, name: &str, node: &Node, is_root: bool) {
    let path = root.join(&name[1..]);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = |text: &str, mode: u32, uid: Option<u32>, gid: Option<u32>| {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        if is_root {
            chown(&path, uid, gid).unwrap();
        }
    };
    match node {
        Node::Text(text) => file(text, 0o644, None, None),
        Node::File { text, mode, uid, gid } => file(text, mode.unwrap_or(0o644), *uid, *gid),
        Node::Link { link } => symlink(link, &path).unwrap(),
        Node::Folder { mode, .. } => {
            fs::create_dir_all(&path).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode.unwrap_or(0o755))).unwrap();
        }
        Node::Fifo { .. } => {
            rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
        }
        Node::Absent { .. } => {
            let _ = fs::remove_file(&path);
        }
    }
}

/// The kernel's tables of sockets, with the header alone where nothing listens.
fn sockets<'a>(listening: impl Iterator<Item = &'a String>) -> BTreeMap<String, String> {
    let header = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n";
    let mut tables: BTreeMap<_, _> =
        ["tcp", "tcp6", "udp", "udp6"].map(|name| (name.to_owned(), header.to_owned())).into();
    for entry in listening {
        let (protocol, address) = entry.split_once(' ').unwrap();
        let address: SocketAddr = address.parse().unwrap();
        let bytes = match address.ip() {
            std::net::IpAddr::V4(ip) => ip.octets().to_vec(),
            std::net::IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let hex: String = bytes
            .chunks_exact(4)
            .map(|word| format!("{:08X}", u32::from_ne_bytes(word.try_into().unwrap())))
            .collect();
        let state = if protocol == "tcp" { "0A" } else { "07" };
        let table = if address.is_ipv6() { format!("{protocol}6") } else { protocol.to_owned() };
        let line = format!(
            "   0: {hex}:{:04X} {}:0000 {state} 00000000:00000000\n",
            address.port(),
            "0".repeat(hex.len())
        );
        tables.get_mut(&table).unwrap().push_str(&line);
    }
    tables
}
