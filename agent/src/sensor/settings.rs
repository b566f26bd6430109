//! Reads what policies ask of this machine's settings, natively: no command is ever run. It does not judge;
//! `wardwatch_policies::evaluate` does.
//!
//! Everything is read below a root folder, the machine's own `/` or a mounted one. What may not or cannot be
//! read is `Unreadable` with its reason.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as system;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as system;

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use wardwatch_policies::evaluate;
use wardwatch_policies::observation::{Observation, Observations, Reading, ServiceSeen, Unreadable};
use wardwatch_policies::policy::Policy;
use wardwatch_policies::system::System;
use wardwatch_policies::verdict::PolicyResults;

use crate::platform;
pub use system::SYSTEM;
use system::Sensor;

/// Reads everything the policies need once, and evaluates each. Where the root itself cannot be opened, every
/// verdict that depends on it is unknown; so is all of a policy for another system.
#[must_use]
pub fn evaluate_all<'p>(policies: impl IntoIterator<Item = &'p Policy>, root: &Path) -> Vec<PolicyResults> {
    let policies: Vec<_> = policies.into_iter().collect();
    let fits = |policy: &Policy| policy.system.is_none_or(|system| system == SYSTEM);
    let needs = policies.iter().filter(|policy| fits(policy)).flat_map(|policy| policy.needs());
    let observations = observe(needs.collect(), root);
    policies
        .into_iter()
        .map(|policy| match policy.system {
            Some(system) if system != SYSTEM => evaluate::evaluate(policy, &of_elsewhere(policy, system)),
            _ => evaluate::evaluate(policy, &observations),
        })
        .collect()
}

/// Answers nothing: a service or a file of the same name would be another thing here.
fn of_elsewhere(policy: &Policy, system: System) -> Observations {
    let reason = Unreadable(format!("the policy is written for {system}, and this is {SYSTEM}"));
    policy.needs().into_iter().map(|reading| (reading, Err(reason.clone()))).collect()
}

/// How a service of this machine stands.
///
/// # Errors
/// It cannot be seen.
pub fn service(name: &str) -> Result<ServiceSeen, Unreadable> {
    let sensor = Sensor::open(&platform::system_root()).map_err(|error| Unreadable(say(&error)))?;
    match sensor.read(&Reading::Service { name: name.to_owned() })? {
        Observation::Service(seen) => Ok(seen),
        _ => Err(Unreadable("something else was read".into())),
    }
}

/// Answers each reading.
fn observe(needs: BTreeSet<Reading>, root: &Path) -> Observations {
    let sensor = Sensor::open(root);
    needs
        .into_iter()
        .map(|reading| {
            let answer = match &sensor {
                Ok(sensor) => sensor.read(&reading),
                Err(error) => Err(Unreadable(format!("{} cannot be opened: {}", root.display(), say(error)))),
            };
            (reading, answer)
        })
        .collect()
}

/// An input or output error in the same words on every system, without its number.
fn say(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::NotFound => "no such file".into(),
        _ => {
            let text = error.to_string();
            text.split(" (os error").next().unwrap_or(&text).to_lowercase()
        }
    }
}
