//! Counts TLS handshakes that the broker refused: no certificate, one of another authority, or a stalled one.
//!
//! They never reach a hook; the broker only writes a log line. So this layer reads the broker's log lines. It
//! belongs into the program's `tracing` subscriber, beside the layer that writes the log, with `rmqtt::server`
//! let through at `warn`. The tests of the doors notice if another version words its lines differently.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

const TARGET: &str = "rmqtt::server";

/// The layer. See the module.
#[derive(Debug, Clone, Copy, Default)]
pub struct RefusedHandshakes;

impl<S: Subscriber> Layer<S> for RefusedHandshakes {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // Lines of the `log` crate carry their target in a field.
        if event.metadata().target() != "log" && event.metadata().target() != TARGET {
            return;
        }
        let mut line = Line::default();
        event.record(&mut line);
        if line.target == TARGET
            && let Some(reason) = reason(&line.message)
        {
            metrics::counter!("wardwatch_refused_total", "door" => "broker", "reason" => reason).increment(1);
        }
    }
}

fn reason(line: &str) -> Option<&'static str> {
    let error = line.strip_prefix("TLS accept error: ")?;
    Some(if error.contains("no certificates") {
        "no-certificate"
    } else if error.contains("invalid peer certificate") {
        "other-authority"
    } else if error.contains("Read timeout") {
        "stalled-handshake"
    } else {
        "handshake"
    })
}

#[derive(Default)]
struct Line {
    target: String,
    message: String,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "log.target" {
            value.clone_into(&mut self.target);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }
}
