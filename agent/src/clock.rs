//! The agent's clocks. The system's wall clock is told to the collector and never trusted; uptime cannot be
//! set by anyone; proved time is what the collector said in answer to a fresh nonce, plus uptime since.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::report::AgentTime;

use crate::platform;

/// Shared by all that need the time; clones tell the same.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    proof: Arc<Mutex<Option<Proof>>>,
}

#[derive(Debug, Clone, Copy)]
struct Proof {
    time: UnixMillis,
    uptime: Duration,
}

impl Proof {
    fn at(self, uptime: Duration) -> UnixMillis {
        self.time.plus(millis(uptime.saturating_sub(self.uptime)))
    }
}

impl Clock {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What the system says; may be wrong by decades.
    #[must_use]
    pub fn wall(&self) -> UnixMillis {
        match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => UnixMillis(millis(since)),
            Err(before) => UnixMillis(-millis(before.duration())),
        }
    }

    /// Since the system booted, sleep included.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        platform::boot_elapsed()
    }

    /// The time by the last proof, if there is one since this process started.
    #[must_use]
    pub fn proved(&self) -> Option<UnixMillis> {
        let proof = *self.proof.lock().unwrap_or_else(PoisonError::into_inner);
        proof.map(|proof| proof.at(self.uptime()))
    }

    /// An ack bound to a fresh nonce was sent at `time`: it is at least that late now.
    pub fn prove(&self, time: UnixMillis) {
        let proof = Proof { time, uptime: self.uptime() };
        *self.proof.lock().unwrap_or_else(PoisonError::into_inner) = Some(proof);
    }

    #[must_use]
    pub fn agent_time(&self) -> AgentTime {
        let uptime_ms = u64::try_from(self.uptime().as_millis()).unwrap_or(u64::MAX);
        AgentTime { wall: self.wall(), uptime_ms, proved: self.proved() }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proved_time_goes_on_with_uptime_alone() {
        let proof = Proof { time: UnixMillis(1_000), uptime: Duration::from_secs(50) };
        assert_eq!(proof.at(Duration::from_secs(52)), UnixMillis(3_000));
        assert_eq!(proof.at(Duration::from_secs(49)), UnixMillis(1_000));
    }

    #[test]
    fn without_a_proof_no_time_is_known() {
        let clock = Clock::new();
        assert_eq!(clock.proved(), None);
        clock.clone().prove(UnixMillis(4_102_444_800_000));
        assert!(clock.proved() >= Some(UnixMillis(4_102_444_800_000)), "clones share the proof");
    }
}
