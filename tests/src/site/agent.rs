//! One agent of a site, with folders of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wardwatch_wire::enrolment::EnrolmentString;

use super::{AGENT, PATIENCE, Site};
use crate::program::{self, Program, eventually};

/// One agent with its folders.
pub struct Agent {
    /// Its program, by its name beside the tests or by its path.
    pub binary: String,
    /// A program and its first arguments, to which the agent's program and its arguments are handed. Empty: the
    /// agent is called directly.
    pub launcher: Vec<String>,
    pub state: PathBuf,
    pub watched: PathBuf,
    pub config: PathBuf,
    pub log: PathBuf,
    /// How long it is waited for.
    pub patience: Duration,
    /// Set for every call.
    pub environment: Vec<(String, String)>,
    running: Option<Program>,
}

impl Agent {
    /// Makes the folders and settings of an agent that is not enrolled yet.
    pub(super) fn new(folder: &Path, name: &str) -> Result<Self> {
        let agent = Self {
            binary: AGENT.into(),
            launcher: Vec::new(),
            state: folder.join(format!("{name}.state")),
            watched: folder.join(format!("{name}.watched")),
            config: folder.join(format!("{name}.toml")),
            log: folder.join(format!("{name}.log")),
            patience: PATIENCE,
            environment: Vec::new(),
            running: None,
        };
        std::fs::create_dir(&agent.watched)?;
        let settings = format!(
            "heartbeat_seconds = 1\n[files]\nroots = [{:?}]\ncpu_percent = 100\nmib_per_second = 4000\n",
            agent.watched
        );
        std::fs::write(&agent.config, settings)?;
        Ok(agent)
    }

    /// A call of the agent's command line with its state folder and settings.
    #[must_use]
    pub fn command(&self, call: &str) -> Command {
        let mut command = match self.launcher.split_first() {
            None => program::command(&self.binary, &self.state),
            Some((launcher, arguments)) => {
                let mut command = program::command(launcher, &self.state);
                command.args(arguments).arg(program::path(&self.binary));
                command
            }
        };
        command.args([call, "--config"]).arg(&self.config);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Sets `WARDWATCH_{name}` for every call.
    pub fn set(&mut self, name: &str, value: &str) {
        let name = format!("WARDWATCH_{name}");
        self.environment.retain(|(known, _)| *known != name);
        self.environment.push((name, value.to_owned()));
    }

    /// Enrols with a string in a file.
    ///
    /// # Errors
    /// It cannot; what it says stands in the message.
    pub fn enrol(&self, string: &EnrolmentString) -> Result<()> {
        let output = self.try_to_enrol(string)?;
        ensure!(output.status.success(), "enrol: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// The same, whatever comes of it.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn try_to_enrol(&self, string: &EnrolmentString) -> Result<Output> {
        let file = self.state.with_extension("string");
        std::fs::write(&file, string.to_secret_text())?;
        Ok(self.command("enrol").arg("--string-file").arg(file).output()?)
    }

    /// # Errors
    /// It cannot be started.
    pub fn start(&mut self) -> Result<()> {
        self.running = Some(Program::spawn(self.command("run"), self.log.clone())?);
        Ok(())
    }

    #[must_use]
    pub const fn runs(&self) -> bool {
        self.running.is_some()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// # Errors
    /// It does not end in time, or with an error.
    pub fn stop(&mut self) -> Result<()> {
        let status = self.running.take().context("no agent runs")?.stop()?;
        ensure!(status.success(), "the agent ended with {status}");
        Ok(())
    }

    /// The running program.
    ///
    /// # Errors
    /// None runs.
    pub fn program(&mut self) -> Result<&mut Program> {
        self.running.as_mut().context("no agent runs")
    }

    #[must_use]
    pub fn log_text(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What `status --output json` prints.
    ///
    /// # Errors
    /// It fails.
    pub fn status(&self) -> Result<Value> {
        let output = self.command("status").args(["--output", "json"]).output()?;
        ensure!(output.status.success(), "status: {}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// The agent's id, once it is enrolled.
    ///
    /// # Errors
    /// It is not.
    pub fn id(&self) -> Result<String> {
        let text = std::fs::read_to_string(self.state.join("identity.json"))?;
        let identity: Value = serde_json::from_str(&text)?;
        Ok(identity["agent"].as_str().context("an identity without a name")?.to_owned())
    }

    /// Waits until the collector knows all files of this agent, and the agent says that it has nothing more to
    /// tell.
    ///
    /// # Errors
    /// Not in time; the agent's log stands in the message.
    pub async fn settle(&self, site: &Site) -> Result<()> {
        let path = format!("/endpoints/{}", self.id()?);
        let begin = jiff::Timestamp::now();
        eventually("the agent's inventory is complete", self.patience, async || {
            let endpoint = site.get(&path).await?;
            let heard = endpoint["last_seen"].as_str().map(str::parse::<jiff::Timestamp>).transpose()?;
            let settled = heard > Some(begin)
                && endpoint["inventory_complete"] == json!(true)
                && endpoint["outbox_reports"] == json!(0)
                && endpoint["clock_proved"] == json!(true);
            Ok(settled.then_some(()))
        })
        .await
        .with_context(|| self.log_text())
    }

    /// Waits for the open alert about a file of this agent, named as the agent names it, that has `digest` now.
    ///
    /// # Errors
    /// Not in time; the agent's log stands in the message.
    pub async fn alerted(&self, site: &Site, path: impl AsRef<Path>, digest: &str) -> Result<Value> {
        let path = path.as_ref();
        let open = format!("/alerts?state=open&endpoint={}", self.id()?);
        eventually(&format!("an alert about {}", path.display()), self.patience, async || {
            let alerts = site.rows(&open).await?;
            Ok(alerts.into_iter().find(|alert| {
                let finding = &alert["finding"];
                finding["path"] == json!(path) && finding["new"]["present"]["digest"] == digest
            }))
        })
        .await
        .with_context(|| self.log_text())
    }
}
