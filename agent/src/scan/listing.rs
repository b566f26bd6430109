//! What `scan` prints: a table for a person or one JSON object for a program, written as it is found.

use std::io::{self, Write};

use serde::Serialize;
use wardwatch_policies::digest::Digest;
use wardwatch_policies::file::{FileKind, FileState};
use wardwatch_policies::path::EndpointPath;

use crate::form::Form;

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Files,
    Changes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Change {
    Added,
    Changed,
    Removed,
}

#[derive(Serialize)]
struct FileLine<'a> {
    path: &'a EndpointPath,
    blake3: Digest,
    size: u64,
    kind: FileKind,
}

#[derive(Serialize)]
struct ChangeLine<'a> {
    path: &'a EndpointPath,
    change: Change,
    old: Option<Digest>,
    new: Option<Digest>,
}

#[derive(Serialize)]
struct UnreadableLine {
    path: EndpointPath,
    reason: String,
}

/// A listing that is being written.
pub(super) struct Listing<'a> {
    form: Form,
    mode: Mode,
    out: &'a mut dyn Write,
    lines: u64,
    unreadable: Vec<UnreadableLine>,
}

impl<'a> Listing<'a> {
    pub(super) fn begin(form: Form, mode: Mode, out: &'a mut dyn Write) -> io::Result<Self> {
        if form == Form::Json {
            let name = match mode {
                Mode::Files => "files",
                Mode::Changes => "changes",
            };
            write!(out, "{{\"{name}\":[")?;
        }
        Ok(Self { form, mode, out, lines: 0, unreadable: Vec::new() })
    }

    pub(super) fn file(&mut self, path: &EndpointPath, state: &FileState) -> io::Result<()> {
        match self.form {
            Form::Json => {
                self.json(&FileLine { path, blake3: state.digest, size: state.size, kind: state.kind })
            }
            Form::Table => {
                self.lines += 1;
                let kind = state.kind.as_str();
                writeln!(self.out, "{}  {kind:<6}  {:>12}  {path}", state.digest, state.size)
            }
        }
    }

    pub(super) fn change(
        &mut self,
        path: &EndpointPath,
        change: Change,
        old: Option<Digest>,
        new: Option<Digest>,
    ) -> io::Result<()> {
        match self.form {
            Form::Json => self.json(&ChangeLine { path, change, old, new }),
            Form::Table => {
                self.lines += 1;
                let change = match change {
                    Change::Added => "added",
                    Change::Changed => "changed",
                    Change::Removed => "removed",
                };
                writeln!(self.out, "{change:<8} {path}")?;
                for (when, digest) in [("old", old), ("new", new)] {
                    if let Some(digest) = digest {
                        writeln!(self.out, "         {when} {digest}")?;
                    }
                }
                Ok(())
            }
        }
    }

    /// Kept until the end: in JSON it is a list of its own.
    pub(super) fn unreadable(&mut self, path: EndpointPath, reason: String) {
        self.unreadable.push(UnreadableLine { path, reason });
    }

    /// Says whether any change was listed.
    pub(super) fn finish(self) -> io::Result<bool> {
        match self.form {
            Form::Json => {
                write!(self.out, "],\"unreadable\":")?;
                serde_json::to_writer(&mut *self.out, &self.unreadable)?;
                writeln!(self.out, "}}")?;
            }
            Form::Table => {
                for line in &self.unreadable {
                    writeln!(self.out, "unreadable  {}: {}", line.path, line.reason)?;
                }
                let what = match self.mode {
                    Mode::Files => "files",
                    Mode::Changes => "changes",
                };
                writeln!(self.out, "{} {what}, {} unreadable", self.lines, self.unreadable.len())?;
            }
        }
        self.out.flush()?;
        Ok(self.mode == Mode::Changes && self.lines > 0)
    }

    fn json(&mut self, line: &impl Serialize) -> io::Result<()> {
        if self.lines > 0 {
            self.out.write_all(b",")?;
        }
        self.lines += 1;
        self.out.write_all(b"\n")?;
        Ok(serde_json::to_writer(&mut *self.out, line)?)
    }
}
