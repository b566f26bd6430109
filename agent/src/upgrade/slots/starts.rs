//! How the starts of the program in use went. A program that was healthy once may still die later, again and
//! again: then it must not be started for ever. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// So many starts in a row that ended soon lead back to the program before.
pub(super) const QUICK_DEATHS: u8 = 5;

/// The starts of one program that nothing has shown to have gone well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Starts {
    in_doubt: u8,
    /// How long the machine had been up at the last of them.
    uptime_ms: u64,
    /// Which start of the machine that was, where the system names them.
    boot: Option<String>,
}

impl Starts {
    /// Counts a start before it is made; says no when too many before it ended soon.
    #[must_use]
    pub fn begin(&mut self, uptime: Duration, boot: Option<&str>) -> bool {
        let uptime_ms = u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX);
        let is_another = |before: &str| boot.is_some_and(|boot| boot != before);
        // The machine was started since: it may have gone down, and not the program.
        if uptime_ms < self.uptime_ms || self.boot.as_deref().is_some_and(is_another) {
            self.excuse();
        }
        if self.in_doubt >= QUICK_DEATHS {
            return false;
        }
        self.in_doubt += 1;
        self.uptime_ms = uptime_ms;
        self.boot = boot.map(str::to_owned);
        true
    }

    /// The last start ends because somebody wants it to: it says nothing of the program.
    pub fn excuse(&mut self) {
        self.in_doubt = self.in_doubt.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The start that is refused; each comes so many seconds after the one before.
    fn refused(starts: &mut Starts, mut after: impl FnMut(&mut Starts)) -> Option<u64> {
        (1..=50).find(|number| {
            let made = starts.begin(Duration::from_secs(100 + number), Some("this one"));
            after(starts);
            !made
        })
    }

    #[test]
    fn the_start_after_five_that_ended_soon_is_not_made() {
        assert_eq!(refused(&mut Starts::default(), |_| {}), Some(6));
    }

    #[test]
    fn an_ordered_end_does_not_count() {
        assert_eq!(refused(&mut Starts::default(), Starts::excuse), None);
    }

    #[test]
    fn neither_does_a_machine_that_goes_down() {
        let mut starts = Starts::default();
        for _ in 0..20 {
            assert!(starts.begin(Duration::from_secs(40), None));
            assert!(starts.begin(Duration::from_secs(50), None));
            starts.excuse();
        }
        let mut starts = Starts::default();
        for number in 1..50 {
            let boot = format!("start {number} of the machine");
            assert!(starts.begin(Duration::from_secs(40 + number), Some(&boot)), "{boot}");
        }
    }
}
