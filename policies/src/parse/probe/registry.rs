//! Reads the probe of the registry: a value's type decides which operators and which default fit it.

use super::super::Errors;
use super::super::fields::{Fields, Value, kind, list, string};
use super::{OPERATORS, comparison};
use crate::policy::probe::{Comparison, InRegistry, Probe};
use crate::policy::registry::{RegistryKey, RegistrySource, ValueType, View};
use crate::secret::is_secret_key;

/// Names of values are bounded by Windows itself, in characters.
const MAX_VALUE_NAME: usize = 255;

pub(super) fn registry(value: &Value<'_>, errors: &mut Errors<'_>) -> Option<Probe> {
    let known = [&["probe", "key", "value", "view", "is", "type", "default"][..], &OPERATORS].concat();
    let fields = Fields::of_value(value, "this probe", &known, errors)?;
    let keys = keys(&fields, errors);
    let name = value_name(&fields, errors);
    let views = views(&fields, errors);
    let expected = match fields.get("is") {
        Some(_) => presence(&fields, errors),
        None => compared(&fields, errors),
    };
    let source = RegistrySource { keys: keys?, value: name?, views: views? };
    let expected = expected?;
    if let (InRegistry::Value { value_type, .. }, Some(name)) = (&expected, &source.value)
        && !value_type.is_number()
        && is_secret_key(name)
    {
        let at = fields.get("value").map_or(fields.span(), toml::Spanned::span);
        errors.add(at, "text of this value is never read into evidence", "ask for `is = \"absent\"`");
        return None;
    }
    Some(Probe::Registry { source, expected })
}

/// One key, or several of which the first counts that has the value.
fn keys(fields: &Fields<'_, '_>, errors: &mut Errors<'_>) -> Option<Vec<RegistryKey>> {
    let value = fields.require("key", errors)?;
    let one = |item: &Value<'_>, errors: &mut Errors<'_>| {
        let text = string("key", item, errors)?;
        let hint =
            r"write it as in 'HKLM\SOFTWARE\Policies', or 'HKU\*\Software' for everyone who is logged in";
        RegistryKey::parse(text).map_err(|error| errors.add(item.span(), error.to_string(), hint)).ok()
    };
    if value.get_ref().as_array().is_none() {
        return Some(vec![one(value, errors)?]);
    }
    let read: Vec<_> = list("key", value, errors)?.iter().map(|item| one(item, errors)).collect();
    read.into_iter().collect()
}

fn value_name(fields: &Fields<'_, '_>, errors: &mut Errors<'_>) -> Option<Option<String>> {
    let Some(name) = fields.optional_string("value", errors)? else {
        return Some(None);
    };
    if name.chars().count() <= MAX_VALUE_NAME && !name.contains(char::is_control) {
        return Some(Some(name.to_owned()));
    }
    let at = fields.get("value").map_or(fields.span(), toml::Spanned::span);
    let hint = format!("write at most {MAX_VALUE_NAME} characters as the registry shows them");
    errors.add(at, format!("`{}` is no name of a value", name.escape_debug()), hint);
    None
}

fn views(fields: &Fields<'_, '_>, errors: &mut Errors<'_>) -> Option<Vec<View>> {
    #[derive(Clone, Copy)]
    enum Word {
        One(View),
        Both,
    }
    if fields.get("view").is_none() {
        return Some(vec![View::Bits64]);
    }
    let words = [("64", Word::One(View::Bits64)), ("32", Word::One(View::Bits32)), ("both", Word::Both)];
    Some(match fields.word("view", &words, errors)? {
        Word::One(view) => vec![view],
        Word::Both => vec![View::Bits64, View::Bits32],
    })
}

fn presence(fields: &Fields<'_, '_>, errors: &mut Errors<'_>) -> Option<InRegistry> {
    let unfit =
        ["type", "default"].into_iter().chain(OPERATORS).find_map(|key| Some((key, fields.get(key)?)));
    if let Some((key, at)) = unfit {
        let problem = format!("`is` and `{key}` do not go together");
        errors.add(at.span(), problem, "ask whether it is there, or compare the value");
        return None;
    }
    let words = [("present", true), ("absent", false)];
    Some(if fields.word("is", &words, errors)? { InRegistry::Present } else { InRegistry::Absent })
}

