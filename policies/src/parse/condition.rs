//! Reads a tree of conditions, to a bounded depth.

use super::Errors;
use super::fields::{Fields, Value, kind, list};
use super::probe;
use crate::policy::Condition;

/// How deep conditions may stand in each other.
const MAX_DEPTH: usize = 8;
const FORMS: [&str; 5] = ["all", "any", "none", "not", "probe"];

pub(super) fn condition(value: &Value<'_>, depth: usize, errors: &mut Errors<'_>) -> Option<Condition> {
    let Some(table) = value.get_ref().as_table() else {
        let problem = format!("a condition is a table, not {}", kind(value.get_ref()));
        errors.add(value.span(), problem, "write `{ probe = \"…\", … }` or `{ all = [ … ] }`");
        return None;
    };
    if depth >= MAX_DEPTH {
        errors.add(value.span(), format!("conditions stand more than {MAX_DEPTH} deep"), "split the check");
        return None;
    }
    if table.contains_key("probe") {
        return probe::probe(value, errors).map(Condition::Probe);
    }
    let fields = Fields::of_value(value, "a condition", &FORMS, errors)?;
    let mut forms = FORMS.iter().filter(|form| fields.get(form).is_some());
    let Some(form) = forms.next() else {
        errors.add(value.span(), "a condition says nothing", format!("write one of {}", FORMS.join(", ")));
        return None;
    };
    if let Some(second) = forms.next() {
        let problem = format!("a condition has both `{form}` and `{second}`");
        errors.add(value.span(), problem, "put one inside the other");
        return None;
    }
    let inner = fields.get(form)?;
    if *form == "not" {
        return condition(inner, depth + 1, errors).map(|inner| Condition::Not(Box::new(inner)));
    }
    let read: Vec<_> =
        list(form, inner, errors)?.iter().map(|item| condition(item, depth + 1, errors)).collect();
    let branches: Vec<_> = read.into_iter().collect::<Option<_>>()?;
    Some(match *form {
        "all" => Condition::All(branches),
        "any" => Condition::Any(branches),
        _ => Condition::None(branches),
    })
}
