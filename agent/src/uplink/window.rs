//! Which reports to send next: a window over the outbox. Pure; time is an argument, as uptime.

use std::time::Duration;

/// Reports on their way at most.
const REPORTS: usize = 64;
/// Bytes on their way at most, so that a first inventory does not fill the memory of a recorder.
const BYTES: usize = 512 * 1024;
/// Without progress for so long, what is on its way is sent again.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Between two times that the collector's wish makes everything go out again.
const BETWEEN_RESENDS: Duration = Duration::from_secs(1);

/// What is on its way to the collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    committed: u64,
    /// The last report handed to the connection.
    sent: u64,
    /// Sizes of the reports after `committed` up to `sent`.
    sizes: std::collections::VecDeque<usize>,
    waiting_since: Duration,
    rewound: Option<Duration>,
}

/// How much may be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Send reports after this one.
    pub after: u64,
    pub reports: usize,
    pub bytes: usize,
}

impl Window {
    /// A new connection: nothing is on its way.
    #[must_use]
    pub fn new(committed: u64, now: Duration) -> Self {
        Self { committed, sent: committed, sizes: Default::default(), waiting_since: now, rewound: None }
    }

    /// `None` while the window is full.
    #[must_use]
    pub fn room(&self) -> Option<Room> {
        let reports = REPORTS.saturating_sub(self.sizes.len());
        let bytes = BYTES.saturating_sub(self.sizes.iter().sum());
        (reports > 0 && bytes > 0).then_some(Room { after: self.sent, reports, bytes })
    }

    pub fn sent(&mut self, seq: u64, bytes: usize, now: Duration) {
        if self.sizes.is_empty() {
            self.waiting_since = now;
        }
        self.sent = seq;
        self.sizes.push_back(bytes);
    }

    /// An ack: everything up to `committed` has arrived; from `resend_from` on something is missing.
    pub fn acked(&mut self, committed: u64, resend_from: Option<u64>, now: Duration) {
        if committed > self.committed {
            for _ in self.committed..committed.min(self.sent) {
                self.sizes.pop_front();
            }
            self.committed = committed;
            self.sent = self.sent.max(committed);
            self.waiting_since = now;
        }
        // Each report after a gap is answered by such an ack: only the first of them counts.
        let just_rewound = self.rewound.is_some_and(|then| now < then + BETWEEN_RESENDS);
        if resend_from.is_some_and(|from| from <= self.sent) && !just_rewound {
            self.rewind(now);
        }
    }

    /// When to send again what had no answer.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        (!self.sizes.is_empty()).then_some(self.waiting_since + PATIENCE)
    }

    /// Sends everything uncommitted again if the deadline has passed; says whether it did.
    pub fn check(&mut self, now: Duration) -> bool {
        let late = self.deadline().is_some_and(|deadline| now >= deadline);
        if late {
            self.rewind(now);
        }
        late
    }

    fn rewind(&mut self, now: Duration) {
        self.sent = self.committed;
        self.sizes.clear();
        self.waiting_since = now;
        self.rewound = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Duration = Duration::from_secs(100);

    fn after_sending(count: u64) -> Window {
        let mut window = Window::new(0, T0);
        (1..=count).for_each(|seq| window.sent(seq, 100, T0));
        window
    }

    #[test]
    fn at_most_a_window_is_on_its_way() {
        let mut window = after_sending(64);
        assert_eq!(window.room(), None);
        window.acked(10, None, T0);
        assert_eq!(window.room(), Some(Room { after: 64, reports: 10, bytes: BYTES - 5400 }));
        let mut window = Window::new(0, T0);
        window.sent(1, BYTES, T0);
        assert_eq!(window.room(), None);
    }

    #[test]
    fn a_lost_ack_never_stalls() {
        let mut window = after_sending(3);
        assert!(!window.check(T0 + PATIENCE - Duration::from_millis(1)));
        assert!(window.check(T0 + PATIENCE));
        assert_eq!(window.room().unwrap().after, 0);
    }

    #[test]
    fn progress_moves_the_deadline_and_an_idle_window_has_none() {
        let mut window = after_sending(3);
        window.acked(2, None, T0 + Duration::from_secs(9));
        assert!(!window.check(T0 + PATIENCE));
        window.acked(3, None, T0 + PATIENCE);
        assert_eq!(window.deadline(), None);
        assert!(!window.check(T0 + PATIENCE * 9));
    }

    #[test]
    fn what_the_collector_misses_is_sent_again() {
        let mut window = after_sending(5);
        window.acked(2, Some(3), T0);
        assert_eq!(window.room().unwrap().after, 2);
        (3..=5).for_each(|seq| window.sent(seq, 100, T0));
        window.acked(2, Some(3), T0);
        assert_eq!(window.room().unwrap().after, 5, "the same wish again");
        window.acked(2, Some(3), T0 + BETWEEN_RESENDS);
        assert_eq!(window.room().unwrap().after, 2);
    }

    #[test]
    fn an_old_ack_changes_nothing() {
        let mut window = after_sending(5);
        window.acked(4, None, T0);
        let before = window.clone();
        window.acked(3, None, T0);
        assert_eq!(window, before);
    }

    #[test]
    fn an_ack_of_more_than_was_sent_on_this_connection_moves_on() {
        let mut window = after_sending(2);
        window.acked(7, None, T0);
        assert_eq!(window.room().unwrap().after, 7);
    }
}
