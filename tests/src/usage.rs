//! What a running program takes, as the kernel counts it, and what its files do.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

/// `USER_HZ`, the same on every Linux for x86 and ARM.
const TICKS_A_SECOND: u64 = 100;

/// So far. Memory and files in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    pub resident: u64,
    /// Of that, its own share of what several programs have in memory (PSS).
    pub share: u64,
    /// The most that was ever resident.
    pub highest: u64,
    /// Sent to a disk.
    pub written: u64,
    /// Time of a processor.
    pub busy: Duration,
}

impl Usage {
    /// Of a process.
    ///
    /// # Errors
    /// It does not run.
    pub fn of(process: u32) -> Result<Self> {
        let number = |file: &str, field: &str| -> Result<u64> {
            let path = format!("/proc/{process}/{file}");
            let text = fs::read_to_string(&path).context(path)?;
            let line = text.lines().find_map(|line| line.strip_prefix(field)).context("a known field")?;
            Ok(line.split_whitespace().next().context("a number")?.parse()?)
        };
        // utime and stime, fields 14 and 15 of proc(5), hold threads that have ended too.
        let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
        let after_name = stat.rsplit_once(')').context("a name in brackets")?.1;
        let ticks =
            after_name.split_whitespace().skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
        Ok(Self {
            resident: number("status", "VmRSS:")? * 1024,
            share: number("smaps_rollup", "Pss:")? * 1024,
            highest: number("status", "VmHWM:")? * 1024,
            written: number("io", "write_bytes:")?,
            busy: Duration::from_millis(ticks * 1000 / TICKS_A_SECOND),
        })
    }
}

/// The bytes of all files below a folder. One that goes meanwhile counts for nothing.
///
/// # Errors
/// A folder cannot be read.
pub fn bytes_below(folder: &Path) -> io::Result<u64> {
    fs::read_dir(folder)?.try_fold(0, |sum, entry| {
        let entry = entry?;
        let below = match entry.file_type()?.is_dir() {
            true => bytes_below(&entry.path())?,
            false => entry.metadata().map_or(0, |metadata| metadata.len()),
        };
        Ok(sum + below)
    })
}
