//! The program `wardwatch-agent`.

use std::process::ExitCode;

fn main() -> ExitCode {
    wardwatch_agent::cli::run(env!("CARGO_PKG_VERSION"))
}
