//! Where a report belongs: the collector's rule for accepting a stream, as a pure decision.
//!
//! Same bytes again change nothing; other bytes under a known number are a fork; a gap is parked until what
//! is missing arrives. Storing and acknowledging is the collector's work.

use wardwatch_policies::digest::Digest;

use crate::report::{Position, StreamId};

/// How far one agent's reports are committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// The stream that is being followed; `None` before the agent's first report.
    pub current: Option<Followed>,
}

/// The stream that is being followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Followed {
    pub stream: StreamId,
    /// The number of the last committed report.
    pub committed: u64,
    /// The digest of its envelope.
    pub last: Digest,
}

/// What to do with a report whose signature holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Commit it: it continues the stream.
    Next,
    /// Commit it: it begins another stream.
    Opens,
    /// The same bytes were committed before: acknowledge again.
    Repeated,
    /// It contradicts a committed report: refuse it, and tell a person.
    Fork,
    /// Reports before it are missing: park it and ask for `resend_from`.
    Ahead { resend_from: u64 },
    /// It belongs to a stream that was left behind and was never committed: refuse it.
    Stale,
}

impl Progress {
    /// Decides about a report at `position` with the envelope digest `digest`.
    ///
    /// `known` is the digest committed under the same stream and number, if any. `opens` tells whether the
    /// report's body opens a stream.
    #[must_use]
    pub fn place(
        &self,
        position: &Position,
        digest: Digest,
        known: Option<Digest>,
        opens: bool,
    ) -> Placement {
        if let Some(known) = known {
            return if known == digest { Placement::Repeated } else { Placement::Fork };
        }
        let begins = position.seq == 1 && position.previous == Digest::ZERO && opens;
        match self.current {
            Some(current) if current.stream == position.stream => {
                let next = current.committed + 1;
                if position.seq > next {
                    Placement::Ahead { resend_from: next }
                } else if position.seq == next && position.previous == current.last && !opens {
                    Placement::Next
                } else {
                    Placement::Fork
                }
            }
            _ if begins => Placement::Opens,
            _ if position.seq > 1 && self.current.is_none() => Placement::Ahead { resend_from: 1 },
            _ => Placement::Stale,
        }
    }

    /// The progress after the report was committed.
    #[must_use]
    pub const fn after(position: &Position, digest: Digest) -> Self {
        Self { current: Some(Followed { stream: position.stream, committed: position.seq, last: digest }) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const STREAM: StreamId = StreamId([1; 16]);

    fn digest(n: u64) -> Digest {
        if n == 0 { Digest::ZERO } else { Digest::of(&n.to_le_bytes()) }
    }

    fn position(seq: u64) -> Position {
        Position { stream: STREAM, seq, previous: digest(seq - 1) }
    }

    fn committed(seq: u64) -> Progress {
        Progress::after(&position(seq), digest(seq))
    }

    #[test]
    fn a_stream_begins_with_its_opening_report() {
        assert_eq!(Progress::default().place(&position(1), digest(1), None, true), Placement::Opens);
        assert_eq!(Progress::default().place(&position(1), digest(1), None, false), Placement::Stale);
    }

    #[test]
    fn other_bytes_under_a_known_number_are_a_fork() {
        assert_eq!(committed(3).place(&position(2), digest(9), Some(digest(2)), false), Placement::Fork);
        assert_eq!(committed(3).place(&position(2), digest(2), Some(digest(2)), false), Placement::Repeated);
    }

    #[test]
    fn a_next_report_that_follows_another_history_is_a_fork() {
        let elsewhere = Position { previous: digest(77), ..position(4) };
        assert_eq!(committed(3).place(&elsewhere, digest(4), None, false), Placement::Fork);
        assert_eq!(committed(3).place(&position(4), digest(4), None, false), Placement::Next);
    }

    #[test]
    fn a_gap_is_asked_for_from_its_beginning() {
        assert_eq!(
            committed(3).place(&position(9), digest(9), None, false),
            Placement::Ahead { resend_from: 4 }
        );
    }

    #[test]
    fn a_stream_left_behind_does_not_come_back() {
        let other = Position { stream: StreamId([2; 16]), seq: 8, previous: digest(7) };
        assert_eq!(committed(3).place(&other, digest(8), None, false), Placement::Stale);
    }

    proptest! {
        /// However a link repeats and reorders, each report is committed exactly once and in order.
        #[test]
        fn every_report_is_committed_once_and_in_order(
            order in proptest::collection::vec(1u64..12, 0..200),
        ) {
            let mut progress = Progress::default();
            let mut store = BTreeMap::new();
            for seq in order.into_iter().chain(1..12) {
                let known = store.get(&seq).copied();
                match progress.place(&position(seq), digest(seq), known, seq == 1) {
                    Placement::Next | Placement::Opens => {
                        prop_assert_eq!(store.len() as u64 + 1, seq);
                        store.insert(seq, digest(seq));
                        progress = Progress::after(&position(seq), digest(seq));
                    }
                    Placement::Repeated => prop_assert_eq!(known, Some(digest(seq))),
                    Placement::Ahead { resend_from } => prop_assert_eq!(resend_from, store.len() as u64 + 1),
                    other => prop_assert!(false, "{:?}", other),
                }
            }
            prop_assert_eq!(store.len(), 11);
        }
    }
}
