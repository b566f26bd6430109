//! Keeps evidence small: so many entries a check, so many bytes each.

use crate::foreign::shorten_to_bytes;
use crate::verdict::Evidence;

const MAX_ENTRIES: usize = 12;
const MAX_FIELD_BYTES: usize = 200;
pub(super) const MAX_REASON_BYTES: usize = 400;

/// At most [`MAX_ENTRIES`] entries of at most [`MAX_FIELD_BYTES`] a field; the last one says what was left out.
pub(super) fn bounded(mut evidence: Vec<Evidence>) -> Vec<Evidence> {
    let total = evidence.len();
    if total > MAX_ENTRIES {
        evidence.truncate(MAX_ENTRIES - 1);
        evidence.push(Evidence {
            subject: format!("{} more", total - evidence.len()),
            expected: "see the policy".into(),
            found: "left out to keep the report small".into(),
        });
    }
    for entry in &mut evidence {
        for field in [&mut entry.subject, &mut entry.expected, &mut entry.found] {
            *field = shorten_to_bytes(field, MAX_FIELD_BYTES);
        }
    }
    evidence
}

/// Up to eight names, and how many more there are.
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 8;
    let names: Vec<_> = names.into_iter().collect();
    let shown = names.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(SHOWN) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}
