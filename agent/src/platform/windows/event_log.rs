//! The log of a process without a console: errors go to the Application log of Windows, where administrators look;
//! the rest goes nowhere.
#![expect(unsafe_code, reason = "no safe crate writes to the event log")]

use std::io::{self, Write};
use std::os::windows::io::AsRawHandle;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;
use windows_sys::Win32::System::EventLog::{
    DeregisterEventSource, EVENTLOG_ERROR_TYPE, RegisterEventSourceW, ReportEventW,
};

use super::paths::wide;
use crate::platform::DISPLAY_NAME;

/// Its message is "%1": `EventCreate.exe`, a part of Windows, has that for numbers up to 1000.
const EVENT_ID: u32 = 1;
/// A text may have 31,839 characters.
const MAX_EVENT_BYTES: usize = 16 * 1024;

/// Set once the service manager has started this process.
static IS_SERVICE: AtomicBool = AtomicBool::new(false);

pub(super) fn become_service() {
    IS_SERVICE.store(true, Ordering::Relaxed);
}

/// Where the log goes.
#[must_use]
pub fn log_writer() -> LogWriter {
    LogWriter
}

/// Standard error, or the Application log where there is none.
pub struct LogWriter;

impl<'w> MakeWriter<'w> for LogWriter {
    type Writer = LogLine;

    fn make_writer(&'w self) -> LogLine {
        LogLine::Console(io::stderr())
    }

    fn make_writer_for(&'w self, line: &Metadata<'_>) -> LogLine {
        let is_service = IS_SERVICE.load(Ordering::Relaxed) || io::stderr().as_raw_handle().is_null();
        match *line.level() {
            Level::ERROR if is_service => LogLine::Event,
            _ if is_service => LogLine::Nowhere,
            _ => LogLine::Console(io::stderr()),
        }
    }
}

/// One line of the log. It is written in one piece.
pub enum LogLine {
    Console(io::Stderr),
    Event,
    Nowhere,
}

impl Write for LogLine {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self {
            Self::Console(console) => return console.write(line),
            Self::Event => report(&String::from_utf8_lossy(&line[..line.len().min(MAX_EVENT_BYTES)])),
            Self::Nowhere => {}
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Best effort: nobody could be told that the log cannot be written.
fn report(text: &str) {
    let source = wide(DISPLAY_NAME);
    // SAFETY: no server is named, and the source ends with a zero.
    let log = unsafe { RegisterEventSourceW(null(), source.as_ptr()) };
    if log.is_null() {
        return;
    }
    // A zero would end the text.
    let text = wide(text.trim_end().replace('\0', " "));
    let texts = [text.as_ptr()];
    // SAFETY: the log was just opened; one text, which ends with a zero, is given as one, and no data or user.
    unsafe { ReportEventW(log, EVENTLOG_ERROR_TYPE, 0, EVENT_ID, null_mut(), 1, 0, texts.as_ptr(), null()) };
    // SAFETY: it was opened above and is not used any more.
    unsafe { DeregisterEventSource(log) };
}
