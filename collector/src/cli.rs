//! The command line. Calls that start or examine a collector work here; all others ask the running one over
//! its HTTP API, so that page and command line do the same things.

mod api;
mod audit;
mod decode;
mod init;
mod quickstart;
mod run;
mod show;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::config::Settings;
use crate::service::Service;

/// Detects, handles and accounts for security incidents on the machines of a city's wards.
#[derive(Debug, Parser)]
#[command(name = "wardwatch-collector", version, about, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    call: Call,
}

#[derive(Debug, Subcommand)]
enum Call {
    /// Start everything on this machine: authority, database, broker, page, and an agent for this machine
    Quickstart(quickstart::Args),
    /// Make the keys and the configuration file of a new collector
    Init(init::Args),
    /// Run the collector as a service
    Run(run::Args),
    /// Enrolment tokens
    #[command(subcommand)]
    Token(api::Token),
    /// The machines that report
    #[command(subcommand)]
    Endpoints(api::Endpoints),
    /// Findings that may need somebody
    #[command(subcommand)]
    Alerts(api::Alerts),
    /// Incidents and the response steps of the plan
    #[command(subcommand)]
    Incidents(api::Incidents),
    /// Versions of the agent and how they reach the endpoints
    #[command(subcommand)]
    Releases(api::Releases),
    /// The unit directory
    #[command(subcommand)]
    Units(api::Units),
    /// People who may sign in
    #[command(subcommand)]
    Users(api::Users),
    /// Show a captured message as JSON, with what its signature says
    Decode(decode::Args),
    /// The change log
    #[command(subcommand)]
    Audit(audit::Audit),
}

/// How lists and objects are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Output {
    #[default]
    Table,
    Json,
}

/// Where the running collector is.
#[derive(Debug, Args)]
struct Connection {
    /// The collector's data folder
    #[arg(long, env = "WARDWATCH_DATA_DIR", value_name = "DIR", default_value = "wardwatch-data")]
    data_dir: PathBuf,
    /// Show a table for people or JSON for programs
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    output: Output,
}

/// Exit codes beyond 0 and clap's 2.
const BAD: u8 = 1;
const FAILED: u8 = 3;

/// The command line as data, for man pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command line to its end.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(cli.call) {
        Ok(code) => code,
        Err(error) => {
            // A closed pipe is how `| head` says that it has seen enough.
            let closed = error
                .chain()
                .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
                .any(|cause| cause.kind() == std::io::ErrorKind::BrokenPipe);
            if closed {
                return ExitCode::SUCCESS;
            }
            let _ = writeln!(std::io::stderr(), "wardwatch-collector: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

fn dispatch(call: Call) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match call {
            Call::Quickstart(args) => quickstart::run(args).await,
            Call::Init(args) => init::run(args),
            Call::Run(args) => run::run(args).await,
            Call::Token(call) => call.run().await,
            Call::Endpoints(call) => call.run().await,
            Call::Alerts(call) => call.run().await,
            Call::Incidents(call) => call.run().await,
            Call::Releases(call) => call.run().await,
            Call::Units(call) => call.run().await,
            Call::Users(call) => call.run().await,
            Call::Decode(args) => decode::run(args).await,
            Call::Audit(call) => call.run().await,
        }
    })
}

/// Completes on Ctrl-C, on SIGTERM, and when a part of the service ends by itself; says whether it did.
async fn interrupted(service: &mut Service) -> std::io::Result<bool> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt.map(|()| false),
        _ = terminate.recv() => Ok(false),
        () = service.part_ended() => Ok(true),
    }
}

/// Stops the service; an error where a part of it had ended by itself, so that whatever started it does so again.
async fn stop(service: Service, part_ended: bool) -> anyhow::Result<ExitCode> {
    service.stop().await;
    anyhow::ensure!(
        !part_ended,
        "a part of the collector ended by itself, so all of it was stopped; start it again, and pass the log on to \
         whoever maintains Wardwatch"
    );
    Ok(ExitCode::SUCCESS)
}

/// Reads `--config FILE`, if given, below the flags and the environment.
fn settings(
    flags: Settings,
    file: Option<&std::path::Path>,
) -> Result<Settings, crate::config::InvalidConfig> {
    Ok(match file {
        Some(file) => flags.over(Settings::read(file)?),
        None => flags,
    })
}
