//! Linux: systemd, SysV init and BusyBox init. What is seen of the system is read once; what follows from it is
//! decided without touching anything; `act` does it.

mod act;
mod places;
mod seen;
mod systemd;
mod sysv;

use anyhow::{Result, bail};

pub(super) use act::LinuxAct as SystemAct;
pub use seen::Init;

use super::{Plan, Request};
use crate::platform;
use act::LinuxAct;
use places::Layout;
use seen::Seen;

/// Where the agent's settings and an enrolment string are looked for.
const CONFIG_FOLDER: &str = "/etc/wardwatch";

pub(super) fn plan_install(request: &Request) -> Result<Plan> {
    let seen = Seen::read(request)?;
    let layout = Layout::resolve(&request.places, &seen)?;
    seen.init.refuse_if_unusable(&seen, &layout)?;
    seen.refuse_no_program()?;
    // Of an image, the folder where it is mounted says nothing.
    if request.root.is_none()
        && let Some(reason) = platform::distrust(&layout.program)?
    {
        bail!("nothing was changed, since root would run {}: {reason}", layout.program.display());
    }
    Ok(Plan { acts: install(&seen, &layout), state_dir: seen.at(&layout.state_dir) })
}

pub(super) fn plan_uninstall(request: &Request, purge: bool) -> Result<Plan> {
    let seen = Seen::read(request)?;
    let layout = Layout::resolve(&request.places, &seen)?;
    Ok(Plan { acts: uninstall(&seen, &layout, purge), state_dir: seen.at(&layout.state_dir) })
}

fn install(seen: &Seen, layout: &Layout) -> Vec<LinuxAct> {
    let mut acts = vec![LinuxAct::Folder { path: seen.at(CONFIG_FOLDER), mode: 0o755 }];
    if !seen.packaged {
        acts.push(LinuxAct::Copy { from: seen.program.clone(), to: seen.at(&layout.program) });
    }
    let defaults = layout.defaults(&seen.defaults);
    if defaults != seen.defaults {
        acts.push(LinuxAct::Write { path: seen.at(places::DEFAULTS), text: defaults, mode: 0o644 });
    }
    match seen.init {
        Init::Systemd => systemd::install(seen, layout, &mut acts),
        Init::Sysv | Init::Busybox => sysv::install(seen, &mut acts),
    }
    acts
}

fn uninstall(seen: &Seen, layout: &Layout, purge: bool) -> Vec<LinuxAct> {
    let mut acts = Vec::new();
    match seen.init {
        Init::Systemd => systemd::uninstall(seen, &mut acts),
        Init::Sysv | Init::Busybox => sysv::uninstall(seen, &mut acts),
    }
    if !seen.packaged {
        acts.push(LinuxAct::Remove { path: seen.at(&layout.program) });
    }
    let defaults = places::without_places(&seen.defaults);
    if defaults.is_empty() {
        acts.push(LinuxAct::Remove { path: seen.at(places::DEFAULTS) });
    } else {
        acts.push(LinuxAct::Write { path: seen.at(places::DEFAULTS), text: defaults, mode: 0o644 });
    }
    if purge {
        acts.push(LinuxAct::RemoveState { path: seen.at(&layout.state_dir) });
    }
    acts.push(LinuxAct::RemoveEmptyFolder { path: seen.at(CONFIG_FOLDER) });
    acts
}

#[cfg(test)]
mod tests;
