//! The program's log, on standard error.

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::broker::refused_handshakes::RefusedHandshakes;

/// Starts the log at this level; `WARDWATCH_LOG` sets another, in the syntax of `tracing-subscriber`.
pub fn start(level: &str) {
    let filter = EnvFilter::try_from_env("WARDWATCH_LOG")
        .unwrap_or_else(|_| EnvFilter::new(format!("{level},rmqtt=warn,rmqtt_net=warn,sqlx=warn")));
    tracing_subscriber::registry()
        .with(fmt::layer().with_writer(std::io::stderr).with_filter(filter))
        .with(RefusedHandshakes)
        .init();
}
