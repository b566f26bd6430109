//! The command `check`: evaluates policies here or below a mounted root, and prints the verdicts. It needs no
//! collector and changes nothing.

mod print;

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use wardwatch_policies::parse::{self, MAX_FILE_BYTES};
use wardwatch_policies::policy::Policy;
use wardwatch_policies::shipped;
use wardwatch_policies::verdict::Verdict;

use crate::form::Form;
use crate::sensor::settings;

/// What a person asked for.
pub struct Request {
    /// Each a file, or the name of a shipped policy.
    pub policies: Vec<String>,
    pub root: PathBuf,
    pub form: Form,
}

/// How the checks came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Not one failed. Some may be unknown.
    NoneFailed,
    SomeFailed,
}

/// Evaluates the policies and prints their verdicts to `out`.
///
/// # Errors
/// A policy that cannot be found or is not valid, a root that is no folder, or output that cannot be written.
pub fn run(request: &Request, out: &mut dyn Write) -> Result<Outcome> {
    let policies: Vec<_> = request.policies.iter().map(|name| load(name)).collect::<Result<_>>()?;
    if !request.root.is_dir() {
        bail!(
            "{} is not a folder that can be entered, so nothing was checked; give the mounted root of a system",
            request.root.display()
        );
    }
    let evaluated = settings::evaluate_all(&policies, &request.root);
    let listing: Vec<_> = policies.iter().zip(&evaluated).collect();
    match request.form {
        Form::Table => print::table(&listing, out),
        Form::Json => print::json(&listing, out),
    }
    .and_then(|()| out.flush())
    .context("the verdicts could not be printed")?;
    let failed =
        evaluated.iter().flat_map(|policy| &policy.results).any(|result| result.verdict == Verdict::Fail);
    Ok(if failed { Outcome::SomeFailed } else { Outcome::NoneFailed })
}

fn load(name: &str) -> Result<Policy> {
    if let Some(policy) = shipped::named(name) {
        return Ok(policy.clone());
    }
    let path = Path::new(name);
    if !path.is_file() {
        let shipped: Vec<_> = shipped::names().collect();
        bail!(
            "there is no policy \"{name}\", so nothing was checked; give a file, or one of {}",
            shipped.join(", ")
        );
    }
    let text =
        read_bounded(path).with_context(|| format!("{name} could not be read, so nothing was checked"))?;
    Ok(parse::parse(name, &text)?)
}

/// One byte more than is accepted is enough for the parser to say that the file is too large.
fn read_bounded(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_FILE_BYTES as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests;
