//! Looks at one file: its head decides whether it can be run, plain reads through a fixed buffer give its
//! digest. Never by mapping it into memory: a file that is cut while it is read would kill the process.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use wardwatch_policies::digest::Digest;
use wardwatch_policies::file::{FileKind, FileState};

use super::pace::Pacer;
use super::record::{Record, Stamp};
use crate::platform::{FileFacts, files};

/// How often a file is read again that changes while it is read.
const ATTEMPTS: usize = 3;
/// The reason when all attempts failed.
const CHANGES_WHILE_READ: &str = "changes while it is read";
/// The reason while another program keeps the file to itself.
const IN_USE: &str = "in use by another program";
const BUFFER_BYTES: usize = 128 * 1024;

/// Which files are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Those that can be run, and those that could when they were last seen.
    Binaries,
    AllFiles,
}

/// How far an earlier record is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// An equal stamp means equal content.
    Stamps,
    /// The same, but one in `of` files is read again, another share each `turn`: whoever can forge times
    /// is found within `of` turns.
    StampsButAShare { turn: u32, of: u32 },
    /// Everything is read again.
    Nothing,
}

impl Trust {
    fn covers(self, path: &Path) -> bool {
        match self {
            Self::Stamps => true,
            Self::StampsButAShare { turn, of } => {
                let digest = Digest::of(path.as_os_str().as_encoded_bytes());
                let [a, b, c, d, ..] = *digest.as_bytes();
                u32::from_le_bytes([a, b, c, d]) % of.max(1) != turn % of.max(1)
            }
            Self::Nothing => false,
        }
    }
}

/// What a look found.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    File(Record),
    /// Nothing there, or something that is no regular file.
    Gone,
    /// Told to stop before the answer was known.
    Stopped,
}

/// Looks at files one after the other, with one buffer.
pub struct Reader<'a> {
    pub interest: Interest,
    pub trust: Trust,
    file_systems: &'a HashMap<u64, Digest>,
    stop: &'a AtomicBool,
    pacer: Pacer,
    buffer: Vec<u8>,
}

enum Attempt {
    Done(Record),
    Changed,
    Stopped,
}

impl<'a> Reader<'a> {
    #[must_use]
    pub fn new(
        interest: Interest,
        trust: Trust,
        file_systems: &'a HashMap<u64, Digest>,
        stop: &'a AtomicBool,
        pacer: Pacer,
    ) -> Self {
        Self { interest, trust, file_systems, stop, pacer, buffer: vec![0; BUFFER_BYTES] }
    }

    /// Looks at `path`, reading its content only if `before` does not tell it.
    pub fn look(&mut self, path: &Path, before: Option<&Record>) -> Look {
        self.pacer.begin();
        let look = self.try_look(path, before).unwrap_or_else(|error| {
            // A path that is a link now is gone too: a walk passes over it as well.
            if files::is_gone(&error) {
                Look::Gone
            } else {
                Look::File(Record::Unreadable(reason_of(&error)))
            }
        });
        self.pacer.done(0);
        look
    }

    fn try_look(&mut self, path: &Path, before: Option<&Record>) -> io::Result<Look> {
        let Some(facts) = files::facts_at(path)? else { return Ok(Look::Gone) };
        if let Some(reason) = facts.away {
            return Ok(Look::File(Record::Unreadable(reason.into())));
        }
        if let Some(record) = before
            && self.trust.covers(path)
            && record.stamp() == Some(self.stamp(&facts))
            && (self.interest == Interest::Binaries || record.state().is_some())
        {
            return Ok(Look::File(record.clone()));
        }
        let was_of_interest = before.is_some_and(|record| record.state().is_some());
        for _ in 0..ATTEMPTS {
            let file = files::open(path)?;
            match self.read(&file, was_of_interest)? {
                Attempt::Done(record) => return Ok(Look::File(record)),
                Attempt::Stopped => return Ok(Look::Stopped),
                Attempt::Changed => {}
            }
        }
        Ok(Look::File(Record::Unreadable(CHANGES_WHILE_READ.into())))
    }

    fn read(&mut self, mut file: &File, was_of_interest: bool) -> io::Result<Attempt> {
        let Some(facts) = files::facts_of(file)? else { return Err(io::ErrorKind::NotFound.into()) };
        let stamp = self.stamp(&facts);
        let mut filled = read_up_to(file, &mut self.buffer[..FileKind::HEAD_BYTES])?;
        let kind = FileKind::of_head(&self.buffer[..filled]);
        if !kind.is_binary() && self.interest == Interest::Binaries && !was_of_interest {
            return Ok(Attempt::Done(Record::NotBinary { stamp }));
        }
        let mut hasher = blake3::Hasher::new();
        let mut size = 0;
        while filled > 0 {
            hasher.update(&self.buffer[..filled]);
            size += filled as u64;
            self.pacer.done(filled as u64);
            if self.stop.load(Ordering::Relaxed) {
                return Ok(Attempt::Stopped);
            }
            filled = loop {
                match file.read(&mut self.buffer) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    result => break result?,
                }
            };
        }
        if size != facts.size || files::facts_of(file)?.is_none_or(|facts| self.stamp(&facts) != stamp) {
            return Ok(Attempt::Changed);
        }
        let state =
            FileState { digest: hasher.finalize().into(), size, kind, mode: facts.mode, owner: facts.owner };
        Ok(Attempt::Done(Record::Hashed { stamp, state }))
    }

    fn stamp(&self, facts: &FileFacts) -> Stamp {
        Stamp::of(facts, self.file_systems.get(&facts.device))
    }
}

fn read_up_to(mut file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Whether a file that is unreadable for this reason is worth another look soon.
#[must_use]
pub fn passes_by_itself(reason: &str) -> bool {
    [CHANGES_WHILE_READ, IN_USE].contains(&reason)
}

/// The reason of an I/O error in English, whatever language the system speaks.
#[must_use]
pub fn reason_of(error: &io::Error) -> String {
    if files::is_in_use(error) {
        return IN_USE.into();
    }
    match error.kind() {
        io::ErrorKind::PermissionDenied => "permission denied".into(),
        io::ErrorKind::InvalidFilename => "the path is too long to be opened".into(),
        io::ErrorKind::NotFound => "not found".into(),
        kind => match error.raw_os_error() {
            Some(code) => format!("{kind} (error {code})"),
            None => kind.to_string(),
        },
    }
}
