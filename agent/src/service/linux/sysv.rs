//! SysV and BusyBox init: one script that starts, stops and supervises the agent. BusyBox runs every
//! `/etc/init.d/S??*`; SysV runs what the folders of its run levels link to.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::NAME;
use super::act::LinuxAct;
use super::seen::{Init, Seen};

/// The same bytes that the packages ship.
pub(super) const SCRIPT: &str = include_str!("../../../service/wardwatch-agent.init");
const SYSV_SCRIPT: &str = "/etc/init.d/wardwatch-agent";
const BUSYBOX_SCRIPT: &str = "/etc/init.d/S90wardwatch-agent";

pub(super) fn script(init: Init) -> &'static str {
    if init == Init::Busybox { BUSYBOX_SCRIPT } else { SYSV_SCRIPT }
}

pub(super) fn install(seen: &Seen, acts: &mut Vec<LinuxAct>) {
    let script = script(seen.init);
    if !seen.packaged {
        acts.push(LinuxAct::Write { path: seen.at(script), text: SCRIPT.into(), mode: 0o755 });
    }
    match seen.init {
        Init::Sysv if seen.has_update_rc_d => acts.push(update_rc_d(seen, &[NAME, "defaults"], true)),
        Init::Sysv => link_run_levels(seen, acts),
        Init::Systemd | Init::Busybox => {}
    }
    if seen.runs {
        acts.push(LinuxAct::run(script, &["restart"]));
    }
}

/// For systems without a tool of their own.
fn link_run_levels(seen: &Seen, acts: &mut Vec<LinuxAct>) {
    for (folder, link) in &seen.run_levels {
        // A link that is there may have been numbered by somebody else.
        if link.is_none() {
            let name = if stops(folder) { format!("K10{NAME}") } else { format!("S90{NAME}") };
            acts.push(LinuxAct::Link { path: folder.join(name), target: SYSV_SCRIPT.into() });
        }
    }
}

fn update_rc_d(seen: &Seen, arguments: &[&str], must_succeed: bool) -> LinuxAct {
    let root = seen.root.to_string_lossy();
    let (program, before) = if seen.root == Path::new("/") {
        ("update-rc.d", vec![])
    } else {
        ("chroot", vec![&*root, "/usr/sbin/update-rc.d"])
    };
    let arguments = [&before, arguments].concat();
    if must_succeed { LinuxAct::run(program, &arguments) } else { LinuxAct::try_to_run(program, &arguments) }
}

pub(super) fn uninstall(seen: &Seen, acts: &mut Vec<LinuxAct>) {
    let script = script(seen.init);
    if seen.runs && seen.has_script {
        acts.push(LinuxAct::try_to_run(script, &["stop"]));
    }
    let links = seen.run_levels.iter().filter_map(|(_, link)| link.clone());
    acts.extend(links.map(|path| LinuxAct::Remove { path }));
    if !seen.packaged {
        acts.push(LinuxAct::Remove { path: seen.at(script) });
        if seen.has_update_rc_d {
            acts.push(update_rc_d(seen, &[NAME, "remove"], false));
        }
    }
}

/// Halt, a single user, and restart.
fn stops(folder: &Path) -> bool {
    ["rc0.d", "rc1.d", "rc6.d"].iter().any(|level| folder.ends_with(level))
}

/// The folders of run levels that are there, each with its link to our script.
pub(super) fn run_levels(root: &Path) -> Vec<(PathBuf, Option<PathBuf>)> {
    let parent = if root.join("etc/rc.d/rc3.d").is_dir() { "etc/rc.d" } else { "etc" };
    let folders = (0..=6).map(|level| root.join(parent).join(format!("rc{level}.d")));
    folders
        .filter(|folder| folder.is_dir())
        .map(|folder| {
            let link = find_link(&folder);
            (folder, link)
        })
        .collect()
}

fn find_link(folder: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    entries.map(|entry| entry.path()).find(|path| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.get(3..) == Some(NAME) && name.starts_with(['S', 'K'])
    })
}
