//! Shows on a terminal that a scan goes on, and how far it came.

use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};

const REDRAW: Duration = Duration::from_millis(100);

pub(super) struct Progress {
    bar: ProgressBar,
    files: u64,
    bytes: u64,
    drawn: Instant,
}

impl Progress {
    /// Draws on standard error, and only if that is a terminal.
    pub(super) fn start() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10));
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} in {elapsed}") {
            bar.set_style(style);
        }
        Self { bar, files: 0, bytes: 0, drawn: Instant::now() }
    }

    pub(super) fn file(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
        if self.drawn.elapsed() >= REDRAW {
            self.drawn = Instant::now();
            self.bar.set_message(format!(
                "{} files looked at, {} hashed",
                HumanCount(self.files),
                HumanBytes(self.bytes)
            ));
            self.bar.tick();
        }
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
