//! The program's log, on standard error, and its metrics.

use std::io::IsTerminal;
use std::sync::OnceLock;

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::broker::refused_handshakes::RefusedHandshakes;

/// Starts the log at this level; `WARDWATCH_LOG` sets another, in the syntax of `tracing-subscriber`.
pub fn start(level: &str) {
    let filter = EnvFilter::try_from_env("WARDWATCH_LOG")
        .unwrap_or_else(|_| EnvFilter::new(format!("{level},rmqtt=warn,rmqtt_net=warn,sqlx=warn")));
    tracing_subscriber::registry()
        .with(
            fmt::layer()
                .with_writer(std::io::stderr)
                .with_ansi(std::io::stderr().is_terminal())
                .with_target(false)
                .with_filter(filter),
        )
        .with(RefusedHandshakes)
        .init();
}

/// Where the metrics are read. The first call begins to count.
///
/// # Errors
/// Another part of the program counts already.
pub fn metrics() -> Result<PrometheusHandle, BuildError> {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new().install_recorder()?;
    Ok(HANDLE.get_or_init(|| handle).clone())
}
