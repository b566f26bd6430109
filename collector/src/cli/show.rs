//! Lists and objects, as tables for people or JSON for programs.

use std::io::{self, Write};

use serde_json::Value;

use super::Output;

/// Columns that hold more are cut in a table, never in JSON.
const MAX_WIDTH: usize = 60;

/// Prints rows. `columns` are a heading and a JSON pointer each.
pub(super) fn list(output: Output, rows: &Value, columns: &[(&str, &str)], empty: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if output == Output::Json {
        return writeln!(out, "{rows:#}");
    }
    let rows = rows.as_array().map_or(&[][..], Vec::as_slice);
    if rows.is_empty() {
        return writeln!(out, "{empty}");
    }
    let headings: Vec<String> = columns.iter().map(|(heading, _)| (*heading).to_owned()).collect();
    let cells = rows
        .iter()
        .map(|row| columns.iter().map(|(_, pointer)| cell(row.pointer(pointer))).collect::<Vec<_>>());
    let table: Vec<Vec<String>> = std::iter::once(headings).chain(cells).collect();
    let widths: Vec<usize> = (0..columns.len())
        .map(|column| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    for row in table {
        let line: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        writeln!(out, "{}", line.join("  ").trim_end())?;
    }
    Ok(())
}

/// Prints one object: every field on a line of its own, nested ones indented.
pub(super) fn object(output: Output, object: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if output == Output::Json {
        return writeln!(out, "{object:#}");
    }
    fields(&mut out, object, 0)
}

fn fields(out: &mut impl Write, value: &Value, depth: usize) -> io::Result<()> {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields_of) => {
            for (name, field) in fields_of {
                match field {
                    Value::Null => {}
                    Value::Object(inner) if !inner.is_empty() => {
                        writeln!(out, "{indent}{name}:")?;
                        fields(out, field, depth + 1)?;
                    }
                    Value::Array(items) if items.iter().any(Value::is_object) => {
                        writeln!(out, "{indent}{name}:")?;
                        for item in items {
                            writeln!(out, "{indent}  -")?;
                            fields(out, item, depth + 2)?;
                        }
                    }
                    _ => writeln!(out, "{indent}{name}: {}", plain(field))?,
                }
            }
            Ok(())
        }
        other => writeln!(out, "{indent}{}", plain(other)),
    }
}

fn cell(value: Option<&Value>) -> String {
    let text = value.map_or_else(String::new, plain);
    if text.chars().count() <= MAX_WIDTH {
        return text;
    }
    text.chars().take(MAX_WIDTH - 1).chain(['…']).collect()
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.replace(char::is_control, " "),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
