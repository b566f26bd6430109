//! A whole system that boots in namespaces of its own, with its own first process and the network of this machine.
//! Needs root and `systemd-nspawn`, which boots any init program.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};

use crate::program::{self, Program, eventually};
use crate::site::PATIENCE;

/// A system that runs. Killed when dropped.
pub struct Machine {
    root: PathBuf,
    /// The first process, by its number out here.
    first: u32,
    container: Program,
}

impl Machine {
    /// Boots the system below `root`; what its console shows is logged beside it.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn boot(root: &Path) -> Result<Self> {
        let mut call = Command::new("systemd-nspawn");
        call.args(["--boot", "--register=no", "--keep-unit", "--console=pipe", "--directory"]).arg(root);
        call.stdin(std::process::Stdio::null());
        let mut container = Program::spawn(call, root.with_extension("console"))
            .context("systemd-nspawn is missing; install systemd-container")?;
        let first = eventually("the first process runs", PATIENCE, async || {
            ensure!(container.ended()?.is_none(), "the machine has ended");
            Ok(first_process_below(container.id()))
        })
        .await
        .with_context(|| container.log_text())?;
        Ok(Self { root: root.to_owned(), first, container })
    }

    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What the console has shown.
    #[must_use]
    pub fn console(&self) -> String {
        self.container.log_text()
    }

    /// Runs a shell command within.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn shell(&self, command: &str) -> Result<Output> {
        Ok(Command::new("nsenter")
            .args(["--all", "--target", &self.first.to_string(), "/bin/sh", "-c", command])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .output()?)
    }

    /// Runs a shell command within that must succeed, and returns what it printed.
    ///
    /// # Errors
    /// It fails.
    pub fn run(&self, command: &str) -> Result<String> {
        let output = self.shell(command)?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command}: {}\n{printed}{error}", output.status);
        Ok(printed)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // With the first process its whole namespace ends.
        let _ = Command::new("kill").args(["-KILL", &self.first.to_string()]).status();
        let _ = self.container.stop();
    }
}

/// The process below this one that is the first of a namespace.
fn first_process_below(parent: u32) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    children.split_whitespace().filter_map(|child| child.parse().ok()).find_map(|child: u32| {
        let status = fs::read_to_string(format!("/proc/{child}/status")).unwrap_or_default();
        let within =
            status.lines().find_map(|line| line.strip_prefix("NSpid:"))?.split_whitespace().last()?;
        if within == "1" { Some(child) } else { first_process_below(child) }
    })
}

/// Installs a small Debian below `root`.
///
/// # Errors
/// No Debian mirror can be reached, or `mmdebstrap` is missing.
pub fn install_debian(root: &Path, packages: &str) -> Result<()> {
    let output = Command::new("mmdebstrap")
        .args(["--variant=minbase", &format!("--include={packages}"), "bookworm"])
        .arg(root)
        .output()
        .context("mmdebstrap is missing; install it")?;
    ensure!(output.status.success(), "mmdebstrap: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// Makes a system of nothing but BusyBox, as a recorder's: `init` runs `rcS`, which runs every `S??*`.
///
/// # Errors
/// `busybox-static` is missing.
pub fn make_busybox_system(root: &Path) -> Result<()> {
    for folder in [
        "bin",
        "sbin",
        "etc/init.d",
        "usr/bin",
        "usr/sbin",
        "proc",
        "sys",
        "dev",
        "run",
        "tmp",
        "root",
        "var",
    ] {
        fs::create_dir_all(root.join(folder))?;
    }
    symlink("../run", root.join("var/run"))?;
    program::copy(Path::new("/bin/busybox"), &root.join("bin/busybox")).context("install busybox-static")?;
    let applets = Command::new(root.join("bin/busybox")).arg("--list").output()?;
    for applet in String::from_utf8(applets.stdout)?.lines().filter(|name| *name != "busybox") {
        symlink("/bin/busybox", root.join("bin").join(applet))?;
    }
    symlink("/bin/busybox", root.join("sbin/init"))?;
    fs::write(root.join("etc/os-release"), "ID=busybox\n")?;
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    fs::write(root.join("etc/inittab"), "::sysinit:/etc/init.d/rcS\n::shutdown:/etc/init.d/rcK\n")?;
    write_script(
        &root.join("etc/init.d/rcS"),
        "for script in /etc/init.d/S??*; do [ -x \"$script\" ] && \"$script\" start; done",
    )?;
    write_script(
        &root.join("etc/init.d/rcK"),
        "for script in /etc/init.d/S??*; do [ -x \"$script\" ] && \"$script\" stop; done",
    )
}

fn write_script(path: &Path, text: &str) -> Result<()> {
    fs::write(path, format!("#!/bin/sh\n{text}\n"))?;
    Ok(fs::set_permissions(path, Permissions::from_mode(0o755))?)
}
