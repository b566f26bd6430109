//! Small systems below a folder, in which packages are installed: a Debian, and one with BusyBox alone.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::{run, scratch, workspace};

/// Where Debian comes from; its files are kept below `target` for the next time.
const SUITE: &str = "bookworm";

/// A root of its own. Gone when dropped.
pub(super) struct Chroot {
    folder: TempDir,
}

impl Chroot {
    /// A Debian without an init system that runs.
    pub(super) fn debian() -> Result<Self> {
        let archive = workspace().join("target/package-tests").join(format!("{SUITE}.tar"));
        let folder = scratch()?;
        if !archive.exists() {
            let draft = folder.path().join("new.tar");
            run(Command::new("mmdebstrap")
                .args(["--variant=minbase", "--include=adduser", SUITE])
                .arg(&draft))?;
            std::fs::rename(&draft, &archive)?;
        }
        run(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(folder.path()))?;
        Ok(Self { folder })
    }

    /// What a recorder has: BusyBox as init and for everything else.
    pub(super) fn busybox() -> Result<Self> {
        let folder = scratch()?;
        let root = folder.path();
        for name in
            ["bin", "sbin", "usr/sbin", "usr/bin", "etc/init.d", "var/lib", "proc", "dev", "run", "tmp"]
        {
            std::fs::create_dir_all(root.join(name))?;
        }
        std::fs::copy("/bin/busybox", root.join("bin/busybox"))
            .context("busybox-static is not there; `tests/run` installs it")?;
        run(Command::new("chroot").arg(root).args(["/bin/busybox", "--install", "-s"]))?;
        std::fs::write(root.join("etc/passwd"), "root:x:0:0::/:/bin/sh\n")?;
        std::fs::write(root.join("etc/group"), "root:x:0:\n")?;
        std::fs::write(
            root.join("etc/init.d/rcS"),
            "#!/bin/sh\nfor script in /etc/init.d/S??*; do \"$script\" start; done\n",
        )?;
        for (name, minor) in [("null", "3"), ("random", "8"), ("urandom", "9")] {
            let device = root.join("dev").join(name);
            run(Command::new("mknod").args(["-m", "666"]).arg(device).args(["c", "1", minor]))?;
        }
        Ok(Self { folder })
    }

    pub(super) fn path(&self, inside: &str) -> PathBuf {
        self.folder.path().join(inside.trim_start_matches('/'))
    }

    pub(super) fn has(&self, inside: &str) -> bool {
        self.path(inside).symlink_metadata().is_ok()
    }

    /// Copies a file in, to the root folder.
    pub(super) fn put(&self, file: &Path) -> Result<String> {
        let name = file.file_name().context("no name")?.to_string_lossy().into_owned();
        std::fs::copy(file, self.path(&name))?;
        Ok(format!("/{name}"))
    }

    /// A call inside, with processes of its own, all of which end with it.
    pub(super) fn command(&self, call: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--pid", "--fork", "--kill-child"])
            .arg(format!("--mount-proc={}", self.path("proc").display()))
            .arg("chroot")
            .arg(self.folder.path())
            .args(call)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("LC_ALL", "C.UTF-8");
        command
    }

    /// A call inside that must succeed.
    pub(super) fn run(&self, call: &[&str]) -> Result<String> {
        run(&mut self.command(call))
    }

    /// Installs a Debian package and returns what was printed.
    pub(super) fn install(&self, package: &Path) -> Result<String> {
        let file = self.put(package)?;
        self.run(&["dpkg", "--install", &file])
    }
}
