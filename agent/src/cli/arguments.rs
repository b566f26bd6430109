//! What can be asked for on the command line. Its comments are what `--help` and the man page say.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::form::Form;
use crate::platform;
use crate::service;

/// Watches the files and settings of this machine and reports changes to its collector.
#[derive(Parser)]
#[command(name = "wardwatch-agent", version)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// Make this machine known to its collector, with the string that `wardwatch-collector token create` printed.
    Enrol(EnrolArgs),
    /// Watch this machine and report to the collector until stopped.
    Run(RunArgs),
    /// Show how the agent of this machine is.
    Status(StatusArgs),
    /// Hash what can be run below some paths; keep a baseline or compare with one. Needs no collector.
    Scan(ScanArgs),
    /// Evaluate policies on this machine or below a mounted root. Needs no collector.
    Check(CheckArgs),
    /// Enrol if a string is given, register the service of this system and start it. Call it again to repair.
    Install(InstallArgs),
    /// Stop the service and remove what `install` made. Identity and keys stay, but for --purge.
    Uninstall(UninstallArgs),
    /// Take a string that lies beside a package to where the service waits for it. The package for Windows calls it.
    #[command(hide = true)]
    TakeString { file: PathBuf },
}

#[derive(Args)]
pub(super) struct StateArgs {
    /// Settings in TOML; without it /etc/wardwatch/agent.toml (on Windows %ProgramData%\Wardwatch\agent.toml) if that is
    /// there.
    #[arg(long, value_name = "FILE", env = "WARDWATCH_CONFIG")]
    pub(super) config: Option<PathBuf>,
    /// Where identity, keys and unsent reports are kept.
    #[arg(long, value_name = "DIR")]
    pub(super) state_dir: Option<PathBuf>,
}

#[derive(Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    pub(super) state: StateArgs,
    /// Answer the service manager of Windows. `install` registers the service with it.
    #[arg(long, hide = true)]
    pub(super) service: bool,
}

#[derive(Args)]
pub(super) struct EnrolArgs {
    /// A file that holds the enrolment string; removed once it has served. Without it the string is read
    /// from standard input.
    #[arg(long, value_name = "FILE")]
    pub(super) string_file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) state: StateArgs,
}

#[derive(Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    pub(super) state: StateArgs,
    #[arg(long, value_enum, default_value_t = Form::Table)]
    pub(super) output: Form,
}

#[derive(Args)]
pub(super) struct ScanArgs {
    /// Files or folders to look at.
    #[arg(required = true, value_name = "PATH")]
    pub(super) paths: Vec<PathBuf>,
    /// Keep what was found as a baseline.
    #[arg(long, value_name = "FILE")]
    pub(super) save: Option<PathBuf>,
    /// Compare with a kept baseline; only what changed is read again. Exit code 1 if anything changed.
    #[arg(long, value_name = "FILE")]
    pub(super) baseline: Option<PathBuf>,
    /// Hash all files, not only those that can be run.
    #[arg(long)]
    pub(super) all_files: bool,
    /// Do not hold back for the sake of other programs.
    #[arg(long)]
    pub(super) full_speed: bool,
    /// Threads that read files.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = parse_threads)]
    pub(super) threads: usize,
    #[arg(long, value_enum, default_value_t = Form::Table)]
    pub(super) output: Form,
}

#[derive(Args)]
pub(super) struct CheckArgs {
    /// Policy files, or names of shipped policies: office-pc-linux, office-pc-windows, camera-recorder.
    #[arg(required = true, value_name = "POLICY")]
    pub(super) policies: Vec<String>,
    /// The root of the system to look at. Exit code 1 if any check failed.
    #[arg(long, value_name = "DIR", default_value_os_t = platform::system_root())]
    pub(super) root: PathBuf,
    #[arg(long, value_enum, default_value_t = Form::Table)]
    pub(super) output: Form,
}

#[derive(Args)]
pub(super) struct InstallArgs {
    /// A file that holds the enrolment string, or - for standard input; removed once it has served. Without it
    /// the service waits for the string where docs/install.md says.
    #[arg(long, value_name = "FILE")]
    pub(super) string_file: Option<PathBuf>,
    /// The program to install, for an image of another processor. Otherwise this one.
    #[arg(long, value_name = "FILE")]
    pub(super) from: Option<PathBuf>,
    /// Where the service's program lies, such as in writable flash.
    #[arg(long, value_name = "PATH")]
    pub(super) program: Option<PathBuf>,
    #[command(flatten)]
    pub(super) state: StateArgs,
    #[command(flatten)]
    pub(super) target: TargetArgs,
}

#[derive(Args)]
pub(super) struct UninstallArgs {
    /// Remove the state folder too: identity, keys and unsent reports.
    #[arg(long)]
    pub(super) purge: bool,
    #[command(flatten)]
    pub(super) target: TargetArgs,
}

#[derive(Args)]
pub(super) struct TargetArgs {
    /// What starts programs here, if it is not recognised.
    #[arg(long, value_enum)]
    pub(super) init: Option<service::Init>,
    /// The root of a mounted disk image: nothing is started there and no identity made.
    #[arg(long, value_name = "DIR")]
    pub(super) root: Option<PathBuf>,
    /// Only say what would be done.
    #[arg(long)]
    pub(super) dry_run: bool,
}

fn parse_threads(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|threads| (1..=256).contains(threads))
        .ok_or_else(|| "give a number from 1 to 256".to_owned())
}
