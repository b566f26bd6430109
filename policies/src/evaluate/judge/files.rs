//! Judges what was seen of files: that they are there, their mode, owner and lines.

use super::super::evidence::list;
use super::Answer;
use crate::observation::{FileSeen, LinesSeen, Permissions, Unreadable};
use crate::policy::pattern::LinePattern;
use crate::policy::pattern::path::PathPattern;
use crate::policy::probe::{IfAbsent, Owner};

pub(super) fn exists(path: &PathPattern, seen: &[FileSeen]) -> Answer {
    let paths: Vec<_> = seen.iter().map(|file| file.path.to_string()).collect();
    let found = match (paths.is_empty(), path.is_wild()) {
        (true, _) => "absent".into(),
        (false, false) => "present".into(),
        (false, true) => format!("present: {}", list(paths.iter().map(String::as_str))),
    };
    Answer { holds: !seen.is_empty(), subject: path.as_str().into(), expected: "present".into(), found }
}

pub(super) fn mode(
    path: &PathPattern,
    no_more_than: u32,
    if_absent: IfAbsent,
    seen: &[FileSeen],
) -> Result<Answer, Unreadable> {
    every(path, if_absent, seen, format!("mode {no_more_than:04o} or less"), |file| {
        (file.mode & !no_more_than == 0, format!("{:04o}", file.mode))
    })
}

pub(super) fn owner(
    path: &PathPattern,
    owner: &Owner,
    if_absent: IfAbsent,
    seen: &[FileSeen],
) -> Result<Answer, Unreadable> {
    let expected = match owner.groups.as_slice() {
        [] => format!("owned by uid {}", owner.uid),
        groups => format!("owned by uid {}, group {}", owner.uid, groups.join(" or ")),
    };
    every(path, if_absent, seen, expected, |file| {
        let group = file.group.clone().unwrap_or_else(|| file.gid.to_string());
        let holds = file.uid == owner.uid && (owner.groups.is_empty() || owner.groups.contains(&group));
        (holds, format!("uid {}, group {group}", file.uid))
    })
}

/// Every file must hold; those that do not are named, else the first that does.
fn every(
    path: &PathPattern,
    if_absent: IfAbsent,
    seen: &[FileSeen],
    expected: String,
    test: impl Fn(&Permissions) -> (bool, String),
) -> Result<Answer, Unreadable> {
    let describe = |file: &FileSeen, found: String| {
        if path.is_wild() { format!("{} is {found}", file.path) } else { found }
    };
    let tested: Vec<_> = seen
        .iter()
        .map(|file| Ok((file, test(file.permissions.as_ref().map_err(Clone::clone)?))))
        .collect::<Result<_, Unreadable>>()?;
    let bad: Vec<_> = tested
        .iter()
        .filter(|(_, (holds, _))| !holds)
        .map(|(file, (_, found))| describe(file, found.clone()))
        .collect();
    let found = match (tested.as_slice(), bad.is_empty()) {
        ([], _) => "absent".into(),
        (_, false) => list(bad.iter().map(String::as_str)),
        ([(file, (_, found))], true) => describe(file, found.clone()),
        (many, true) => format!("all {} files are so", many.len()),
    };
    let holds = if tested.is_empty() { if_absent == IfAbsent::Pass } else { bad.is_empty() };
    Ok(Answer { holds, subject: path.as_str().into(), expected, found })
}

pub(super) fn content(
    path: &PathPattern,
    line: &LinePattern,
    if_absent: IfAbsent,
    seen: &[LinesSeen],
) -> Answer {
    let matching: Vec<_> = seen
        .iter()
        .filter_map(|file| file.first.as_ref().map(|(line, text)| format!("{}:{line}: {text}", file.path)))
        .collect();
    let holds = if seen.is_empty() { if_absent == IfAbsent::Pass } else { !matching.is_empty() };
    let found = match (seen.is_empty(), matching.is_empty()) {
        (true, _) => "absent".into(),
        (_, true) => "no such line".into(),
        (_, false) => list(matching.iter().map(String::as_str)),
    };
    Answer { holds, subject: path.as_str().into(), expected: format!("a line that matches {line:?}"), found }
}
