//! systemd: a unit with a sandbox, a link that starts it with the system, and a drop-in where the places differ.

use super::act::LinuxAct;
use super::places::Layout;
use super::seen::Seen;

/// There while systemd is the first process; `sd_booted(3)` looks at the same.
pub(super) const RUNS: &str = "run/systemd/system";
/// The unit of a package goes before one of our own.
pub(super) const PACKAGED_UNITS: [&str; 2] =
    ["/usr/lib/systemd/system/wardwatch-agent.service", "/lib/systemd/system/wardwatch-agent.service"];

/// The same bytes that the packages ship.
pub(super) const UNIT: &str = include_str!("../../../service/wardwatch-agent.service");
const UNIT_NAME: &str = "wardwatch-agent.service";
const UNIT_FILE: &str = "/etc/systemd/system/wardwatch-agent.service";
const WANTED: &str = "/etc/systemd/system/multi-user.target.wants/wardwatch-agent.service";
const DROP_IN_FOLDER: &str = "/etc/systemd/system/wardwatch-agent.service.d";
pub(super) const DROP_IN: &str = "/etc/systemd/system/wardwatch-agent.service.d/places.conf";

pub(super) fn install(seen: &Seen, layout: &Layout, acts: &mut Vec<LinuxAct>) {
    let unit = seen.packaged_unit.unwrap_or(UNIT_FILE);
    if seen.packaged_unit.is_none() {
        acts.push(LinuxAct::Write { path: seen.at(UNIT_FILE), text: UNIT.into(), mode: 0o644 });
    }
    if layout.is_usual() {
        if seen.has_drop_in {
            acts.push(LinuxAct::Remove { path: seen.at(DROP_IN) });
        }
    } else {
        acts.push(LinuxAct::Write { path: seen.at(DROP_IN), text: drop_in(layout), mode: 0o644 });
        // The sandbox lets the service make no folder outside of its own.
        acts.push(LinuxAct::Folder { path: seen.at(&layout.state_dir), mode: 0o700 });
    }
    acts.push(LinuxAct::Link { path: seen.at(WANTED), target: unit.into() });
    if seen.runs {
        acts.push(LinuxAct::run("systemctl", &["daemon-reload"]));
        acts.push(LinuxAct::run("systemctl", &["restart", UNIT_NAME]));
    }
}

pub(super) fn uninstall(seen: &Seen, acts: &mut Vec<LinuxAct>) {
    if seen.runs {
        acts.push(LinuxAct::try_to_run("systemctl", &["stop", UNIT_NAME]));
    }
    for path in [WANTED, DROP_IN, UNIT_FILE] {
        acts.push(LinuxAct::Remove { path: seen.at(path) });
    }
    acts.push(LinuxAct::RemoveEmptyFolder { path: seen.at(DROP_IN_FOLDER) });
    if seen.runs {
        acts.push(LinuxAct::try_to_run("systemctl", &["daemon-reload"]));
    }
}

fn drop_in(layout: &Layout) -> String {
    let mut text = format!(
        "# Written by `wardwatch-agent install`.\n[Service]\nExecStart=\nExecStart={} run\nReadWritePaths={}\n",
        layout.program.display(),
        layout.state_dir.display()
    );
    if let Some(folder) = &layout.enrolment_folder {
        // It may come later than the service, as a medium does.
        text.push_str(&format!("ReadWritePaths=-{}\n", folder.display()));
    }
    text
}
