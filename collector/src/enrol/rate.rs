//! How often one address or agent may ask: a bucket of requests each, refilled steadily. Pure; bounded in memory.

use std::collections::HashMap;
use std::hash::Hash;

use wardwatch_policies::time::UnixMillis;

/// No more askers are remembered at once; beyond it, new ones wait until others are forgotten.
const MAX_ASKERS: usize = 10_000;

/// What one asker may ask.
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// Requests at once. A whole ward office may stand behind one address.
    pub burst: u32,
    /// One more request is allowed each so many milliseconds.
    pub refill_ms: u32,
}

impl Default for Rate {
    fn default() -> Self {
        Self { burst: 30, refill_ms: 2_000 }
    }
}

/// The buckets of all that asked lately.
pub struct Buckets<K> {
    rate: Rate,
    /// When each bucket is full again.
    full_at: HashMap<K, UnixMillis>,
}

impl<K: Eq + Hash> Buckets<K> {
    #[must_use]
    pub fn new(rate: Rate) -> Self {
        Self { rate, full_at: HashMap::new() }
    }

    /// Takes one request out of the asker's bucket; `false` if it is empty.
    pub fn take(&mut self, asker: K, now: UnixMillis) -> bool {
        if self.full_at.len() >= MAX_ASKERS {
            self.full_at.retain(|_, full_at| *full_at > now);
        }
        let refill = i64::from(self.rate.refill_ms);
        let known = self.full_at.get(&asker).copied();
        if known.is_none() && self.full_at.len() >= MAX_ASKERS {
            return false;
        }
        let full_at = known.unwrap_or(now).max(now).plus(refill);
        let allowed = full_at.since(now) <= refill * i64::from(self.rate.burst);
        if allowed {
            self.full_at.insert(asker, full_at);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn a_burst_is_allowed_and_then_one_request_a_refill() {
        let mut buckets = Buckets::new(Rate { burst: 3, refill_ms: 1_000 });
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let at = |ms: i64| UnixMillis(1_000_000 + ms);
        assert_eq!([0, 1, 2, 3].map(|ms| buckets.take(one, at(ms))), [true, true, true, false]);
        assert!(buckets.take(other, at(3)));
        assert_eq!([1_000, 1_001].map(|ms| buckets.take(one, at(ms))), [true, false]);
        assert!(buckets.take(one, at(60_000)));
    }

    #[test]
    fn memory_stays_bounded_and_empties_again() {
        let mut buckets = Buckets::new(Rate { burst: 1, refill_ms: 1_000 });
        let now = UnixMillis(0);
        for number in 0..u32::try_from(MAX_ASKERS).unwrap() {
            assert!(buckets.take(IpAddr::from(number.to_be_bytes()), now));
        }
        let late = IpAddr::from([255, 255, 255, 255]);
        assert!(!buckets.take(late, now));
        assert!(buckets.take(late, now.plus(1_001)));
        assert_eq!(buckets.full_at.len(), 1);
    }
}
