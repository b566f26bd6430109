//! What the page and the API read: the store's rows as values, with the names the API gives them.
//!
//! Nothing here writes. Times become RFC 3339 and digests hexadecimal digits when serialised.

pub mod alerts;
pub mod endpoints;
pub mod files;
pub mod incidents;
pub mod log;
pub mod verdicts;

use std::fmt::Display;

use serde::Serializer;
use serde::de::DeserializeOwned;
use sqlx::Row;
use sqlx::any::AnyRow;
use wardwatch_policies::time::UnixMillis;

use super::times;

/// A page of a long list, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    pub number: i64,
    pub size: i64,
}

impl Slice {
    /// Rows on a page of the web page.
    pub const ROWS: i64 = 50;

    #[must_use]
    pub fn page(number: Option<i64>) -> Self {
        Self { number: number.unwrap_or(1).clamp(1, 1_000_000), size: Self::ROWS }
    }

    const fn offset(self) -> i64 {
        (self.number - 1) * self.size
    }
}

/// Rows of one page and how many there are in all.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Paged<T> {
    pub rows: Vec<T>,
    pub total: i64,
    #[serde(skip)]
    pub slice: Slice,
}

impl<T> Paged<T> {
    #[must_use]
    pub const fn pages(&self) -> i64 {
        (self.total + self.slice.size - 1) / self.slice.size
    }

    #[must_use]
    pub const fn number(&self) -> i64 {
        self.slice.number
    }

    #[must_use]
    pub const fn has_next(&self) -> bool {
        self.slice.number < self.pages()
    }
}

fn time(row: &AnyRow, column: &str) -> Result<UnixMillis, sqlx::Error> {
    row.try_get(column).map(UnixMillis)
}

fn maybe_time(row: &AnyRow, column: &str) -> Result<Option<UnixMillis>, sqlx::Error> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(UnixMillis))
}

/// A column that holds JSON of one of our types.
fn json<T: DeserializeOwned>(row: &AnyRow, column: &str) -> Result<T, sqlx::Error> {
    serde_json::from_str(row.try_get(column)?).map_err(|error| sqlx::Error::Decode(error.into()))
}

/// A column that holds the text form of one of our types.
fn word<T>(row: &AnyRow, column: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, sqlx::Error> {
    let text: &str = row.try_get(column)?;
    parse(text).ok_or_else(|| sqlx::Error::Decode(format!("column {column} holds \"{text}\"").into()))
}

pub(super) fn as_rfc3339<S: Serializer>(time: &UnixMillis, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&times::rfc3339(*time))
}

pub(super) fn as_text<S: Serializer>(value: &impl Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

pub(super) fn as_maybe_rfc3339<S: Serializer>(
    time: &Option<UnixMillis>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => as_rfc3339(time, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_numbers_from_an_address_are_bounded() {
        assert_eq!(Slice::page(Some(i64::MAX)).offset(), 999_999 * 50);
        assert_eq!(Slice::page(Some(-3)).offset(), 0);
        assert_eq!(Slice::page(None).offset(), 0);
    }
}