fn compared(fields: &Fields<'_, '_>, errors: &mut Errors<'_>) -> Option<InRegistry> {
    if OPERATORS.iter().all(|operator| fields.get(operator).is_none()) {
        let hint = format!(
            "add `is = \"present\"`, `is = \"absent\"`, or `value`, `type` and one of {}",
            OPERATORS.join(", ")
        );
        errors.add(fields.span(), "nothing is expected", hint);
        return None;
    }
    fields.require("value", errors)?;
    let types = ValueType::ALL.map(|value_type| (value_type.as_str(), value_type));
    let value_type = fields.word("type", &types, errors);
    let expected = comparison(fields, errors);
    let (value_type, expected) = (value_type?, expected?);
    let operator = OPERATORS.iter().find_map(|operator| Some((*operator, fields.get(operator)?)))?;
    fits(value_type, &expected, operator, errors)?;
    let default = default(value_type, fields, errors)?;
    Some(InRegistry::Value { value_type, expected, default })
}

/// Whether values of this type can be compared so.
fn fits(
    value_type: ValueType,
    expected: &Comparison,
    (operator, at): (&str, &Value<'_>),
    errors: &mut Errors<'_>,
) -> Option<()> {
    let named = value_type.as_str();
    let is_listed = matches!(value_type, ValueType::MultiString | ValueType::Binary);
    let refusal = match expected {
        Comparison::Lt(_) | Comparison::Le(_) | Comparison::Gt(_) | Comparison::Ge(_) if is_listed => {
            Some((format!("a {named} has no order"), "use eq, one_of or matches"))
        }
        Comparison::Ne(_) if value_type == ValueType::MultiString => {
            let problem =
                "`ne` would hold for nearly every multi-string, as one of its texts is enough".into();
            Some((problem, "put `eq` below `not`"))
        }
        Comparison::Matches(_) if value_type.is_number() => {
            Some((format!("a {named} is no text"), "use eq, ne, lt, le, gt, ge or one_of"))
        }
        Comparison::Eq(_) | Comparison::Ne(_) | Comparison::OneOf(_) => {
            return words(operator, at, errors)?
                .iter()
                .map(|word| is_of_type(value_type, operator, word, errors))
                .collect();
        }
        _ => None,
    };
    let Some((problem, hint)) = refusal else { return Some(()) };
    errors.add(at.span(), problem, hint);
    None
}

fn words<'t, 'i>(operator: &str, value: &'t Value<'i>, errors: &mut Errors<'_>) -> Option<&'t [Value<'i>]> {
    if operator == "one_of" { list(operator, value, errors) } else { Some(std::slice::from_ref(value)) }
}

fn default(
    value_type: ValueType,
    fields: &Fields<'_, '_>,
    errors: &mut Errors<'_>,
) -> Option<Option<String>> {
    let Some(value) = fields.get("default") else { return Some(None) };
    is_of_type(value_type, "default", value, errors)?;
    Some(Some(super::scalar("default", value, errors)?))
}

/// A number is written without quotation marks, everything else between them.
fn is_of_type(value_type: ValueType, key: &str, value: &Value<'_>, errors: &mut Errors<'_>) -> Option<()> {
    let is_number = value.get_ref().as_integer().is_some();
    let is_hex = |text: &str| text.len().is_multiple_of(2) && text.bytes().all(|b| b.is_ascii_hexdigit());
    let hint = match value_type {
        ValueType::Dword | ValueType::Qword if !is_number => "write digits without quotation marks",
        ValueType::Dword | ValueType::Qword => return Some(()),
        _ if is_number => "put it between quotation marks",
        ValueType::Binary if !value.get_ref().as_str().is_some_and(is_hex) => {
            "write its bytes as pairs of hexadecimal digits"
        }
        _ => return Some(()),
    };
    let problem = format!("`{key}` is {}, which no {} is", kind(value.get_ref()), value_type.as_str());
    errors.add(value.span(), problem, hint);
    None
}
