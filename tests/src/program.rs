//! The programs under test, as built beside the tests, each in a process of its own with its log in a file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// The path of a program of this workspace.
///
/// # Panics
/// It is not built: `cargo build --workspace` comes before the tests.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of the test");
    let folder = test.ancestors().nth(2).expect("a target folder");
    let program = folder.join(name);
    let release = if folder.ends_with("release") { " --release" } else { "" };
    assert!(
        program.exists(),
        "{} is not built; run `cargo build --workspace{release}` first",
        program.display()
    );
    program
}

/// The path of a program that `cross/build` made for `target`.
///
/// # Panics
/// It is not built.
#[must_use]
pub fn cross(target: &str, name: &str) -> String {
    let program = built(&format!("{target}/{name}"));
    assert!(program.exists(), "{} is not built; run `cross/build {target}` first", program.display());
    program.display().to_string()
}

/// Where what is made for other machines lies.
///
/// # Panics
/// The test does not lie in a target folder.
#[must_use]
pub fn built(path: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of the test");
    test.ancestors().nth(3).expect("a target folder").join("cross").join(path)
}

/// Copies a program that is to be run from there.
///
/// # Errors
/// It is not there, or the place cannot be written.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    // Another process writes it: what a thread forks here meanwhile would hold it open, and "text file busy" is what
    // the next start of it would get.
    let copied = Command::new("cp").arg(from).arg(to).output().context("cp cannot be started")?;
    ensure!(copied.status.success(), "{}", String::from_utf8_lossy(&copied.stderr).trim());
    Ok(())
}

/// Runs a program to its end and returns what it printed.
///
/// # Errors
/// It cannot be started.
pub fn run(name: &str, arguments: &[&str], data: &Path) -> Result<Output> {
    command(name, data).args(arguments).output().with_context(|| format!("{name} cannot be started"))
}

/// Runs a program that must succeed and reads the JSON it prints.
///
/// # Errors
/// It fails, or prints something else.
pub fn json(name: &str, arguments: &[&str], data: &Path) -> Result<serde_json::Value> {
    let output = run(name, arguments, data)?;
    if !output.status.success() {
        bail!("{name} {arguments:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{name} {arguments:?} printed {}", String::from_utf8_lossy(&output.stdout)))
}

/// A call of a program with `data` as its folder.
#[must_use]
pub fn command(name: &str, data: &Path) -> Command {
    let mut command = Command::new(path(name));
    command.env("WARDWATCH_DATA_DIR", data).env("WARDWATCH_STATE_DIR", data).stdin(Stdio::null());
    command
}

/// A running program. Killed when dropped.
pub struct Program {
    child: Child,
    pub log: PathBuf,
}

impl Program {
    /// Starts a program; its output is appended to `DATA/../NAME.log`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(name: &str, arguments: &[&str], data: &Path) -> Result<Self> {
        let mut call = command(name, data);
        call.args(arguments);
        Self::spawn(call, data.with_extension(format!("{name}.log")))
    }

    /// Starts a call that was made ready; its output is appended to `log`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(mut call: Command, log: PathBuf) -> Result<Self> {
        let file = File::options().create(true).append(true).open(&log)?;
        let child = call
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("{} cannot be started", call.get_program().display()))?;
        Ok(Self { child, log })
    }

    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, once it has ended.
    ///
    /// # Errors
    /// The system does not say.
    pub fn ended(&mut self) -> Result<Option<std::process::ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// SIGKILL: no chance to put anything in order.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, then waits for the end.
    ///
    /// # Errors
    /// It has not ended within ten seconds.
    pub fn stop(&mut self) -> Result<std::process::ExitStatus> {
        self.stop_by("-TERM")
    }

    /// SIGINT, as Ctrl-C sends it, then waits for the end.
    ///
    /// # Errors
    /// It has not ended within ten seconds.
    pub fn interrupt(&mut self) -> Result<std::process::ExitStatus> {
        self.stop_by("-INT")
    }

    /// SIGSTOP: neither it nor a program that it started does anything more until [`Self::go_on`].
    ///
    /// # Errors
    /// It cannot be told.
    pub fn pause(&self) -> Result<()> {
        self.signal_all("-STOP")
    }

    /// # Errors
    /// It cannot be told.
    pub fn go_on(&self) -> Result<()> {
        self.signal_all("-CONT")
    }

    fn signal(&self, signal: &str) -> Result<()> {
        Command::new("kill").arg(signal).arg(self.child.id().to_string()).status()?;
        Ok(())
    }

    /// Those that it started, each with a number of its own.
    fn started(&self) -> Vec<String> {
        let id = self.child.id();
        let text = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn signal_all(&self, signal: &str) -> Result<()> {
        // The parent first: from then on it starts no more.
        self.signal(signal)?;
        for child in self.started() {
            Command::new("kill").args([signal, &child]).status()?;
        }
        Ok(())
    }

    fn stop_by(&mut self, signal: &str) -> Result<std::process::ExitStatus> {
        self.signal(signal)?;
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if begin.elapsed() > Duration::from_secs(10) {
                bail!("still running ten seconds after SIG{}", &signal[1..]);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[must_use]
    pub fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks again until there is an answer.
///
/// # Errors
/// There is none within `limit`; `what` says what was waited for.
pub async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut ask: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let begin = Instant::now();
    loop {
        let last = ask().await;
        match last {
            Ok(Some(answer)) => return Ok(answer),
            Err(error) if begin.elapsed() > limit => return Err(error.context(what.to_owned())),
            Ok(None) if begin.elapsed() > limit => bail!("not within {limit:?}: {what}"),
            _ => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
