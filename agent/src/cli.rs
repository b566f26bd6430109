//! The command line: parses it, runs one command, and turns what came of it into an exit code.
//!
//! 0: done. 1: done, and what was asked about is bad. 2: usage. 3: it could not be done.

use std::fs;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use clap::{CommandFactory, FromArgMatches};
use tracing_subscriber::filter::LevelFilter;
use wardwatch_policies::release::Version;

use crate::check;
use crate::config::{self, Config};
use crate::enrol;
use crate::form::Form;
use crate::handover;
use crate::platform;
use crate::scan;
use crate::service;
use crate::state::StateDir;
use crate::status;
use crate::upgrade;

mod arguments;
#[cfg(test)]
mod tests;

use arguments::{
    CheckArgs, Cli, Command, EnrolArgs, InstallArgs, ScanArgs, StateArgs, StatusArgs, UninstallArgs,
};

const BAD: u8 = 1;
const NOT_DONE: u8 = 3;

/// The command line as data, for man pages and completions.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Parses the arguments of this process and does what they ask for. `version` is the program's.
#[must_use]
pub fn run(version: &'static str) -> ExitCode {
    let arguments = command().version(version).try_get_matches_from(std::env::args_os());
    let cli = match arguments.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    start_log();
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed before");
    }
    match dispatch(cli, version) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{}", in_full(&error));
            ExitCode::from(NOT_DONE)
        }
    }
}

