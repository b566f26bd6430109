//! A camera recorder as far as one machine can show it: a root of another processor with BusyBox and without glibc,
//! read-only but for the agent's state, entered through qemu-user in a mount namespace of its own.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::program;
use crate::site::{AGENT, Agent, Site};

/// A processor that is emulated.
#[derive(Debug, Clone, Copy)]
pub struct Processor {
    /// As the agent is built for it.
    pub target: &'static str,
    /// As Debian names it.
    pub debian: &'static str,
    /// Its emulator, a static program.
    pub qemu: &'static str,
    /// As the emulator names it.
    pub model: &'static str,
    /// As the kernel names it.
    pub kernel: &'static str,
}

/// Of most recorders sold in the last ten years.
pub const ARMV7: Processor = Processor {
    target: "armv7-unknown-linux-musleabihf",
    debian: "armhf",
    qemu: "/usr/bin/qemu-arm-static",
    model: "cortex-a9",
    kernel: "armv7l",
};
/// Of old ones.
pub const ARMV6: Processor = Processor {
    target: "arm-unknown-linux-musleabi",
    debian: "armel",
    qemu: "/usr/bin/qemu-arm-static",
    model: "arm1176",
    kernel: "armv6l",
};
/// Of new ones.
pub const AARCH64: Processor = Processor {
    target: "aarch64-unknown-linux-musl",
    debian: "arm64",
    qemu: "/usr/bin/qemu-aarch64-static",
    model: "cortex-a53",
    kernel: "aarch64",
};

/// An emulator is slow, and two of these on two cores are slower.
const PATIENCE: Duration = Duration::from_secs(180);
/// What stands in the state folder's place within the root.
const STATE: &str = "/var/lib/wardwatch-agent";

/// A root, and an agent in it that is not enrolled yet.
pub struct Recorder {
    pub root: PathBuf,
    /// Writable, at `/mnt`.
    pub card: PathBuf,
    pub agent: Agent,
}

impl Recorder {
    /// Lays out the root.
    ///
    /// # Errors
    /// Something that `tests/run` installs or builds is missing.
    pub fn new(site: &Site, processor: Processor) -> Result<Self> {
        let folder = site.folder();
        let (root, card) = (folder.join("root"), folder.join("card"));
        for name in ["bin", "dev", "etc/wardwatch", "mnt", "proc", "usr/bin", &STATE[1..]] {
            fs::create_dir_all(root.join(name))?;
        }
        fs::create_dir(&card)?;
        for device in ["null", "random", "urandom"] {
            fs::write(root.join("dev").join(device), "")?;
        }
        install(Path::new(processor.qemu), &root.join("qemu"))?;
        install(
            &program::built(&format!("busybox/{}/busybox", processor.debian)),
            &root.join("bin/busybox"),
        )?;
        for applet in ["sh", "ls", "mount", "start-stop-daemon"] {
            symlink("busybox", root.join("bin").join(applet))?;
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n")?;
        fs::write(root.join("etc/inittab"), "::sysinit:/etc/init.d/rcS\n")?;
        fs::write(
            root.join("etc/wardwatch/agent.toml"),
            "heartbeat_seconds = 1\n[files]\ncpu_percent = 100\n",
        )?;

        let mut agent = site.agent("recorder")?;
        fs::create_dir(&agent.state)?;
        let program = root.join("usr/bin").join(AGENT);
        install(Path::new(&program::cross(processor.target, AGENT)), &program)?;
        agent.binary = program.display().to_string();
        agent.patience = PATIENCE;
        agent.config = "/etc/wardwatch/agent.toml".into();
        agent.environment =
            vec![("WARDWATCH_STATE_DIR".into(), STATE.into()), ("QEMU_CPU".into(), processor.model.into())];
        let enter = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/recorder/enter");
        let unshare = ["/usr/bin/unshare", "--mount", "--propagation", "private"].map(PathBuf::from);
        let launcher = unshare.into_iter().chain([enter, root.clone(), agent.state.clone(), card.clone()]);
        agent.launcher = launcher.map(|part| part.display().to_string()).collect();
        Ok(Self { root, card, agent })
    }

    /// A call of a program of the root, named as from within.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(&self.agent.launcher[0]);
        command.args(&self.agent.launcher[1..]).arg(self.root.join(&program[1..]));
        command.envs(self.agent.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// What a call of a program printed, which ended with one of these codes.
    ///
    /// # Errors
    /// It cannot be started, or ended otherwise.
    pub fn output(&self, call: &[&str], codes: &[i32]) -> Result<Output> {
        let (program, arguments) = call.split_first().context("no program")?;
        let output = self.command(program).args(arguments).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        let ended = output.status.code();
        ensure!(ended.is_some_and(|code| codes.contains(&code)), "{call:?}: {}\n{said}", output.status);
        Ok(output)
    }
}

fn install(from: &Path, to: &Path) -> Result<()> {
    program::copy(from, to)
        .with_context(|| format!("{} is not there; `tests/run` installs it", from.display()))
}
