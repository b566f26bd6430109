//! The commands `install` and `uninstall`: the agent as a service of this system.
//!
//! Which acts are needed is decided first, as a value that `--dry-run` prints; then they are done one by one, each
//! on a line. Every act may find its work done already, so that a second call repairs and is no error. What a
//! service is differs from system to system: that is `service/linux.rs` and its like.

use std::fmt;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::enrol::{self, Source};
use crate::platform;
use crate::sensor::settings;
use crate::state::StateDir;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as system;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as system;

pub use system::Init;

/// The service's name, on every system.
pub const NAME: &str = "wardwatch-agent";

/// What to install, and where.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The root of a disk image, if not this machine: registers and starts nothing.
    pub root: Option<PathBuf>,
    /// If not the one that is found here.
    pub init: Option<Init>,
    /// The program to copy, if not this one.
    pub from: Option<PathBuf>,
    pub places: Places,
}

/// Where the service's parts lie, where that is not the usual.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    pub program: Option<PathBuf>,
    pub state_dir: Option<PathBuf>,
    pub config: Option<PathBuf>,
}

/// One thing to do. Its `Display` says what, as an order.
trait Act: fmt::Display {
    /// # Errors
    /// It could not be done, with the remedy.
    fn perform(&self) -> Result<Done>;
}

/// How an act went.
enum Done {
    Now,
    /// There was nothing to do.
    Before,
    /// It was tried, and it does not matter that it failed.
    InVain(String),
}

/// Enrols if `string` is there, then registers the service and starts it.
///
/// # Errors
/// No root or administrator, no init system that is known, an enrolment that failed, or an act that did.
pub async fn install(
    request: &Request,
    string: Option<Source>,
    dry_run: bool,
    out: &mut impl Write,
) -> Result<()> {
    ensure!(
        request.root.is_none() || string.is_none(),
        "an image is not enrolled: every machine made from it would speak in one name; leave --string-file out, and \
         see docs/install.md for images whose machines enrol by themselves"
    );
    let plan = system::plan_install(request)?;
    if dry_run {
        return Ok(plan.acts.iter().try_for_each(|act| writeln!(out, "would {act}"))?);
    }
    refuse_without_rights()?;
    let state = StateDir::new(plan.state_dir);
    if request.root.is_none() {
        enrol_if_possible(&state, string, out).await?;
    }
    perform(&plan.acts, "install", out)
}

/// Before anything is registered: where it fails, nothing was changed.
async fn enrol_if_possible(state: &StateDir, string: Option<Source>, out: &mut impl Write) -> Result<()> {
    state.refuse_of_others()?;
    if let Ok(identity) = state.identity(&platform::machine()) {
        writeln!(out, "enrolled already as {} (unit {})", identity.agent, identity.unit)?;
        return Ok(());
    }
    let string = match string {
        Some(string) => Some(string),
        None => Source::ask()?,
    };
    match string {
        Some(string) => {
            let enrolled = enrol::run(state, &string).await.context("nothing was registered")?;
            let pending =
                if enrolled.pending { "; a person must approve it on the collector's page" } else { "" };
            writeln!(
                out,
                "enrolled as {} (unit {}){pending}",
                enrolled.identity.agent, enrolled.identity.unit
            )?;
        }
        None => writeln!(
            out,
            "not enrolled yet: the service waits for {} or for `wardwatch-agent enrol`",
            platform::enrolment_file().display()
        )?,
    }
    Ok(())
}

/// Stops the service and removes what `install` made; with `purge` the state too.
///
/// # Errors
/// No root or administrator, or an act that failed.
pub fn uninstall(request: &Request, purge: bool, dry_run: bool, out: &mut impl Write) -> Result<()> {
    let plan = system::plan_uninstall(request, purge)?;
    if dry_run {
        return Ok(plan.acts.iter().try_for_each(|act| writeln!(out, "would {act}"))?);
    }
    refuse_without_rights()?;
    perform(&plan.acts, "uninstall", out)?;
    if !purge && plan.state_dir.exists() {
        writeln!(
            out,
            "kept: {} with identity and keys; remove it if this machine is not to come back",
            plan.state_dir.display()
        )?;
    }
    Ok(())
}

/// All that is to be done, in this order.
struct Plan {
    acts: Vec<system::SystemAct>,
    state_dir: PathBuf,
}

fn refuse_without_rights() -> Result<()> {
    if !platform::is_superuser() {
        bail!(
            "only {} may register or remove a service, so nothing was changed; {}; without these rights \
             `wardwatch-agent run` works until the session ends, and `status` says what it cannot see",
            platform::SUPERUSER,
            platform::BECOME_SUPERUSER
        );
    }
    Ok(())
}

fn perform(acts: &[impl Act], command: &str, out: &mut impl Write) -> Result<()> {
    for act in acts {
        let done = act.perform().with_context(|| {
            format!("could not {act}; what stands above was done; mend it and run `{command}` again")
        })?;
        match done {
            Done::Now => writeln!(out, "{act}: done")?,
            Done::Before => writeln!(out, "{act}: was so already")?,
            Done::InVain(why) => writeln!(out, "{act}: not done, which does no harm: {why}")?,
        }
    }
    Ok(())
}

fn remove_state(path: &Path) -> Result<Done> {
    if !path.exists() {
        return Ok(Done::Before);
    }
    // A mistyped path must not cost somebody else's files.
    ensure!(
        ["lock", "status.json", "identity.json"].iter().any(|name| path.join(name).is_file()),
        "it does not look like a state folder of the agent, so it was left alone; remove it by hand"
    );
    fs::remove_dir_all(path)?;
    Ok(Done::Now)
}

/// How the service stands, in a line for `status`.
#[must_use]
pub fn standing() -> String {
    match settings::service(NAME) {
        Err(reason) => format!("unknown: {}", reason.0),
        Ok(seen) if !seen.installed => {
            "not installed: it neither starts with the machine nor comes back when it dies".into()
        }
        Ok(seen) => {
            let at = seen.at.map_or_else(String::new, |at| format!(" ({at})"));
            let enabled =
                if seen.enabled { "starts with the machine" } else { "does not start with the machine" };
            let running = match seen.active {
                Ok(true) => ", running",
                Ok(false) => ", not running",
                // `status` tells by the lock whether an agent runs.
                Err(_) => "",
            };
            format!("installed{at}, {enabled}{running}")
        }
    }
}
