//! Reads the checks of a policy.

use std::collections::BTreeMap;

use super::condition;
use super::fields::{Fields, Value, kind};
use super::{Errors, MAX_CHECKS};
use crate::ids::CheckId;
use crate::policy::Check;
use crate::severity::Severity;

const KEYS: [&str; 8] = ["id", "severity", "title", "why", "remedy", "source", "applies_if", "condition"];

pub(super) fn checks(policy: &Fields<'_, '_>, errors: &mut Errors<'_>) -> Option<Vec<Check>> {
    let value = policy.require("check", errors)?;
    let Some(array) = value.get_ref().as_array() else {
        let problem = format!("`check` is a list of tables, not {}", kind(value.get_ref()));
        errors.add(value.span(), problem, "begin each check with `[[check]]`");
        return None;
    };
    if array.len() > MAX_CHECKS {
        let problem = format!("the policy has {} checks; at most {MAX_CHECKS} are accepted", array.len());
        errors.add(value.span(), problem, "split it into several policies");
        return None;
    }
    let read: Vec<_> = array.iter().map(|value| check(value, errors)).collect();
    report_duplicates(array, errors);
    read.into_iter().collect()
}

fn check(value: &Value<'_>, errors: &mut Errors<'_>) -> Option<Check> {
    let fields = Fields::of_value(value, "a check", &KEYS, errors)?;
    let id = fields.parsed::<CheckId>("id", errors);
    let severity = fields.parsed::<Severity>("severity", errors);
    let title = fields.text("title", errors);
    let why = fields.text("why", errors);
    let remedy = fields.text("remedy", errors);
    let source = fields.string_list("source", errors);
    let applies_if = fields.get("applies_if").map(|value| condition::condition(value, 0, errors));
    let condition =
        fields.require("condition", errors).and_then(|value| condition::condition(value, 0, errors));
    let applies_if = match applies_if {
        Some(None) => return None,
        Some(read) => read,
        None => None,
    };
    Some(Check {
        id: id?,
        severity: severity?,
        title: title?,
        why: why?,
        remedy: remedy?,
        source: source?,
        applies_if,
        condition: condition?,
    })
}

fn report_duplicates(checks: &[Value<'_>], errors: &mut Errors<'_>) {
    let mut first = BTreeMap::new();
    for id in checks.iter().filter_map(|check| check.get_ref().as_table()?.get("id")) {
        let Some(name) = id.get_ref().as_str() else { continue };
        if first.insert(name, ()).is_some() {
            errors.add(
                id.span(),
                format!("a check `{name}` stands above already"),
                "give each check its own id",
            );
        }
    }
}
