//! A collector and its agents on this machine, each in a temporary folder, on ports that outlive their
//! processes: what is killed can be started again where it was.

mod agent;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};
use wardwatch_wire::enrolment::EnrolmentString;

use crate::link::Link;
use crate::program::{self, Program, eventually};

pub use self::agent::Agent;

pub const COLLECTOR: &str = "wardwatch-collector";
pub const AGENT: &str = "wardwatch-agent";
/// On two busy cores everything ends within this time.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// One collector, its data, and a folder for agents.
pub struct Site {
    folder: tempfile::TempDir,
    pub web: SocketAddr,
    pub mqtt: SocketAddr,
    pub enrol: SocketAddr,
    /// How the collector is started.
    call: Vec<String>,
    /// The user and group to start it as, if not as who runs the test.
    user: Option<u32>,
    environment: Vec<(String, String)>,
    collector: Option<Program>,
    http: reqwest::Client,
}

impl Site {
    /// Makes the keys of a new collector and starts it as a service.
    ///
    /// # Errors
    /// It cannot be made or does not answer.
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// The same, with more flags.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_with(flags: &[&str]) -> Result<Self> {
        let call = ["run"].iter().chain(flags).map(|&word| word.to_owned());
        let mut site = Self::prepare(call.collect())?;
        let init = site.listening(&["init".to_owned()]).output()?;
        ensure!(init.status.success(), "init: {}", String::from_utf8_lossy(&init.stderr));
        site.start_collector().await?;
        Ok(site)
    }

    /// Starts a collector by `quickstart`; what it prints stands in its log.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn quickstart(flags: &[&str]) -> Result<Self> {
        let call = ["quickstart"].iter().chain(flags).map(|&word| word.to_owned());
        let mut site = Self::prepare(call.collect())?;
        site.start_collector().await?;
        Ok(site)
    }

    /// Starts a collector by `quickstart` as another user, with an environment for it and its agent.
    ///
    /// # Errors
    /// The test may not become that user, or the collector does not answer.
    pub async fn quickstart_as(user: u32, environment: &[(&str, &str)]) -> Result<Self> {
        let mut site = Self::prepare(vec!["quickstart".to_owned()])?;
        std::os::unix::fs::chown(site.folder(), Some(user), Some(user))?;
        site.user = Some(user);
        site.environment = environment.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        site.start_collector().await?;
        Ok(site)
    }

    fn prepare(call: Vec<String>) -> Result<Self> {
        // The first to come here installs it; the others find it there.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let [web, mqtt, enrol] = free_addresses()?;
        Ok(Self {
            folder: tempfile::tempdir()?,
            web,
            mqtt,
            enrol,
            call,
            user: None,
            environment: Vec::new(),
            collector: None,
            http: reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?,
        })
    }

    fn command(&self) -> Command {
        let mut command = program::command(COLLECTOR, &self.data());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn listening(&self, call: &[String]) -> Command {
        let mut command = self.command();
        // A quickstart keeps its agent's state below its own data.
        command.env_remove("WARDWATCH_STATE_DIR");
        if let Some(user) = self.user {
            use std::os::unix::process::CommandExt;
            command.uid(user).gid(user);
        }
        command.args(call).args(["--advertise", "127.0.0.1"]);
        for (flag, address) in [("--web", self.web), ("--mqtt", self.mqtt), ("--enrol", self.enrol)] {
            command.args([flag, &address.to_string()]);
        }
        command
    }

    /// Starts the collector unless it runs, and waits until it answers.
    ///
    /// # Errors
    /// It does not answer in time; its log stands in the message.
    pub async fn start_collector(&mut self) -> Result<()> {
        self.launch_collector()?;
        let mut collector = self.collector.take().context("no collector runs")?;
        eventually("the collector answers", PATIENCE, async || {
            if let Some(status) = collector.ended()? {
                bail!("the collector has ended ({status})");
            }
            let asked = self.http.get(format!("http://{}/healthz", self.web)).send().await;
            Ok(asked.is_ok_and(|answer| answer.status().is_success()).then_some(()))
        })
        .await
        .with_context(|| self.collector_log_text())?;
        self.collector = Some(collector);
        Ok(())
    }

    /// Starts the collector unless it runs, and waits for nothing.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn launch_collector(&mut self) -> Result<()> {
        if self.collector.is_none() {
            self.collector = Some(Program::spawn(self.listening(&self.call), self.collector_log())?);
        }
        Ok(())
    }

    /// SIGKILL.
    pub fn kill_collector(&mut self) {
        self.collector = None;
    }

    /// Asks the collector to end, as a service manager does.
    ///
    /// # Errors
    /// It does not end in time or with an error.
    pub fn stop_collector(&mut self) -> Result<()> {
        let status = self.collector.take().context("no collector runs")?.stop()?;
        ensure!(status.success(), "the collector ended with {status}");
        Ok(())
    }

    /// Asks the collector to end, as Ctrl-C does.
    ///
    /// # Errors
    /// It does not end in time or with an error.
    pub fn interrupt_collector(&mut self) -> Result<()> {
        let status = self.collector.take().context("no collector runs")?.interrupt()?;
        ensure!(status.success(), "the collector ended with {status}");
        Ok(())
    }

    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The collector's data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("collector")
    }

    fn collector_log(&self) -> PathBuf {
        self.folder.path().join("collector.log")
    }

    /// What the collector has logged so far.
    #[must_use]
    pub fn collector_log_text(&self) -> String {
        std::fs::read_to_string(self.collector_log()).unwrap_or_default()
    }

    /// A call of the collector's command line.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn call(&self, arguments: &[&str]) -> Result<Output> {
        self.command().args(arguments).output().context("the collector cannot be started")
    }

    /// A call that must succeed, as JSON.
    ///
    /// # Errors
    /// It fails, or prints something else.
    pub fn ask(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.call(&[arguments, &["--output", "json"]].concat())?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{arguments:?}: {}\n{said}", output.status);
        serde_json::from_slice(&output.stdout).with_context(|| format!("{arguments:?}: {said}"))
    }

    /// Reads the HTTP API.
    ///
    /// # Errors
    /// It does not answer, or refuses.
    pub async fn get(&self, path: &str) -> Result<Value> {
        Ok(serde_json::from_str(&self.get_text(path).await?)?)
    }

    /// Reads what the HTTP API gives as text, such as the metrics.
    ///
    /// # Errors
    /// It does not answer, or refuses.
    pub async fn get_text(&self, path: &str) -> Result<String> {
        Ok(self.request(reqwest::Method::GET, path)?.send().await?.error_for_status()?.text().await?)
    }

    fn request(&self, method: reqwest::Method, path: &str) -> Result<reqwest::RequestBuilder> {
        let token = std::fs::read_to_string(self.data().join("admin.token"))?;
        Ok(self.http.request(method, format!("http://{}/api/v1{path}", self.web)).bearer_auth(token))
    }

    /// All rows of a list that comes in pages. `path` ends in a query.
    ///
    /// # Errors
    /// The API does not answer, or refuses.
    pub async fn rows(&self, path: &str) -> Result<Vec<Value>> {
        let mut rows = Vec::new();
        for page in 1.. {
            let mut answer = self.get(&format!("{path}&page={page}")).await?;
            let Value::Array(more) = answer["rows"].take() else { bail!("{path} is no list") };
            if more.is_empty() {
                break;
            }
            rows.extend(more);
            if rows.len() as u64 >= answer["total"].as_u64().unwrap_or(0) {
                break;
            }
        }
        Ok(rows)
    }

    /// The collector's database, to be read beside it.
    ///
    /// # Errors
    /// It is not there.
    pub async fn database(&self) -> Result<SqliteConnection> {
        let file = self.data().join("wardwatch.db");
        Ok(SqliteConnection::connect(&format!("sqlite:{}", file.display())).await?)
    }

    /// A fresh enrolment string for one office PC that expires so many hours from now.
    ///
    /// # Errors
    /// The collector does not give it.
    pub async fn string(&self, expires_in_hours: u32) -> Result<EnrolmentString> {
        self.string_for("office-pc", expires_in_hours).await
    }

    /// The same for another kind of endpoint.
    ///
    /// # Errors
    /// The collector does not give it.
    pub async fn string_for(&self, kind: &str, expires_in_hours: u32) -> Result<EnrolmentString> {
        let grant =
            json!({ "unit": "van-phong", "kind": kind, "uses": 1, "expires_in_hours": expires_in_hours });
        let answer: Value = self
            .request(reqwest::Method::POST, "/tokens")?
            .json(&grant)
            .send()
            .await?
            .error_for_status()?
            .json()
            .await?;
        Ok(answer["string"].as_str().context("no string in the answer")?.parse()?)
    }

    /// The folders and settings of one agent, not enrolled yet.
    ///
    /// # Errors
    /// The folders cannot be made.
    pub fn agent(&self, name: &str) -> Result<Agent> {
        Agent::new(self.folder.path(), name)
    }

    /// An agent that is enrolled and reports through `link`, or directly. It does not run yet.
    ///
    /// # Errors
    /// It cannot enrol.
    pub async fn enrolled(&self, name: &str, link: Option<&Link>) -> Result<Agent> {
        let agent = self.agent(name)?;
        let mut string = self.string(1).await?;
        if let Some(link) = link {
            string.mqtt_port = link.address.port();
        }
        agent.enrol(&string)?;
        Ok(agent)
    }
}

