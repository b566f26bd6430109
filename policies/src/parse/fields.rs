//! One TOML table with the keys it may have. Each accessor reports what is wrong and answers `None`.

use std::ops::Range;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Errors;
use crate::text::Text;

pub(super) type Value<'i> = Spanned<DeValue<'i>>;

/// How many bytes one string of a policy may have.
const MAX_STRING_BYTES: usize = 4096;
/// How many entries one list of a policy may have.
const MAX_LIST: usize = 128;

pub(super) struct Fields<'t, 'i> {
    table: &'t DeTable<'i>,
    span: Range<usize>,
    /// What the table is, with its article: `a check`.
    what: &'static str,
}

impl<'t, 'i> Fields<'t, 'i> {
    /// Opens a table and reports the keys it may not have.
    pub(super) fn of_table(
        table: &'t DeTable<'i>,
        span: Range<usize>,
        what: &'static str,
        known: &[&str],
        errors: &mut Errors<'_>,
    ) -> Self {
        for key in table.keys() {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                let problem = format!("unknown key `{}` in {what}", shown(name));
                errors.add(key.span(), problem, suggestion(name, known));
            }
        }
        Self { table, span, what }
    }

    pub(super) fn of_value(
        value: &'t Value<'i>,
        what: &'static str,
        known: &[&str],
        errors: &mut Errors<'_>,
    ) -> Option<Self> {
        match value.get_ref() {
            DeValue::Table(table) => Some(Self::of_table(table, value.span(), what, known, errors)),
            other => {
                let problem = format!("{what} is a table, not {}", kind(other));
                errors.add(
                    value.span(),
                    problem,
                    format!("write `{{ {} = … }}`", known.first().unwrap_or(&"key")),
                );
                None
            }
        }
    }

    pub(super) fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    pub(super) fn get(&self, key: &str) -> Option<&'t Value<'i>> {
        self.table.get(key)
    }

    pub(super) fn require(&self, key: &str, errors: &mut Errors<'_>) -> Option<&'t Value<'i>> {
        let value = self.get(key);
        if value.is_none() && !errors.is_torn() {
            errors.add(self.span(), format!("{} has no `{key}`", self.what), format!("add `{key} = …`"));
        }
        value
    }

    pub(super) fn string(&self, key: &str, errors: &mut Errors<'_>) -> Option<&'t str> {
        string(key, self.require(key, errors)?, errors)
    }

    /// `Some(None)` where the key is absent, `None` where it is wrong.
    pub(super) fn optional_string(&self, key: &str, errors: &mut Errors<'_>) -> Option<Option<&'t str>> {
        self.get(key).map_or(Some(None), |value| string(key, value, errors).map(Some))
    }

    /// A string that a type of ours reads.
    pub(super) fn parsed<T: FromStr<Err: std::error::Error>>(
        &self,
        key: &str,
        errors: &mut Errors<'_>,
    ) -> Option<T> {
        let value = self.require(key, errors)?;
        parse_string(key, value, errors)
    }

    pub(super) fn parsed_list<T: FromStr<Err: std::error::Error>>(
        &self,
        key: &str,
        errors: &mut Errors<'_>,
    ) -> Option<Vec<T>> {
        let items = list(key, self.require(key, errors)?, errors)?;
        // Read all before giving up, so that every wrong entry is reported.
        let read: Vec<_> = items.iter().map(|item| parse_string(key, item, errors)).collect();
        read.into_iter().collect()
    }

    pub(super) fn string_list(&self, key: &str, errors: &mut Errors<'_>) -> Option<Vec<String>> {
        let items = list(key, self.require(key, errors)?, errors)?;
        let read: Vec<_> = items.iter().map(|item| string(key, item, errors).map(str::to_owned)).collect();
        read.into_iter().collect()
    }

    pub(super) fn integer(&self, key: &str, range: Range<i64>, errors: &mut Errors<'_>) -> Option<i64> {
        integer(key, self.require(key, errors)?, range, errors)
    }

    /// Words in both languages.
    pub(super) fn text(&self, key: &str, errors: &mut Errors<'_>) -> Option<Text> {
        let value = self.require(key, errors)?;
        let fields = Fields::of_value(value, "a text", &["vi", "en"], errors)?;
        let (vi, en) = (fields.string("vi", errors), fields.string("en", errors));
        Some(Text { vi: vi?.trim().to_owned(), en: en?.trim().to_owned() })
    }

    /// One of some words, each with what it stands for.
    pub(super) fn word<T: Copy>(&self, key: &str, words: &[(&str, T)], errors: &mut Errors<'_>) -> Option<T> {
        let value = self.require(key, errors)?;
        let text = string(key, value, errors)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning);
        if found.is_none() {
            let known: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            errors.add(
                value.span(),
                format!("`{key}` cannot be `{}`", shown(text)),
                suggestion(text, &known),
            );
        }
        found
    }
}

