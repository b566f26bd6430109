//! Finds the regular files below a root, one folder at a time. Links are not followed, so loops cannot be;
//! special files are passed over; what cannot be listed is said.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::content::reason_of;
use super::ground::{Fences, Roots};
use crate::platform::files;

/// What a walk comes across.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// A folder, before what lies in it.
    Folder(PathBuf),
    /// A regular file.
    File(PathBuf),
    /// A folder that could not be listed to its end, with the reason.
    Unreadable(PathBuf, String),
    /// A folder that is not entered, with the reason.
    Skipped(PathBuf, String),
}

/// Walks `root`, which may also be a single file, and hands over each step until `visit` breaks.
pub fn walk(
    root: &Path,
    roots: &Roots,
    fences: &Fences,
    visit: &mut dyn FnMut(Step) -> ControlFlow<()>,
) -> ControlFlow<()> {
    match fs::symlink_metadata(root) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(metadata) if metadata.is_file() => return visit_file(root.to_owned(), visit),
        Ok(_) => return ControlFlow::Continue(()),
        Err(error) => return visit(Step::Unreadable(root.to_owned(), reason_of(&error))),
    }
    let mut waiting = vec![root.to_owned()];
    while let Some(folder) = waiting.pop() {
        if folder != root && roots.is_root_of_its_own(&folder) {
            continue;
        }
        if let Some(reason) = fences.at(&folder)
            && folder != root
        {
            visit(Step::Skipped(folder, reason.to_owned()))?;
            continue;
        }
        visit(Step::Folder(folder.clone()))?;
        visit_streams(&folder, visit)?;
        list(&folder, &mut waiting, visit)?;
    }
    ControlFlow::Continue(())
}

fn list(
    folder: &Path,
    waiting: &mut Vec<PathBuf>,
    visit: &mut dyn FnMut(Step) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        // It went while we walked: what it held is gone with it, which the caller finds by its records.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return ControlFlow::Continue(()),
        Err(error) => return visit(Step::Unreadable(folder.to_owned(), reason_of(&error))),
    };
    for entry in entries {
        let typed = entry.and_then(|entry| Ok((entry.file_type()?, entry)));
        match typed {
            Ok((kind, entry)) if kind.is_dir() => waiting.push(entry.path()),
            Ok((kind, entry)) if kind.is_file() => visit_file(entry.path(), visit)?,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return visit(Step::Unreadable(folder.to_owned(), reason_of(&error))),
        }
    }
    ControlFlow::Continue(())
}

fn visit_file(path: PathBuf, visit: &mut dyn FnMut(Step) -> ControlFlow<()>) -> ControlFlow<()> {
    visit_streams(&path, visit)?;
    visit(Step::File(path))
}

fn visit_streams(path: &Path, visit: &mut dyn FnMut(Step) -> ControlFlow<()>) -> ControlFlow<()> {
    files::streams(path).into_iter().try_for_each(|stream| visit(Step::File(stream)))
}
