//! Takes an enrolment string from where an installer found it to where an agent that is not enrolled looks for it. The
//! original stays: other machines may be installed from there.

use std::path::Path;

use anyhow::{Context, Result, anyhow};

use super::string::read_bounded;
use crate::platform;
use crate::state::write_private;

/// Copies the string, if there is one. Whoever could write it could make this machine obey another collector.
///
/// # Errors
/// Somebody other than the system and administrators could have written it, or it cannot be copied.
pub fn take(from: &Path) -> Result<()> {
    let opened = platform::open_private(from)
        .map_err(|problem| anyhow!("the enrolment string in {} is not taken: {problem}", from.display()))?;
    let Some(file) = opened else { return Ok(()) };
    let text = read_bounded(file)?;
    let to = platform::enrolment_file();
    let folder = to.parent().context("the enrolment string has no folder")?;
    platform::create_private_folder(folder)
        .with_context(|| format!("{} cannot be closed to other users", folder.display()))?;
    Ok(write_private(&to, text.as_bytes())?)
}
