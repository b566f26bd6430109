//! Keeps a scan from being felt: a share of one processor and a number of bytes a second.

use std::thread;
use std::time::{Duration, Instant};

/// How fast a scan may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// A person waits.
    FullSpeed,
    /// `cpu_percent` of one processor (1 to 100) and at most so many bytes read a second.
    Gentle { cpu_percent: u32, bytes_per_second: u64 },
}

impl Pace {
    /// What the agent does unless its configuration says otherwise.
    pub const GENTLE: Self = Self::Gentle { cpu_percent: 50, bytes_per_second: 128 * 1024 * 1024 };

    /// How long to rest after `worked` in which `bytes` were read.
    #[must_use]
    pub fn rest(self, worked: Duration, bytes: u64) -> Duration {
        match self {
            Self::FullSpeed => Duration::ZERO,
            Self::Gentle { cpu_percent, bytes_per_second } => {
                let by_cpu = worked * 100u32.saturating_sub(cpu_percent) / cpu_percent.max(1);
                let by_bytes = Duration::from_secs_f64(bytes as f64 / bytes_per_second.max(1) as f64)
                    .saturating_sub(worked);
                by_cpu.max(by_bytes)
            }
        }
    }
}

/// The pace of one thread. Rests are saved up, since a short sleep costs more than it gives.
pub struct Pacer {
    pace: Pace,
    since: Instant,
    worked: Duration,
    bytes: u64,
}

impl Pacer {
    const WORTH_SLEEPING: Duration = Duration::from_millis(10);

    #[must_use]
    pub fn new(pace: Pace) -> Self {
        Self { pace, since: Instant::now(), worked: Duration::ZERO, bytes: 0 }
    }

    /// Work begins; the time since the last piece was none.
    pub fn begin(&mut self) {
        self.since = Instant::now();
    }

    /// A piece of work is done; sleeps when enough rest is owed.
    pub fn done(&mut self, bytes: u64) {
        if self.pace == Pace::FullSpeed {
            return;
        }
        self.worked += self.since.elapsed();
        self.bytes += bytes;
        let rest = self.pace.rest(self.worked, self.bytes);
        if rest >= Self::WORTH_SLEEPING {
            thread::sleep(rest);
            self.worked = Duration::ZERO;
            self.bytes = 0;
        }
        self.since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gentle_scan_rests_by_whichever_budget_is_tighter() {
        let pace = Pace::Gentle { cpu_percent: 25, bytes_per_second: 1000 };
        assert_eq!(pace.rest(Duration::from_millis(100), 0), Duration::from_millis(300));
        assert_eq!(pace.rest(Duration::from_millis(100), 1000), Duration::from_millis(900));
        assert_eq!(Pace::FullSpeed.rest(Duration::from_secs(1), 1 << 40), Duration::ZERO);
    }
}
