//! A test that mounts something does so where nobody else sees it, and nothing stays mounted when it ends.

use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A file that says, once it is written, that the test was there.
const INSIDE: &str = "WARDWATCH_TEST_OWN_MOUNTS";

/// Says whether this process has mounts of its own. If not, it has run the test of that name once more in a process
/// that has, and the caller is done.
///
/// # Errors
/// The test failed there, may not have mounts of its own, or has another name.
pub fn has_own_mounts(test: &str) -> Result<bool> {
    if let Some(mark) = std::env::var_os(INSIDE) {
        std::fs::write(mark, "here")?;
        return Ok(true);
    }
    let mark = tempfile::NamedTempFile::new()?;
    let status = Command::new("unshare")
        .args(["--mount", "--propagation", "private"])
        .arg(std::env::current_exe()?)
        .args(["--exact", test, "--include-ignored", "--nocapture"])
        .env(INSIDE, mark.path())
        .status()
        .context("unshare cannot be started")?;
    ensure!(status.success(), "{test} failed in its own mount namespace: {status}; that needs root");
    ensure!(mark.path().metadata()?.len() > 0, "there is no test {test}, so that nothing was tried");
    Ok(false)
}
