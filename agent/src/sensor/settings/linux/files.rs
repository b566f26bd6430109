//! Type, mode and owner of files, and lines of their text.

use std::collections::BTreeMap;

use rustix::fs::FileType;
use wardwatch_policies::observation::{FileSeen, LinesSeen, Permissions, Unreadable};
use wardwatch_policies::policy::pattern::LinePattern;
use wardwatch_policies::policy::pattern::path::PathPattern;
use wardwatch_policies::secret;

use super::place::Place;

pub(super) fn seen(
    place: &Place,
    groups: &BTreeMap<u32, String>,
    pattern: &PathPattern,
) -> Result<Vec<FileSeen>, Unreadable> {
    let mut seen = Vec::new();
    for path in place.expand(pattern)? {
        if let Some(stat) = place.stat(path.as_bytes())? {
            // A masked unit leads to `/dev/null`, whose mode says nothing of the folder that was asked about.
            let kind = FileType::from_raw_mode(stat.st_mode);
            if pattern.is_wild() && matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) {
                continue;
            }
            let (mode, uid, gid) = (stat.st_mode & 0o7777, stat.st_uid, stat.st_gid);
            let permissions = Permissions { mode, uid, gid, group: groups.get(&gid).cloned() };
            seen.push(FileSeen { path, permissions: Ok(permissions) });
        }
    }
    Ok(seen)
}

/// The group names of this root. Where they cannot be read, groups are told by number.
pub(super) fn groups(place: &Place) -> BTreeMap<u32, String> {
    let text = place.text(b"/etc/group").ok().flatten().unwrap_or_default();
    let named = text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, gid) = (fields.next()?, fields.nth(1)?);
        Some((gid.parse().ok()?, name.to_owned()))
    });
    // Group 0 is root's on every Linux, also where the file is missing.
    std::iter::once((0, "root".to_owned())).chain(named).collect()
}

pub(super) fn lines(
    place: &Place,
    pattern: &PathPattern,
    line: &LinePattern,
) -> Result<Vec<LinesSeen>, Unreadable> {
    let matcher = line.matcher()?;
    let mut seen = Vec::new();
    for path in place.expand(pattern)? {
        let Some(text) = place.text(path.as_bytes())? else { continue };
        let first = text.lines().enumerate().find(|(_, text)| matcher.is_match(text)).map(|(index, text)| {
            let words: Vec<_> = text.split_whitespace().collect();
            (index + 1, secret::masked(&words.join(" ")))
        });
        seen.push(LinesSeen { path, first });
    }
    Ok(seen)
}
