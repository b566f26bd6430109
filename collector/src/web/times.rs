//! Times as the page and the API write them.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use wardwatch_policies::text::Language;
use wardwatch_policies::time::UnixMillis;

use super::language::Words as _;

/// Date and time in UTC+7, which Vietnam keeps all year.
pub(super) fn local(time: UnixMillis) -> String {
    let zone = TimeZone::fixed(Offset::constant(7));
    match Timestamp::from_millisecond(time.0) {
        Ok(time) => time.to_zoned(zone).strftime("%d/%m/%Y %H:%M:%S").to_string(),
        Err(_) => format!("{} ms", time.0),
    }
}

/// RFC 3339 in UTC, to the millisecond.
pub(crate) fn rfc3339(time: UnixMillis) -> String {
    match Timestamp::from_millisecond(time.0) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => format!("{} ms", time.0),
    }
}

/// How long before `now`, in the largest unit that fits.
pub(super) fn ago(language: Language, time: UnixMillis, now: UnixMillis) -> String {
    let seconds = now.since(time) / 1000;
    match seconds {
        ..=-60 => language.text("ago-future").into_owned(),
        -59..60 => language.text("ago-now").into_owned(),
        60..3600 => language.count("ago-minutes", seconds / 60),
        3600..172_800 => language.count("ago-hours", seconds / 3600),
        _ => language.count("ago-days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_evening_in_utc_is_the_next_morning_here() {
        let time = UnixMillis(1_795_290_245_678);
        assert_eq!(local(time), "22/11/2026 02:44:05");
        assert_eq!(rfc3339(time), "2026-11-21T19:44:05.678Z");
    }

    #[test]
    fn a_clock_from_the_far_future_is_shown_as_it_is() {
        assert_eq!(local(UnixMillis(i64::MAX)), "9223372036854775807 ms");
    }

    #[test]
    fn rough_age_has_one_unit() {
        let now = UnixMillis(1_000_000_000);
        let age = |ms| ago(Language::Vi, UnixMillis(now.0 - ms), now);
        assert_eq!(age(5_000), "vừa xong");
        assert_eq!(age(300_000), "5 phút trước");
        assert_eq!(age(3 * 3_600_000), "3 giờ trước");
        assert_eq!(age(3 * 86_400_000), "3 ngày trước");
        assert_eq!(age(-300_000), "trong tương lai (đồng hồ sai)");
    }
}
