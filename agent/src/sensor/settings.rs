//! Reads what policies ask of this machine's settings, natively: no command is ever run. It does not judge;
//! `wardwatch_policies::evaluate` does.
//!
//! Everything is read below a root folder, the machine's own `/` or a mounted one. What may not or cannot be
//! read is `Unreadable` with its reason.

mod linux;

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use wardwatch_policies::evaluate;
use wardwatch_policies::observation::{Observations, Reading, Unreadable};
use wardwatch_policies::policy::Policy;
use wardwatch_policies::verdict::PolicyResults;

use linux::Sensor;

/// Reads everything the policies need once, and evaluates each. Where the root itself cannot be opened, every
/// verdict that depends on it is unknown.
#[must_use]
pub fn evaluate_all<'p>(policies: impl IntoIterator<Item = &'p Policy>, root: &Path) -> Vec<PolicyResults> {
    let policies: Vec<_> = policies.into_iter().collect();
    let needs: BTreeSet<_> = policies.iter().flat_map(|policy| policy.needs()).collect();
    let observations = observe(needs, root);
    policies.into_iter().map(|policy| evaluate::evaluate(policy, &observations)).collect()
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
