//! What `cross/package` made: that each package holds what it should, can be verified, installs, upgrades with its
//! state kept, and goes.
//!
//! Every test needs the packages in `target/packages`, so all are ignored unless asked for; those that install need
//! root, and change nothing outside of folders below `target/package-tests`.

mod archive;
mod chroot;
mod contents;
mod debian;
mod documents;
mod release;
mod windows;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};

/// The folder of the workspace.
fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the workspace").into()
}

/// All packages, checksums and signatures.
fn made() -> Vec<PathBuf> {
    let folder = workspace().join("target/packages");
    let entries = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}; run `cross/package` first", folder.display()));
    let mut made: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    made.sort();
    made
}

/// The package of a program whose name holds `target` and ends so, signed or not.
fn package(program: &str, target: &str, end: &str) -> PathBuf {
    let is_it = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(program) && name.contains(target) && name.ends_with(end)
    };
    made().into_iter().find(is_it).unwrap_or_else(|| {
        panic!("target/packages holds no {program}…{target}…{end}; run `cross/build` for it, then `cross/package`")
    })
}

/// A scratch folder on the disk of the workspace, where programs may be run and much fits.
fn scratch() -> Result<tempfile::TempDir> {
    let folder = workspace().join("target/package-tests");
    std::fs::create_dir_all(&folder)?;
    Ok(tempfile::tempdir_in(folder)?)
}

/// Runs a program that must succeed, and returns what it printed.
fn run(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    ensure!(output.status.success(), "{command:?}: {}\n{}", output.status, all_text(&output));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn output(command: &mut Command) -> Result<Output> {
    let program = command.get_program().to_owned();
    command.output().with_context(|| format!("{} is not there; `tests/run` installs it", program.display()))
}

fn all_text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
