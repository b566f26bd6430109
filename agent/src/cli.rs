//! The command line: parses it, runs one command, and turns what came of it into an exit code.
//!
//! 0: done. 1: done, and what was asked about is bad. 2: usage. 3: it could not be done.

use std::ffi::OsString;
use std::io::{self, BufWriter, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::scan;

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
    /// Hash what can be run below some paths; keep a baseline or compare with one. Needs no collector.
    Scan(ScanArgs),
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
        Command::Scan(args) => run_scan(args),
    }
}

/// To standard error; `WARDWATCH_LOG` chooses how much, as in `debug` or `warn`.
fn start_log() {
    let filter = EnvFilter::try_from_env("WARDWATCH_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
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

/// Runs long work on a thread of its own and asks it to stop on Ctrl-C or SIGTERM.
fn until_stopped<T: Send + 'static>(
    work: impl FnOnce(&AtomicBool) -> Result<T> + Send + 'static,
) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the system gives no means to wait for signals")?;
    runtime.block_on(async {
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
