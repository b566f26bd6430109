//! The command line: parses it, runs one command, and turns what came of it into an exit code.
//!
//! 0: done. 1: done, and what was asked about is bad. 2: usage. 3: it could not be done.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::filter::LevelFilter;

use crate::check;
use crate::config::{self, Config};
use crate::cycle;
use crate::enrol;
use crate::platform;
use crate::scan;
use crate::state::{StateDir, StateError};
use crate::status;

const BAD: u8 = 1;
const NOT_DONE: u8 = 3;

/// Watches the files and settings of this machine and reports changes to its collector.
#[derive(Parser)]
#[command(name = "wardwatch-agent", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make this machine known to its collector, with the string that `wardwatch-collector token create` printed.
    Enrol(EnrolArgs),
    /// Watch this machine and report to the collector until stopped.
    Run(StateArgs),
    /// Show how the agent of this machine is.
    Status(StatusArgs),
    /// Hash what can be run below some paths; keep a baseline or compare with one. Needs no collector.
    Scan(ScanArgs),
    /// Evaluate policies on this machine or below a mounted root. Needs no collector.
    Check(CheckArgs),
}

#[derive(Args)]
struct StateArgs {
    /// Settings in TOML; without it /etc/wardwatch/agent.toml if that is there.
    #[arg(long, value_name = "FILE", env = "WARDWATCH_CONFIG")]
    config: Option<PathBuf>,
    /// Where identity, keys and unsent reports are kept.
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

#[derive(Args)]
struct EnrolArgs {
    /// A file that holds the enrolment string; removed once it has served. Without it the string is read
    /// from standard input.
    #[arg(long, value_name = "FILE")]
    string_file: Option<PathBuf>,
    #[command(flatten)]
    state: StateArgs,
}

#[derive(Args)]
struct StatusArgs {
    #[command(flatten)]
    state: StateArgs,
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Args)]
struct ScanArgs {
    /// Files or folders to look at.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Keep what was found as a baseline.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Compare with a kept baseline; only what changed is read again. Exit code 1 if anything changed.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Hash all files, not only those that can be run.
    #[arg(long)]
    all_files: bool,
    /// Do not hold back for the sake of other programs.
    #[arg(long)]
    full_speed: bool,
    /// Threads that read files.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = parse_threads)]
    threads: usize,
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Args)]
struct CheckArgs {
    /// Policy files, or names of shipped policies: office-pc-linux, camera-recorder.
    #[arg(required = true, value_name = "POLICY")]
    policies: Vec<String>,
    /// The root of the system to look at. Exit code 1 if any check failed.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

fn parse_threads(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|threads| (1..=256).contains(threads))
        .ok_or_else(|| "give a number from 1 to 256".to_owned())
}

/// Parses the arguments of this process and does what they ask for.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse_from(std::env::args_os().collect::<Vec<OsString>>());
    start_log();
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed before");
    }
    match dispatch(cli) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::from(NOT_DONE)
        }
    }
}

fn dispatch(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Enrol(args) => run_enrol(args),
        Command::Run(args) => {
            platform::keep_files_private();
            let runtime = runtime()?;
            let ended = runtime.block_on(cycle::run(args.resolve()?));
            // Checks that hang on a file system must not keep the process alive.
            runtime.shutdown_background();
            ended.map(|()| ExitCode::SUCCESS)
        }
        Command::Status(args) => run_status(&args),
        Command::Scan(args) => run_scan(args),
        Command::Check(args) => run_check(args),
    }
}

impl StateArgs {
    /// Reads all sources of settings.
    fn resolve(&self) -> Result<Config> {
        let path = self.config.clone().unwrap_or_else(|| config::DEFAULT_FILE.into());
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

fn run_status(args: &StatusArgs) -> Result<ExitCode> {
    let state = StateDir::new(args.state.resolve()?.state_dir);
    let status = status::load(&state.status())?;
    let running = matches!(state.lock(), Err(StateError::Locked(_)));
    match args.output {
        Output::Table => print(&status::table(&status, running))?,
        Output::Json => print(&(status::json(&status, running)? + "\n"))?,
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
        .with_writer(io::stderr)
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
        form: match args.output {
            Output::Table => scan::Form::Table,
            Output::Json => scan::Form::Json,
        },
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
    let form = match args.output {
        Output::Table => scan::Form::Table,
        Output::Json => scan::Form::Json,
    };
    let request = check::Request { policies: args.policies, root: args.root, form };
    Ok(match check::run(&request, &mut BufWriter::new(io::stdout().lock()))? {
        check::Outcome::NoneFailed => ExitCode::SUCCESS,
        check::Outcome::SomeFailed => ExitCode::from(BAD),
    })
}

/// Runs long work on a thread of its own and asks it to stop on Ctrl-C or SIGTERM.
fn until_stopped<T: Send + 'static>(
    work: impl FnOnce(&AtomicBool) -> Result<T> + Send + 'static,
) -> Result<T> {
    runtime()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let mut task = tokio::task::spawn_blocking(move || work(&flag));
        loop {
            tokio::select! {
                done = &mut task => return done.context("the scan ended by a fault of its own")?,
                _ = terminate.recv() => stop.store(true, Ordering::Relaxed),
                _ = interrupt.recv() => stop.store(true, Ordering::Relaxed),
            }
        }
    })
}
