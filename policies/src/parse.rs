//! Reads a policy from TOML and reports every mistake of the file at once, each with its place and a hint.

mod check;
mod condition;
mod fields;
mod probe;

use std::collections::BTreeSet;
use std::ops::Range;

use toml::de::DeTable;

use crate::defect::{Defects, Examiner};
use crate::digest::Digest;
use crate::ids::{EndpointKind, PolicyId};
use crate::parse::fields::Fields;
use crate::policy::Policy;
use crate::system::System;

/// The largest policy file that is accepted, in bytes.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;
/// The most checks one policy may have.
pub const MAX_CHECKS: usize = 500;

/// Reads one policy. `file` is its name as messages show it.
///
/// # Errors
/// Everything that is wrong with the text.
pub fn parse(file: &str, text: &str) -> Result<Policy, Defects> {
    let mut errors = Errors { text, examiner: Examiner::new(file, text), torn_lines: BTreeSet::new() };
    if text.len() > MAX_FILE_BYTES {
        let problem = format!("the file has {} bytes; at most {MAX_FILE_BYTES} are accepted", text.len());
        errors.add(0..0, problem, "split it into several policies");
        return Err(errors.examiner.fail());
    }
    let policy = read(text, &mut errors);
    // Where no policy came of it, a mistake was reported.
    errors.examiner.finish(policy)?.ok_or_else(|| Examiner::new(file, text).fail())
}

fn read(text: &str, errors: &mut Errors<'_>) -> Option<Policy> {
    let (table, syntax) = DeTable::parse_recoverable(text);
    for error in syntax {
        errors.add_syntax(&error);
    }
    let fields = Fields::of_table(
        table.get_ref(),
        0..0,
        "a policy",
        &["id", "kinds", "system", "title", "check"],
        errors,
    );
    let id = fields.parsed::<PolicyId>("id", errors);
    let kinds = fields.parsed_list::<EndpointKind>("kinds", errors);
    let system = match fields.get("system") {
        Some(_) => fields.parsed::<System>("system", errors).map(Some),
        None => Some(None),
    };
    let title = fields.text("title", errors);
    let checks = check::checks(&fields, errors);
    Some(Policy {
        id: id?,
        version: Digest::of(text.as_bytes()),
        kinds: kinds?,
        system: system?,
        title: title?,
        checks: checks?,
    })
}

/// Collects mistakes while a file is read on.
struct Errors<'t> {
    text: &'t str,
    examiner: Examiner<'t>,
    /// Lines that are no valid TOML.
    torn_lines: BTreeSet<usize>,
}

impl Errors<'_> {
    fn add(&mut self, span: Range<usize>, problem: impl Into<String>, remedy: impl Into<String>) {
        // What follows a mistake in the TOML of one line is most often its echo.
        if !self.torn_lines.contains(&self.line(&span)) {
            self.examiner.report(span, problem, remedy);
        }
    }

    fn add_syntax(&mut self, error: &toml::de::Error) {
        let line = self.line(&error.span().unwrap_or(0..0));
        if self.torn_lines.insert(line) {
            self.examiner.report_toml(error, "this is not valid TOML, see toml.io");
        }
    }

    fn line(&self, span: &Range<usize>) -> usize {
        self.text[..self.text.floor_char_boundary(span.start)].matches('\n').count()
    }

    /// Whether a part of the file was not understood: what seems to be missing may stand there.
    fn is_torn(&self) -> bool {
        !self.torn_lines.is_empty()
    }
}

#[cfg(test)]
mod tests;
