//! When an endpoint that is not heard is *silent*. One that said it was being switched off is *off* and is not
//! asked about here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::EndpointKind;
use crate::time::UnixMillis;

const MILLIS_PER_MINUTE: i64 = 60_000;
const MILLIS_PER_DAY: i64 = 24 * 60 * MILLIS_PER_MINUTE;

/// How long each kind of endpoint may be unheard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Silence {
    /// Where a working day begins and ends, in minutes east of UTC.
    pub utc_offset_minutes: i32,
    /// Every kind is named.
    pub patience: BTreeMap<EndpointKind, Patience>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Patience {
    /// Longer than so many minutes.
    Minutes(u32),
    /// On so many whole working days, Monday to Friday, one after the other.
    WorkingDays(u32),
}

/// Whether an endpoint last heard at `last_seen` is silent at `now`. An earlier `now` is never silence.
#[must_use]
pub fn is_silent(kind: EndpointKind, last_seen: UnixMillis, now: UnixMillis, thresholds: &Silence) -> bool {
    match thresholds.patience.get(&kind) {
        Some(Patience::Minutes(minutes)) => now.since(last_seen) > i64::from(*minutes) * MILLIS_PER_MINUTE,
        Some(Patience::WorkingDays(days)) => {
            let offset = i64::from(thresholds.utc_offset_minutes) * MILLIS_PER_MINUTE;
            let day = |at: UnixMillis| at.plus(offset).0.div_euclid(MILLIS_PER_DAY);
            working_days_before(day(now)) - working_days_before(day(last_seen) + 1) >= i64::from(*days)
        }
        None => false,
    }
}

/// Working days in [1969-12-29, day), a Monday being day -3; `day` counts from 1970-01-01.
const fn working_days_before(day: i64) -> i64 {
    let since_monday = day + 3;
    let in_last_week = since_monday.rem_euclid(7);
    since_monday.div_euclid(7) * 5 + if in_last_week < 5 { in_last_week } else { 5 }
}