/// The error with its causes, each said once: many a message has its cause in it already.
fn in_full(error: &anyhow::Error) -> String {
    error.chain().skip(1).fold(error.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}

fn dispatch(cli: Cli, version: &str) -> Result<ExitCode> {
    match cli.command {
        Command::Enrol(args) => run_enrol(args),
        Command::Run(args) => {
            platform::keep_files_private();
            let version = version.parse().context("this program was built with a version that is none")?;
            let run = move |stop| run_agent(&args.state, version, stop);
            if args.service { platform::under_service_manager(service::NAME, run) } else { run(None) }
        }
        Command::Status(args) => run_status(&args),
        Command::Scan(args) => run_scan(args),
        Command::Check(args) => run_check(args),
        Command::Install(args) => run_install(args),
        Command::Uninstall(args) => run_uninstall(args),
        Command::TakeString { file } => enrol::take(&file).map(|()| ExitCode::SUCCESS),
    }
}

impl StateArgs {
    /// Reads all sources of settings.
    fn resolve(&self) -> Result<Config> {
        let path = self.config.clone().unwrap_or_else(platform::default_config_file);
        let distrust = platform::distrust(&path).with_context(|| {
            format!(
                "the system does not say whose the settings {} are, so nothing was started",
                path.display()
            )
        })?;
        if let Some(reason) = distrust {
            bail!("the settings {} are not obeyed, so nothing was started: {reason}", path.display());
        }
        let file = match fs::read_to_string(&path) {
            Ok(text) => Some((path, text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.config.is_none() => None,
            Err(error) => {
                return Err(error).with_context(|| {
                    format!("the settings {} cannot be read, so nothing was started", path.display())
                });
            }
        };
        let flags = config::Layer { state_dir: self.state_dir.clone(), ..config::Layer::default() };
        // A variable that is not UTF-8 is not one of ours.
        let environment =
            std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        let sources = config::Sources { file, environment: environment.collect(), flags };
        Ok(Config::resolve(sources)?)
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the system gives no means to wait for events")
}

fn run_agent(args: &StateArgs, version: Version, stop: platform::Stop) -> Result<ExitCode> {
    // First of all: a program that hangs in whatever follows must not outlive the one that waits for it.
    if upgrade::is_beside() {
        platform::end_with_parent();
    }
    let runtime = runtime()?;
    let config = args.resolve()?;
    let ended = runtime.block_on(async {
        let requested = platform::stop_requested()?;
        let stop = async {
            match stop {
                None => requested.await,
                Some(stop) => tokio::select! {
                    reason = requested => reason,
                    Ok(reason) = stop => reason,
                },
            }
        };
        handover::run(config, version, stop).await
    });
    // Checks that hang on a file system must not keep the process alive.
    runtime.shutdown_background();
    ended
}

fn run_enrol(args: EnrolArgs) -> Result<ExitCode> {
    platform::keep_files_private();
    let state = StateDir::new(args.state.resolve()?.state_dir);
    let source = args.string_file.map_or(enrol::Source::StandardInput, enrol::Source::File);
    let enrolled = runtime()?.block_on(enrol::run(&state, &source))?;
    let identity = &enrolled.identity;
    let mut text = format!("enrolled as {} ({}, unit {})\n", identity.agent, identity.kind, identity.unit);
    if enrolled.pending {
        text.push_str("a person must approve it on the collector's page before its reports count\n");
    }
    let folder = state.path().display();
    text.push_str(&format!("start it with:  wardwatch-agent run --state-dir {folder}\n"));
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn run_install(args: InstallArgs) -> Result<ExitCode> {
    platform::keep_files_private();
    let string = args.string_file.map(|path| match path.to_str() {
        Some("-") => enrol::Source::StandardInput,
        _ => enrol::Source::File(path),
    });
    let request = service::Request {
        root: args.target.root,
        init: args.target.init,
        from: args.from,
        places: service::Places {
            program: args.program,
            state_dir: args.state.state_dir,
            config: args.state.config,
        },
    };
    runtime()?.block_on(service::install(&request, string, args.target.dry_run, &mut io::stdout().lock()))?;
    Ok(ExitCode::SUCCESS)
}

fn run_uninstall(args: UninstallArgs) -> Result<ExitCode> {
    let request =
        service::Request { root: args.target.root, init: args.target.init, ..service::Request::default() };
    service::uninstall(&request, args.purge, args.target.dry_run, &mut io::stdout().lock())?;
    Ok(ExitCode::SUCCESS)
}

fn run_status(args: &StatusArgs) -> Result<ExitCode> {
    let state = StateDir::new(args.state.resolve()?.state_dir);
    let status = status::load(&state.status())?;
    let around = status::Around {
        running: state.is_locked()?,
        service: service::standing(),
        upgrade: upgrade::on_its_way(&state),
        full: status::full(state.path()),
    };
    match args.output {
        Form::Table => print(&status::table(&status, &around))?,
        Form::Json => print(&(status::json(&status, &around)? + "\n"))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// To standard output. Whoever closes it early has read enough.
fn print(text: &str) -> Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("standard output cannot be written")
        }
        _ => Ok(()),
    }
}

/// To standard error; `WARDWATCH_LOG` chooses how much: off, error, warn, info, debug or trace.
fn start_log() {
    let level = std::env::var("WARDWATCH_LOG").ok().and_then(|text| text.parse().ok());
    tracing_subscriber::fmt()
        .with_max_level(level.unwrap_or(LevelFilter::INFO))
        .with_writer(platform::log_writer())
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
}

fn run_scan(args: ScanArgs) -> Result<ExitCode> {
    let request = scan::Request {
        paths: args.paths,
        save: args.save,
        baseline: args.baseline,
        all_files: args.all_files,
        full_speed: args.full_speed,
        threads: args.threads,
        form: args.output,
    };
    let outcome = until_stopped(move |stop| {
        let mut out = BufWriter::new(io::stdout().lock());
        scan::run(&request, &mut out, stop)
    })?;
    Ok(match outcome {
        scan::Outcome::Done => ExitCode::SUCCESS,
        scan::Outcome::Changed => ExitCode::from(BAD),
        scan::Outcome::Stopped => {
            tracing::warn!("stopped before all was looked at; what was printed is true but not all of it");
            ExitCode::from(NOT_DONE)
        }
    })
}

fn run_check(args: CheckArgs) -> Result<ExitCode> {
    let request = check::Request { policies: args.policies, root: args.root, form: args.output };
    Ok(match check::run(&request, &mut BufWriter::new(io::stdout().lock()))? {
        check::Outcome::NoneFailed => ExitCode::SUCCESS,
        check::Outcome::SomeFailed => ExitCode::from(BAD),
    })
}

/// Runs long work on a thread of its own and asks it to stop when this process is asked to.
fn until_stopped<T: Send + 'static>(
    work: impl FnOnce(&AtomicBool) -> Result<T> + Send + 'static,
) -> Result<T> {
    runtime()?.block_on(async {
        let requested = platform::stop_requested()?;
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let mut task = tokio::task::spawn_blocking(move || work(&flag));
        let done = tokio::select! {
            done = &mut task => done,
            _ = requested => {
                stop.store(true, Ordering::Relaxed);
                task.await
            }
        };
        done.context("the scan ended by a fault of its own")?
    })
}
