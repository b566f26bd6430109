//! Judges what was seen in the registry of Windows.

use super::super::evidence::list;
use super::Answer;
use crate::observation::Unreadable;
use crate::observation::registry::{Found, RegistrySeen};
use crate::policy::probe::{Comparison, InRegistry};
use crate::policy::registry::{RegistrySource, ValueType};

pub(super) fn registry(
    source: &RegistrySource,
    expected: &InRegistry,
    seen: &[RegistrySeen],
) -> Result<Answer, Unreadable> {
    match expected {
        InRegistry::Present => Ok(presence(source, true, seen)),
        InRegistry::Absent => Ok(presence(source, false, seen)),
        InRegistry::Value { value_type, expected, default } => {
            compared(source, *value_type, expected, default.as_deref(), seen)
        }
    }
}

/// Present: it is there somewhere. Absent: it is there nowhere.
fn presence(source: &RegistrySource, wanted: bool, seen: &[RegistrySeen]) -> Answer {
    let (there, not_there): (Vec<_>, Vec<_>) =
        seen.iter().partition(|seen| !matches!(seen.found, Found::NoKey | Found::NoValue));
    let is_there = !there.is_empty();
    let texts: Vec<_> = if is_there { there } else { not_there }
        .into_iter()
        .map(|seen| describe(source, seen, &say(source, &seen.found)))
        .collect();
    Answer {
        holds: is_there == wanted,
        subject: source.to_string(),
        expected: if wanted { "present" } else { "absent" }.into(),
        found: list(texts.iter().map(String::as_str)),
    }
}

/// Every person's and every view's value has to hold; those that do not are named, else the first that does.
fn compared(
    source: &RegistrySource,
    value_type: ValueType,
    expected: &Comparison,
    default: Option<&str>,
    seen: &[RegistrySeen],
) -> Result<Answer, Unreadable> {
    let mut good = Vec::new();
    let mut bad = Vec::new();
    for seen in seen {
        let (holds, found) = compare(source, value_type, expected, default, &seen.found)?;
        if holds { &mut good } else { &mut bad }.push(describe(source, seen, &found));
    }
    let found = match (bad.is_empty(), good.as_slice()) {
        (false, _) => list(bad.iter().map(String::as_str)),
        (true, [one]) => one.clone(),
        (true, many) => format!("all {} are so", many.len()),
    };
    Ok(Answer {
        holds: bad.is_empty(),
        subject: source.to_string(),
        expected: format!("{expected} ({})", value_type.as_str()),
        found,
    })
}

fn compare(
    source: &RegistrySource,
    value_type: ValueType,
    expected: &Comparison,
    default: Option<&str>,
    found: &Found,
) -> Result<(bool, String), Unreadable> {
    match found {
        Found::Value(data) if data.value_type() == Some(value_type) => {
            let tried: Vec<_> =
                data.texts().iter().map(|text| expected.holds(text)).collect::<Result<_, _>>()?;
            Ok((tried.contains(&true), data.to_string()))
        }
        // What a program makes of a value of another type is its own affair.
        Found::Value(data) => Err(Unreadable(format!(
            "it holds {} {data}, where a {} is meant; what Windows makes of that is not known",
            data.value_type().map_or("data", ValueType::as_str),
            value_type.as_str()
        ))),
        Found::Withheld => Err(Unreadable("its text may be a secret and was not read".into())),
        Found::Key | Found::NoKey | Found::NoValue => {
            let absent = say(source, found);
            Ok(match default {
                Some(default) => (expected.holds(default)?, format!("{absent}; the default is {default}")),
                None => (false, absent),
            })
        }
    }
}

fn say(source: &RegistrySource, found: &Found) -> String {
    match found {
        Found::NoKey | Found::NoValue if source.keys.len() > 1 => {
            format!("in none of {} keys", source.keys.len())
        }
        Found::NoKey => "no such key".into(),
        Found::NoValue => "not set".into(),
        Found::Key => "present".into(),
        Found::Value(data) => data.to_string(),
        Found::Withheld => "present (hidden)".into(),
    }
}

/// Says where it was found, so far as the subject does not say so already.
fn describe(source: &RegistrySource, seen: &RegistrySeen, found: &str) -> String {
    let is_personal = source.is_personal();
    let mut place = Vec::new();
    match &seen.account {
        Some(account) if is_personal => place.push(account.clone()),
        _ => {}
    }
    if source.keys.len() > 1 && !matches!(seen.found, Found::NoKey | Found::NoValue) {
        place.push(if is_personal { seen.path.clone() } else { seen.to_string() });
    }
    if source.views.len() > 1 {
        place.push(format!("{}-bit view", seen.view.as_str()));
    }
    if place.is_empty() { found.to_owned() } else { format!("{found} ({})", place.join(", ")) }
}
