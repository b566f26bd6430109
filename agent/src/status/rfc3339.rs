//! Times as RFC 3339 text.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use wardwatch_policies::time::UnixMillis;

/// A dash where no time is known, or it lies outside of what a calendar can say.
pub(super) fn or_dash(time: Option<UnixMillis>) -> String {
    time.and_then(text).unwrap_or_else(|| "-".into())
}

fn text(time: UnixMillis) -> Option<String> {
    Timestamp::from_millisecond(time.0).ok().map(|time| time.to_string())
}

pub(super) mod optional {
    use super::*;

    pub(in crate::status) fn serialize<S: Serializer>(
        time: &Option<UnixMillis>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        time.and_then(text).serialize(to)
    }

    pub(in crate::status) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<UnixMillis>, D::Error> {
        let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
        let time: Timestamp = text.parse().map_err(D::Error::custom)?;
        Ok(Some(UnixMillis(time.as_millisecond())))
    }
}
