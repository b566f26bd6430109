//! `quickstart`: everything on one machine, with nothing to prepare.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use wardwatch_incidents::change::Actor;
use wardwatch_policies::ids::EndpointKind;

use super::init;
use crate::config::{Config, Settings};
use crate::enrol::Grant;
use crate::service::Service;
use crate::stopping::until;
use crate::web::accounts;
use crate::{addresses, clock, logging};

/// How long the printed enrolment string holds.
const STRING_LIFE_MS: i64 = 24 * 60 * 60 * 1000;
/// The unit that this machine and the next belong to until somebody says otherwise.
const UNIT: &str = "van-phong";
const AGENT: &str = "wardwatch-agent";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    settings: Settings,
    /// Start no agent for this machine
    #[arg(long)]
    no_agent: bool,
}

pub(super) async fn run(args: Args) -> Result<ExitCode> {
    logging::start("warn");
    let config = args.settings.resolve()?;
    init::prepare(&config)?;
    let mut service = Service::start(&config).await?;
    addresses::write(&config.data_dir, &service)?;
    let password = accounts::first(&service.fleet, clock::now()).await?;
    let string = enrolment_string(&service, EndpointKind::OfficePc).await?;
    print(
        &service,
        &config,
        password.as_deref().map(|password| (accounts::FIRST, password.as_str())),
        &string,
    )?;

    let (stop, stopped) = watch::channel(false);
    let agent = if args.no_agent {
        None
    } else {
        let state_dir = config.data_dir.join("agent");
        enrol_this_machine(&service, &state_dir).await?;
        Some(tokio::spawn(keep_agent_running(state_dir, stopped)))
    };
    let part_ended = super::interrupted(&mut service).await?;
    stop.send_replace(true);
    if let Some(agent) = agent {
        let _ = agent.await;
    }
    super::stop(service, part_ended).await
}

async fn enrolment_string(service: &Service, kind: EndpointKind) -> Result<String> {
    let now = clock::now();
    let grant = Grant { unit: UNIT.parse()?, kind, uses: 1, expires: now.plus(STRING_LIFE_MS) };
    let (_, string) = service.fleet.create_token(&Actor::LocalAdmin, &grant, now).await?;
    Ok(string.to_secret_text())
}

fn print(service: &Service, config: &Config, first_user: Option<(&str, &str)>, string: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "Wardwatch is running. Its data is in {}.\n", config.data_dir.display())?;
    writeln!(out, "Page:      {}", service.page())?;
    match first_user {
        Some((user, password)) => {
            writeln!(out, "User:      {user}")?;
            writeln!(out, "Password:  {password}   (once; the page asks for a new one)")?;
        }
        None => writeln!(out, "Sign in with the user and password you chose before.")?,
    }
    writeln!(out, "\nThe next machine: save this string there in a file and run")?;
    writeln!(out, "  sudo ./wardwatch-agent install --string-file FILE")?;
    writeln!(out, "It holds for one machine and for 24 hours:\n\n{string}\n")?;
    if config.advertise.iter().all(|host| host == "127.0.0.1" || host == "localhost") {
        writeln!(
            out,
            "Only this machine can enrol now: nothing listens on the network. Let others in with\n  \
             wardwatch-collector quickstart --advertise HOST\nwhere HOST is a name or address of this machine.\n"
        )?;
    }
    writeln!(out, "Ctrl-C stops everything.")?;
    out.flush()?;
    Ok(())
}

fn agent_program() -> Result<PathBuf> {
    let beside = std::env::current_exe()?.with_file_name(AGENT);
    if !beside.exists() {
        bail!(
            "{} is not there, so this machine cannot report; build the whole workspace, or start with --no-agent",
            beside.display()
        );
    }
    Ok(beside)
}

/// Enrols the agent of this machine unless it is enrolled. The string goes through standard input: an argument
/// would show in the list of processes.
async fn enrol_this_machine(service: &Service, state_dir: &Path) -> Result<()> {
    if state_dir.join("identity.json").exists() {
        return Ok(());
    }
    let string = enrolment_string(service, EndpointKind::OfficePc).await?;
    let mut child = Command::new(agent_program()?)
        .arg("enrol")
        .arg("--state-dir")
        .arg(state_dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .context("the agent for this machine cannot be started")?;
    let mut input = child.stdin.take().context("the agent takes no input")?;
    tokio::io::AsyncWriteExt::write_all(&mut input, string.as_bytes()).await?;
    drop(input);
    let status = child.wait().await?;
    if !status.success() {
        bail!("the agent for this machine could not enrol ({status}); its message stands above");
    }
    Ok(())
}

/// Starts the agent again whenever it ends, more and more patiently, until told to stop.
async fn keep_agent_running(state_dir: PathBuf, stopped: watch::Receiver<bool>) {
    let mut pause = Duration::from_secs(1);
    while !*stopped.borrow() {
        match start_agent(&state_dir) {
            Ok(mut agent) => {
                tokio::select! {
                    status = agent.wait() => tracing::warn!(?status, "the agent for this machine has ended"),
                    () = until(stopped.clone()) => return stop_agent(agent).await,
                }
            }
            Err(error) => tracing::error!("the agent for this machine cannot be started: {error:#}"),
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = until(stopped.clone()) => return,
        }
        pause = (pause * 2).min(Duration::from_secs(60));
    }
}

fn start_agent(state_dir: &Path) -> Result<Child> {
    // In a process group of its own, Ctrl-C reaches only the collector, which stops it in order.
    Ok(Command::new(agent_program()?)
        .arg("run")
        .arg("--state-dir")
        .arg(state_dir)
        .stdin(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()?)
}

async fn stop_agent(mut agent: Child) {
    if let Some(id) = agent.id().and_then(|id| rustix::process::Pid::from_raw(id.cast_signed())) {
        let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
    }
    if tokio::time::timeout(Duration::from_secs(5), agent.wait()).await.is_err() {
        let _ = agent.kill().await;
    }
}
