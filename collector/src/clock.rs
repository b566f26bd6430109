//! The one place that reads the clock. Everything else is given the time.

use std::time::{SystemTime, UNIX_EPOCH};

use wardwatch_policies::time::UnixMillis;

/// The collector's time.
#[must_use]
pub fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixMillis(match since {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
    })
}