/// Keeps the logs of a failed test where somebody can read them, and leaves no agent of a quickstart behind.
impl Drop for Site {
    fn drop(&mut self) {
        if let Some(mut collector) = self.collector.take() {
            let _ = collector.stop();
        }
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
            println!("the folders and logs are kept in {}", self.folder.path().display());
        }
    }
}

/// Addresses on loopback that nothing listens on.
///
/// # Errors
/// There are none.
pub fn free_addresses<const N: usize>() -> Result<[SocketAddr; N]> {
    let mut listeners = Vec::with_capacity(N);
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    for address in &mut addresses {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        *address = listener.local_addr()?;
        listeners.push(listener);
    }
    Ok(addresses)
}

/// Writes an executable whose content nothing else has, and returns its digest in hex.
///
/// # Errors
/// It cannot be written.
pub fn write_executable(path: &Path, content: &str) -> Result<String> {
    use std::os::unix::fs::PermissionsExt;
    let text = format!("#!/bin/sh\n# {content}\n");
    std::fs::write(path, &text)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    Ok(blake3::hash(text.as_bytes()).to_string())
}

/// Writes so many small programs, a hundred in a folder.
///
/// # Errors
/// They cannot be written.
pub fn write_programs(root: &Path, count: usize) -> Result<()> {
    for number in 0..count {
        let folder = root.join((number / 100).to_string());
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join((number % 100).to_string()), format!("\x7fELF{number:0>200}"))?;
    }
    Ok(())
}
