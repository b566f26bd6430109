//! An agent of version 0.3.0 that says its version and can do nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--version") {
        println!("wardwatch-agent 0.3.0");
        return ExitCode::SUCCESS;
    }
    eprintln!("the broken agent ends");
    ExitCode::FAILURE
}
