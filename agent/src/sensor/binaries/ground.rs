//! Where to look: roots without doubles, and what lies below them that is never entered.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::platform::{self, ForeignPlace};

/// What is never entered, with the reason in English.
#[derive(Debug, Clone, Default)]
pub struct Fences {
    by_path: HashMap<PathBuf, String>,
    /// Why nothing at all is entered.
    everywhere: Option<String>,
}

impl Fences {
    /// Fences around foreign places and around what the configuration excludes.
    #[must_use]
    pub fn new(foreign: Vec<ForeignPlace>, excluded: &[PathBuf]) -> Self {
        let foreign = foreign.into_iter().map(|place| (place.point, place.reason));
        let excluded = excluded
            .iter()
            .map(|path| (platform::walked_path(path), "excluded by the agent's configuration".to_owned()));
        Self { by_path: foreign.chain(excluded).collect(), everywhere: None }
    }

    /// The fences of this machine now. Where it does not say which places are foreign, nothing is entered: any
    /// folder might be a network share.
    #[must_use]
    pub fn of_this_machine(excluded: &[PathBuf]) -> Self {
        match platform::foreign_places() {
            Ok(foreign) => Self::new(foreign, excluded),
            Err(error) => {
                let reason = format!("the mounts of this machine cannot be read ({error})");
                Self { by_path: HashMap::new(), everywhere: Some(reason) }
            }
        }
    }

    /// Why this very folder is not entered.
    #[must_use]
    pub fn at(&self, folder: &Path) -> Option<&str> {
        self.everywhere.as_ref().or_else(|| self.by_path.get(folder)).map(String::as_str)
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

    #[test]
    fn foreign_and_excluded_places_are_fenced_off_with_all_below() {
        let foreign = ForeignPlace { point: "/opt/remote".into(), reason: "a FUSE file system".into() };
        let recordings = PathBuf::from("/opt/recordings");
        let fences = Fences::new(vec![foreign], std::slice::from_ref(&recordings));
        assert_eq!(fences.around(Path::new("/opt/remote/bin/x")), Some("a FUSE file system"));
        assert_eq!(
            fences.at(&platform::walked_path(&recordings)),
            Some("excluded by the agent's configuration")
        );
        assert_eq!(fences.around(Path::new("/opt/remotely")), None);
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
