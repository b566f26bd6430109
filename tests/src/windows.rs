//! Windows programs under Wine: a prefix below `target/`, and paths as both sides write them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::program;
use crate::site::{Agent, Site};

pub const TARGET: &str = "x86_64-pc-windows-gnu";
const COMPILER: &str = "x86_64-w64-mingw32-gcc";
/// Wine before 9 has no such library.
const RANDOM_LIBRARY: &str = "bcryptprimitives.dll";
const RANDOM_SOURCE: &str = include_str!("windows/process_prng.c");
const HOLD_SOURCE: &str = include_str!("windows/hold.c");

/// A Windows of our own: its drive C and its registry.
pub struct Wine {
    prefix: PathBuf,
    /// Where the programs under test lie, with what they need beside them.
    programs: PathBuf,
}

impl Wine {
    /// The prefix that all tests share; made by the first, which takes about 20 s.
    ///
    /// # Errors
    /// Wine or mingw-w64 is not installed, or the prefix cannot be made.
    ///
    /// # Panics
    /// The agent is not built for Windows.
    pub fn start() -> Result<Self> {
        let built = PathBuf::from(program::cross(TARGET, "wardwatch-agent.exe"));
        let target = built.ancestors().nth(3).context("no target folder")?;
        fs::create_dir_all(target.join("wine"))?;
        let lock = File::create(target.join("wine/lock"))?;
        lock.lock()?;
        let wine = Self::in_folder(&target.join("wine"))?;
        wine.compile(&wine.program("hold.exe"), HOLD_SOURCE, &["-municode"])?;
        fs::copy(built, wine.program("wardwatch-agent.exe"))?;
        Ok(wine)
    }

    /// The prefix in this folder; made if it is not there whole.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn in_folder(folder: &Path) -> Result<Self> {
        let wine = Self { prefix: folder.join("prefix"), programs: folder.join("programs") };
        fs::create_dir_all(&wine.programs)?;
        let is_made = wine.prefix.join("made");
        if !is_made.exists() {
            let _ = fs::remove_dir_all(&wine.prefix);
            for call in [&["wineboot", "--init"][..], &["winecfg", "/v", "win10"]] {
                let output = wine.command().args(call).output().context("wine is not installed")?;
                ensure!(output.status.success(), "{call:?}: {}", String::from_utf8_lossy(&output.stderr));
            }
            File::create(is_made)?;
        }
        let library = wine.drive().join("windows/system32").join(RANDOM_LIBRARY);
        wine.compile(&library, RANDOM_SOURCE, &["-shared", "-ladvapi32"])?;
        Ok(wine)
    }

    /// Drive C, as Linux names it.
    #[must_use]
    pub fn drive(&self) -> PathBuf {
        self.prefix.join("drive_c")
    }

    /// Ends all that runs in this Windows.
    pub fn end(&self) {
        let _ = Command::new("wineserver").arg("--kill").envs(self.environment()).status();
    }

    fn compile(&self, program: &Path, source: &str, flags: &[&str]) -> Result<()> {
        let text = self.programs.join(program.file_name().context("a file")?).with_extension("c");
        fs::write(&text, source)?;
        // Another test may run the one that is there.
        let draft = program.with_extension("new");
        let output = Command::new(COMPILER)
            .arg("-o")
            .arg(&draft)
            .arg(text)
            .args(flags)
            .output()
            .with_context(|| format!("{COMPILER} is not installed"))?;
        ensure!(output.status.success(), "{program:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(fs::rename(draft, program)?)
    }

    /// A program under test, as Linux names it.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }

    fn environment(&self) -> [(String, String); 4] {
        [
            ("WINEPREFIX".into(), self.prefix.display().to_string()),
            ("WINEDEBUG".into(), "-all".into()),
            // For names in arguments.
            ("LC_ALL".into(), "C.UTF-8".into()),
            ("WINEDLLOVERRIDES".into(), "mscoree,mshtml=".into()),
        ]
    }

    /// A call of Wine, to which a program and its arguments are to be added.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new("wine");
        command.envs(self.environment()).env_remove("DISPLAY").stdin(Stdio::null());
        command
    }

    /// A new folder on drive C, as Linux names it.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn folder(&self) -> Result<tempfile::TempDir> {
        Ok(tempfile::Builder::new().prefix("ww").tempdir_in(self.drive())?)
    }

    /// A path below drive C as Windows names it.
    ///
    /// # Panics
    /// It is not below drive C.
    #[must_use]
    pub fn windows_path(&self, path: &Path) -> String {
        let below = path.strip_prefix(self.drive()).expect("a path below drive C");
        format!("C:\\{}", below.display().to_string().replace('/', "\\"))
    }

    /// An agent of the site that runs under Wine, with its folders below `folder`, not enrolled yet.
    ///
    /// # Errors
    /// Its folders cannot be made.
    pub fn agent(&self, site: &Site, name: &str, folder: &Path) -> Result<Agent> {
        let mut agent = site.agent(name)?;
        agent.binary = self.program("wardwatch-agent.exe").display().to_string();
        agent.launcher = vec!["/usr/bin/wine".into()];
        agent.state = folder.join("state");
        agent.watched = folder.join("watched");
        fs::create_dir(&agent.watched)?;
        fs::write(
            &agent.config,
            format!(
                "heartbeat_seconds = 1\n[files]\nroots = ['{}']\ncpu_percent = 100\nmib_per_second = 4000\n",
                self.windows_path(&agent.watched)
            ),
        )?;
        agent.environment = self.environment().into();
        agent.environment.push(("WARDWATCH_STATE_DIR".into(), self.windows_path(&agent.state)));
        Ok(agent)
    }
}
