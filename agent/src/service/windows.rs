//! Windows: a service of the service manager and a source of the event log.

mod act;
mod manager;
mod places;
mod privileges;

use std::ffi::OsString;

use anyhow::{Context, Result, ensure};

pub(super) use act::WindowsAct as SystemAct;

use super::{Plan, Request};
use crate::platform;
use act::WindowsAct;
use manager::Setting;
use places::{CONFIG_FLAG, STATE_DIR_FLAG};

/// What starts services. There is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Init {
    Windows,
}

pub(super) fn plan_install(request: &Request) -> Result<Plan> {
    refuse_image(request)?;
    let from = match &request.from {
        Some(from) => from.clone(),
        None => std::env::current_exe().context("the system does not say where this program lies")?,
    };
    let places = places::resolve(&request.places)?;
    let program = places.program.unwrap_or_else(platform::default_program);
    let mut arguments: Vec<OsString> = vec!["run".into(), "--service".into()];
    for (flag, path) in [(STATE_DIR_FLAG, &places.state_dir), (CONFIG_FLAG, &places.config)] {
        if let Some(path) = path {
            arguments.extend([flag.into(), path.into()]);
        }
    }
    let state_dir = places.state_dir.unwrap_or_else(platform::default_state_dir);
    let acts = vec![
        // A running program cannot be replaced.
        WindowsAct::Stop,
        WindowsAct::Copy { from, to: program.clone() },
        WindowsAct::PrivateFolder { path: state_dir.clone() },
        WindowsAct::Register { program, arguments },
        WindowsAct::Configure(Setting::LateStart),
        WindowsAct::Configure(Setting::Restarts),
        WindowsAct::Configure(Setting::RestartsAfterErrors),
        WindowsAct::Configure(Setting::TimeToStop),
        WindowsAct::Configure(Setting::Privileges),
        WindowsAct::RegisterEventSource,
        WindowsAct::Start,
    ];
    Ok(Plan { acts, state_dir })
}

pub(super) fn plan_uninstall(request: &Request, purge: bool) -> Result<Plan> {
    refuse_image(request)?;
    let places = places::resolve(&request.places)?;
    let program = places.program.unwrap_or_else(platform::default_program);
    let state_dir = places.state_dir.unwrap_or_else(platform::default_state_dir);
    let mut acts = vec![
        WindowsAct::Stop,
        WindowsAct::Unregister,
        WindowsAct::RemoveEventSource,
        WindowsAct::RemoveProgram { path: program },
    ];
    if purge {
        acts.push(WindowsAct::RemoveState { path: state_dir.clone() });
    }
    Ok(Plan { acts, state_dir })
}

fn refuse_image(request: &Request) -> Result<()> {
    ensure!(
        request.root.is_none(),
        "an image of Windows is not registered from outside, so nothing was changed; install in the model machine \
         without a string, then run sysprep, as docs/install.md says"
    );
    Ok(())
}
