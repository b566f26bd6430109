//! Reads a policy from TOML and reports every mistake of the file at once, each with its place and a hint.

mod check;
mod condition;
mod fields;
mod probe;

use std::fmt;
use std::ops::Range;

use toml::de::DeTable;

use crate::digest::Digest;
use crate::ids::{EndpointKind, PolicyId};
use crate::parse::fields::Fields;
use crate::policy::Policy;

/// The largest policy file that is accepted, in bytes.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;
/// The most checks one policy may have.
pub const MAX_CHECKS: usize = 500;

/// Reads one policy. `file` is its name as messages show it.
///
/// # Errors
/// Everything that is wrong with the text.
pub fn parse(file: &str, text: &str) -> Result<Policy, ParseErrors> {
    let mut errors = Errors { text, list: Vec::new(), is_torn: false };
    let policy = if text.len() > MAX_FILE_BYTES {
        let problem = format!("the file has {} bytes; at most {MAX_FILE_BYTES} are accepted", text.len());
        errors.add(0..0, problem, "split it into several policies");
        None
    } else {
        read(text, &mut errors)
    };
    match policy {
        Some(policy) if errors.list.is_empty() => Ok(policy),
        _ => {
            errors.list.sort_by_key(|error| (error.line, error.column));
            Err(ParseErrors { file: file.to_owned(), errors: errors.list })
        }
    }
}

fn read(text: &str, errors: &mut Errors<'_>) -> Option<Policy> {
    let (table, syntax) = DeTable::parse_recoverable(text);
    for error in syntax {
        errors.is_torn = true;
        let span = error.span().unwrap_or(0..0);
        errors.add(span, error.message().to_owned(), "this is not valid TOML; see toml.io");
    }
    let fields =
        Fields::of_table(table.get_ref(), 0..0, "a policy", &["id", "kinds", "title", "check"], errors);
    let id = fields.parsed::<PolicyId>("id", errors);
    let kinds = fields.parsed_list::<EndpointKind>("kinds", errors);
    let title = fields.text("title", errors);
    let checks = check::checks(&fields, errors);
    Some(Policy {
        id: id?,
        version: Digest::of(text.as_bytes()),
        kinds: kinds?,
        title: title?,
        checks: checks?,
    })
}

/// Collects mistakes while a file is read on.
struct Errors<'t> {
    text: &'t str,
    list: Vec<ParseError>,
    /// The file is not valid TOML: what seems to be missing may stand in the part that was not understood.
    is_torn: bool,
}

impl Errors<'_> {
    fn add(&mut self, span: Range<usize>, problem: impl Into<String>, hint: impl Into<String>) {
        let before = &self.text[..self.text.floor_char_boundary(span.start)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        // What follows a mistake in the TOML of one line is most often its echo.
        if self.is_torn && self.list.iter().any(|error| error.line == line) {
            return;
        }
        self.list.push(ParseError {
            line,
            column: before[line_start..].chars().count() + 1,
            problem: problem.into(),
            hint: hint.into(),
        });
    }
}

/// One mistake of a policy file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    pub problem: String,
    pub hint: String,
}

/// All mistakes of one policy file, in the order of their places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseErrors {
    pub file: String,
    pub errors: Vec<ParseError>,
}

impl fmt::Display for ParseErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, ParseError { line, column, problem, hint }) in self.errors.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:{line}:{column}: {problem}\n    {hint}", self.file)?;
        }
        Ok(())
    }
}

impl std::error::Error for ParseErrors {}

#[cfg(test)]
mod tests;
