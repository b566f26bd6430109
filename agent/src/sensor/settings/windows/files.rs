//! Which files are there. Names are compared without case, as Windows does; modes and owners it has none.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use wardwatch_policies::observation::{FileSeen, Unreadable};
use wardwatch_policies::policy::pattern::name_matches;
use wardwatch_policies::policy::pattern::path::PathPattern;
use wardwatch_policies::system::System;

use super::super::say;
use crate::platform;

/// The most names that are read of one folder.
const MAX_NAMES: usize = 20_000;
/// The most files that one pattern may match.
const MAX_MATCHES: usize = 2_000;

pub(super) fn seen(pattern: &PathPattern) -> Result<Vec<FileSeen>, Unreadable> {
    if pattern.system() != System::Windows {
        return Err(Unreadable(format!("this is Windows, and the path one of {}", pattern.system())));
    }
    let mut seen = Vec::new();
    for path in expand(pattern)? {
        // Its facts are asked for, its content is not opened: to read it may fetch it from elsewhere.
        match fs::metadata(&path) {
            Ok(_) => seen.push(FileSeen {
                path: platform::endpoint_path(&path).map_err(|error| Unreadable(error.to_string()))?,
                permissions: Err(Unreadable("Windows has no mode and no numbered owner".into())),
            }),
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(unreadable(&path, &error)),
        }
    }
    Ok(seen)
}

/// The paths that a pattern matches, in order. A path without `*` is given as it is, there or not.
fn expand(pattern: &PathPattern) -> Result<Vec<PathBuf>, Unreadable> {
    let mut paths = vec![root(pattern.root())?];
    for name in pattern.names() {
        let mut next = Vec::new();
        for path in paths {
            if name.contains('*') {
                next.extend(matching(&path, &name.to_lowercase())?);
            } else {
                next.push(path.join(name));
            }
            if next.len() > MAX_MATCHES {
                return Err(Unreadable(format!("more than {MAX_MATCHES} files match {}", pattern.as_str())));
            }
        }
        paths = next;
    }
    Ok(paths)
}

/// A drive, or a folder that Windows names to every program.
fn root(root: &str) -> Result<PathBuf, Unreadable> {
    let Some(variable) = root.strip_prefix('%').and_then(|rest| rest.strip_suffix('%')) else {
        return Ok(format!("{root}\\").into());
    };
    let mut folder = env::var_os(variable).ok_or_else(|| Unreadable(format!("{root} is not set here")))?;
    // A bare drive would mean the current folder on it.
    folder.push("\\");
    Ok(folder.into())
}

fn matching(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, Unreadable> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(unreadable(folder, &error)),
    };
    let mut paths = Vec::new();
    for (count, entry) in entries.enumerate() {
        if count >= MAX_NAMES {
            return Err(Unreadable(format!("{} holds more than {MAX_NAMES} names", folder.display())));
        }
        let path = entry.map_err(|error| unreadable(folder, &error))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
        if name_matches(pattern, name.as_bytes()) {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn unreadable(path: &Path, error: &io::Error) -> Unreadable {
    Unreadable(format!("{}: {}", path.display(), say(error)))
}
