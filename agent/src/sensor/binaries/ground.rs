//! Where to look: roots without doubles, and what lies below them that is never entered.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::platform::{self, Mount};

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

/// What is never entered, with the reason in English.
#[derive(Debug, Clone, Default)]
pub struct Fences {
    by_path: HashMap<PathBuf, String>,
}

impl Fences {
    /// Fences around foreign mounts and around what the configuration excludes.
    #[must_use]
    pub fn new(mounts: &[Mount], excluded: &[PathBuf]) -> Self {
        let foreign = mounts.iter().filter(|mount| mount.point != Path::new("/")).filter_map(|mount| {
            let reason = reason_to_skip(&mount.file_system)?;
            Some((mount.point.clone(), format!("{reason} ({})", mount.file_system)))
        });
        let excluded =
            excluded.iter().map(|path| (path.clone(), "excluded by the agent's configuration".to_owned()));
        Self { by_path: foreign.chain(excluded).collect() }
    }

    /// The fences of this machine now. Where its mounts cannot be read, nothing is entered: any folder might be
    /// a network share.
    #[must_use]
    pub fn of_this_machine(excluded: &[PathBuf]) -> Self {
        match platform::mounts() {
            Ok(mounts) => Self::new(&mounts, excluded),
            Err(error) => {
                let reason = format!("the mounts of this machine cannot be read ({error})");
                Self { by_path: HashMap::from([(PathBuf::from("/"), reason)]) }
            }
        }
    }

    /// Why this very folder is not entered.
    #[must_use]
    pub fn at(&self, folder: &Path) -> Option<&str> {
        self.by_path.get(folder).map(String::as_str)
    }

    /// Why this path lies where nothing is looked at.
    #[must_use]
    pub fn around(&self, path: &Path) -> Option<&str> {
        path.ancestors().find_map(|ancestor| self.at(ancestor))
    }
}

/// Roots in the order given, links resolved, each part of the tree once. A root inside an earlier one is
/// dropped; a root around earlier ones stays, and the walk passes over what `is_root_of_its_own`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Roots {
    roots: Vec<PathBuf>,
}

impl Roots {
    /// Resolves each path; those that do not exist or cannot be resolved come back with the error.
    #[must_use]
    pub fn resolve(paths: &[PathBuf]) -> (Self, Vec<(PathBuf, std::io::Error)>) {
        let mut resolved = Vec::new();
        let mut failed = Vec::new();
        for path in paths {
            match path.canonicalize() {
                Ok(path) => resolved.push(path),
                Err(error) => failed.push((path.clone(), error)),
            }
        }
        (Self::from_resolved(resolved), failed)
    }

    fn from_resolved(resolved: Vec<PathBuf>) -> Self {
        let mut roots: Vec<PathBuf> = Vec::new();
        for path in resolved {
            if !roots.iter().any(|earlier| path.starts_with(earlier)) {
                roots.push(path);
            }
        }
        Self { roots }
    }

    #[must_use]
    pub fn as_slice(&self) -> &[PathBuf] {
        &self.roots
    }

    /// Whether a folder met on a walk is looked at under its own name, so that the walk passes it over.
    #[must_use]
    pub fn is_root_of_its_own(&self, folder: &Path) -> bool {
        self.roots.iter().any(|root| root == folder)
    }

    /// The root that looks at this path: the innermost.
    #[must_use]
    pub fn of(&self, path: &Path) -> Option<&Path> {
        self.roots
            .iter()
            .filter(|root| path.starts_with(root))
            .max_by_key(|root| root.as_os_str().len())
            .map(PathBuf::as_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(point: &str, file_system: &str) -> Mount {
        Mount { point: point.into(), file_system: file_system.into() }
    }

    #[test]
    fn foreign_mounts_are_fenced_off_and_the_root_file_system_never_is() {
        let mounts = [
            mount("/", "9p"),
            mount("/usr/share/team", "nfs4"),
            mount("/opt/remote", "fuse.sshfs"),
            mount("/opt/disk", "ext4"),
            mount("/net", "autofs"),
        ];
        let fences = Fences::new(&mounts, &["/opt/recordings".into()]);
        assert_eq!(fences.at(Path::new("/usr/share/team")), Some("a network file system (nfs4)"));
        assert_eq!(fences.around(Path::new("/opt/remote/bin/x")), Some("a FUSE file system (fuse.sshfs)"));
        assert_eq!(fences.around(Path::new("/net/a")), Some("an automount point (autofs)"));
        assert_eq!(fences.at(Path::new("/opt/recordings")), Some("excluded by the agent's configuration"));
        assert_eq!(fences.around(Path::new("/opt/disk/x")), None);
        assert_eq!(fences.around(Path::new("/usr/bin")), None);
    }

    #[test]
    fn merged_usr_is_looked_at_once() {
        let roots = Roots::from_resolved(
            ["/usr/bin", "/usr/sbin", "/usr/bin", "/usr", "/usr/lib", "/opt"].map(PathBuf::from).into(),
        );
        assert_eq!(roots.as_slice(), ["/usr/bin", "/usr/sbin", "/usr", "/opt"].map(PathBuf::from));
        assert!(roots.is_root_of_its_own(Path::new("/usr/bin")));
        assert_eq!(roots.of(Path::new("/usr/bin/ls")), Some(Path::new("/usr/bin")));
        assert_eq!(roots.of(Path::new("/usr/lib/x")), Some(Path::new("/usr")));
        assert_eq!(roots.of(Path::new("/home/x")), None);
    }
}
