//! The agent as a service of Windows, under Wine: installed, waiting, enrolled, stopped, started and removed.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use wardwatch_tests::program::eventually;
use wardwatch_tests::site::Site;
use wardwatch_tests::windows::Wine;

/// Wine starts a program in one to ten seconds on a busy machine.
const LONG: Duration = Duration::from_secs(120);

const SERVICE_KEY: &str = r"HKLM\SYSTEM\CurrentControlSet\Services\wardwatch-agent";

struct Windows {
    wine: Wine,
    /// Wine ends its services when no other program runs.
    awake: Child,
    /// Not the folder that the agent takes by itself.
    data: PathBuf,
    programs: PathBuf,
}

impl Windows {
    fn start() -> Result<Self> {
        let wine = Wine::start()?;
        let folder = wine.folder()?;
        let drive = folder.path().parent().context("no drive")?.to_owned();
        // The first call leaves services behind that hold its standard output open: nobody may wait for its end.
        let silent = |words: &[&str]| {
            let mut call = wine.command();
            call.args(words).stdout(Stdio::null()).stderr(Stdio::null());
            call
        };
        let awake = silent(&["cmd", "/c", "ping -n 900 127.0.0.1"]).spawn()?;
        ensure!(silent(&["wineboot"]).status()?.success(), "Wine does not start");
        let data = drive.join("Dữ liệu/Wardwatch");
        let programs = drive.join("Program Files/Wardwatch");
        let windows = Self { wine, awake, data, programs };
        // What an earlier test left when it failed.
        windows.agent(&["uninstall"])?;
        let _ = fs::remove_dir_all(&windows.data);
        windows.is_gone()?;
        Ok(windows)
    }

    /// A call of the agent as an administrator brings it.
    fn agent(&self, arguments: &[&str]) -> Result<(bool, String)> {
        self.call(self.wine.program("wardwatch-agent.exe").to_str().context("a path")?, arguments)
    }

    fn call(&self, program: &str, arguments: &[&str]) -> Result<(bool, String)> {
        let output = self.wine.command().arg(program).args(arguments).output()?;
        let said = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
    }

    fn succeeds(&self, program: &str, arguments: &[&str]) -> Result<String> {
        let (is_well, said) = self.call(program, arguments)?;
        ensure!(is_well, "{program} {arguments:?}: {said}");
        Ok(said)
    }

    fn status(&self) -> Result<Value> {
        let program = self.wine.program("wardwatch-agent.exe");
        let state = self.wine.windows_path(&self.data.join("state"));
        let status = ["status", "--state-dir", &state, "--output", "json"];
        let output = self.wine.command().arg(program).args(status).output()?;
        serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn is_gone(&self) -> Result<()> {
        let (_, said) = self.call("sc", &["query", "wardwatch-agent"])?;
        ensure!(!said.contains("SERVICE_NAME"), "it is registered still: {said}");
        Ok(())
    }

    async fn is_in_state(&self, state: &str) -> Result<()> {
        eventually(state, LONG, async || {
            let (_, said) = self.call("sc", &["query", "wardwatch-agent"])?;
            Ok(said.contains(state).then_some(()))
        })
        .await
    }
}

impl Drop for Windows {
    fn drop(&mut self) {
        let _ = self.agent(&["uninstall"]);
        let _ = self.awake.kill();
        let _ = self.awake.wait();
    }
}

/// A quarter of a minute, more on a busy machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs wine, mingw-w64 and the agent for Windows; tests/run --all runs it"]
async fn the_service_waits_enrols_reports_stops_and_is_removed() -> Result<()> {
    let (windows, site) = (Windows::start()?, Site::start().await?);
    let watched = windows.wine.folder()?;
    fs::write(watched.path().join("kế toán.exe"), "MZ as installed")?;
    fs::create_dir_all(&windows.data)?;
    let (settings_file, file) = (windows.data.join("agent.toml"), windows.data.join("wardwatch-enrol.txt"));
    let settings = format!(
        "heartbeat_seconds = 1\nenrolment_file = '{}'\n[files]\nroots = ['{}']\n",
        windows.wine.windows_path(&file),
        windows.wine.windows_path(watched.path())
    );
    fs::write(&settings_file, settings)?;
    let state = windows.wine.windows_path(&windows.data.join("state"));
    let settings_file = windows.wine.windows_path(&settings_file);
    let places = ["--state-dir", &state, "--config", &settings_file];

    let agent = windows.wine.program("wardwatch-agent.exe");
    let agent = agent.to_str().context("a path")?;
    let install = [&["install"], &places[..]].concat();
    let said = windows.succeeds(agent, &install)?;
    assert!(said.contains("not enrolled yet: the service waits for"), "{said}");
    windows.is_in_state("RUNNING").await?;
    let waiting = eventually("it waits", LONG, async || Ok(windows.status().ok())).await?;
    assert!(waiting["link"].as_str().is_some_and(|link| link.contains("wardwatch-enrol.txt")), "{waiting}");
    let line = windows.succeeds("reg", &["query", SERVICE_KEY, "/v", "ImagePath"])?;
    assert!(
        line.contains(r#""C:\Program Files\Wardwatch\wardwatch-agent.exe" run --service --state-dir"#),
        "{line}"
    );
    let source = r"HKLM\SYSTEM\CurrentControlSet\Services\EventLog\Application\Wardwatch agent";
    assert!(windows.succeeds("reg", &["query", source])?.contains("EventCreate.exe"));

    fs::write(&file, site.string(1).await?.to_secret_text())?;
    eventually("the collector knows all files", LONG, async || {
        let status = windows.status()?;
        let Some(agent) = status["agent"].as_str() else { return Ok(None) };
        let endpoint = site.get(&format!("/endpoints/{agent}")).await?;
        Ok((endpoint["inventory_complete"] == true).then_some(()))
    })
    .await?;
    assert!(!file.exists(), "the string is a secret and stays");

    windows.succeeds("sc", &["stop", "wardwatch-agent"])?;
    windows.is_in_state("STOPPED").await?;
    assert_eq!(windows.status()?["link"], "down: the agent was stopped");
    windows.succeeds("sc", &["start", "wardwatch-agent"])?;
    windows.is_in_state("RUNNING").await?;
    let again = windows.succeeds(agent, &["install"])?;
    assert!(again.contains("enrolled already as") && again.contains(&format!("close {state} to")), "{again}");
    windows.is_in_state("RUNNING").await?;
    assert_eq!(
        windows.succeeds("reg", &["query", SERVICE_KEY, "/v", "ImagePath"])?,
        line,
        "its places were forgotten"
    );

    let removed = windows.succeeds(agent, &["uninstall"])?;
    assert!(removed.contains(&format!("kept: {state} with identity and keys")), "{removed}");
    windows.is_gone()?;
    assert!(!windows.programs.join("wardwatch-agent.exe").exists());
    assert!(!windows.call("reg", &["query", source])?.0);
    assert!(windows.data.join("state/identity.json").exists());
    windows.succeeds(agent, &["uninstall"])?;
    windows.succeeds(agent, &install)?;
    windows.succeeds(agent, &["uninstall", "--purge"])?;
    windows.is_gone()?;
    assert!(!windows.data.join("state").exists());
    Ok(())
}