pub(super) fn string<'t>(key: &str, value: &'t Value<'_>, errors: &mut Errors<'_>) -> Option<&'t str> {
    let Some(text) = value.get_ref().as_str() else {
        let problem = format!("`{key}` is a string, not {}", kind(value.get_ref()));
        errors.add(value.span(), problem, "put it between quotation marks");
        return None;
    };
    if text.trim().is_empty() {
        errors.add(value.span(), format!("`{key}` is empty"), "say what is meant, or leave the key out");
        return None;
    }
    if text.len() > MAX_STRING_BYTES {
        let problem = format!("`{key}` has {} bytes; at most {MAX_STRING_BYTES} are accepted", text.len());
        errors.add(value.span(), problem, "shorten it");
        return None;
    }
    Some(text)
}

pub(super) fn integer(
    key: &str,
    value: &Value<'_>,
    range: Range<i64>,
    errors: &mut Errors<'_>,
) -> Option<i64> {
    let Some(integer) = value.get_ref().as_integer() else {
        let problem = format!("`{key}` is a whole number, not {}", kind(value.get_ref()));
        errors.add(value.span(), problem, "write digits without quotation marks; modes as 0o640");
        return None;
    };
    let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
    let within = number.filter(|number| range.contains(number));
    if within.is_none() {
        let last = range.end - 1;
        let (low, high) = match integer.radix() {
            8 => (format!("0o{:o}", range.start), format!("0o{last:o}")),
            _ => (range.start.to_string(), last.to_string()),
        };
        errors.add(value.span(), format!("`{key}` is out of range"), format!("use {low} to {high}"));
    }
    within
}

pub(super) fn list<'t, 'i>(
    key: &str,
    value: &'t Value<'i>,
    errors: &mut Errors<'_>,
) -> Option<&'t [Value<'i>]> {
    let Some(array) = value.get_ref().as_array() else {
        let problem = format!("`{key}` is a list, not {}", kind(value.get_ref()));
        errors.add(value.span(), problem, "put it between square brackets");
        return None;
    };
    if array.is_empty() {
        errors.add(value.span(), format!("`{key}` is an empty list"), "name at least one");
        return None;
    }
    if array.len() > MAX_LIST {
        let problem = format!("`{key}` has {} entries; at most {MAX_LIST} are accepted", array.len());
        errors.add(value.span(), problem, "split it");
        return None;
    }
    Some(array)
}

fn parse_string<T: FromStr<Err: std::error::Error>>(
    key: &str,
    value: &Value<'_>,
    errors: &mut Errors<'_>,
) -> Option<T> {
    let text = string(key, value, errors)?;
    text.parse()
        .map_err(|error: T::Err| {
            let message = error.to_string();
            let (problem, hint) = message.split_once("; ").unwrap_or((&message, "see docs/policies.md"));
            errors.add(value.span(), problem, hint);
        })
        .ok()
}

/// What a value is, for a message.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn shown(text: &str) -> String {
    text.chars().take(60).flat_map(char::escape_debug).collect()
}

/// `did you mean …` where something known is close, else all that is known.
pub(super) fn suggestion(text: &str, known: &[&str]) -> String {
    let close = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(text, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min();
    match close {
        Some((_, candidate)) if text.len() <= 60 => format!("did you mean `{candidate}`?"),
        _ => format!("use {}", known.join(", ")),
    }
}
