//! `wardwatch-collector`; see `cli` for its calls.

use std::process::ExitCode;

fn main() -> ExitCode {
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("nothing has chosen a TLS provider before the first line of main");
    wardwatch_collector::cli::main()
}
