//! The agent as version 0.2.0: what an upgrade brings. With `DIES_ONCE_CONFIRMED` set it is well as long as it is on
//! trial, and ends at once whenever it runs by itself.

use std::process::ExitCode;

fn main() -> ExitCode {
    let is_set = |name| std::env::var_os(name).is_some();
    if is_set("DIES_ONCE_CONFIRMED") && is_set("WARDWATCH_INSTALLED") && !is_set("WARDWATCH_BESIDE") {
        eprintln!("the confirmed agent ends");
        return ExitCode::FAILURE;
    }
    wardwatch_agent::cli::run("0.2.0")
}
