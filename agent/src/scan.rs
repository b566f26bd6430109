//! The command `scan`: hashes what lies below some paths, keeps a baseline, compares with one. It needs no
//! collector and no state.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail};
use wardwatch_policies::path::EndpointPath;

use crate::cache::Cache;
use crate::form::Form;
use crate::platform;
use crate::sensor::binaries::content::{Interest, Look, Reader, Trust};
use crate::sensor::binaries::ground::{Fences, Roots};
use crate::sensor::binaries::pace::{Pace, Pacer};
use crate::sensor::binaries::record::Record;
use crate::sensor::binaries::sweep::{End, Found, Sweep};

mod listing;
mod progress;

use listing::{Change, Listing, Mode};
use progress::Progress;

/// Whether the baseline was taken of all files.
const NOTE_ALL_FILES: &str = "all-files";
/// Records that are written to a baseline at a time.
const BATCH: usize = 4096;

/// What a person asked for.
pub struct Request {
    pub paths: Vec<PathBuf>,
    pub save: Option<PathBuf>,
    pub baseline: Option<PathBuf>,
    pub all_files: bool,
    pub full_speed: bool,
    pub threads: usize,
    pub form: Form,
}

/// How a scan ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All was looked at; with a baseline: nothing changed.
    Done,
    /// Something differs from the baseline.
    Changed,
    /// A person stopped it; what was printed is true but not all.
    Stopped,
}

/// Runs a scan and prints to `out` what it finds.
///
/// # Errors
/// A path that cannot be found, a baseline that cannot be read or written, or output that cannot be written.
pub fn run(request: &Request, out: &mut dyn Write, stop: &AtomicBool) -> Result<Outcome> {
    let roots = resolve(&request.paths)?;
    let baseline = request.baseline.as_deref().map(open_baseline).transpose()?;
    let save = request.save.as_deref().map(Save::begin).transpose()?;
    let all_files = request.all_files
        || match &baseline {
            Some(baseline) => baseline.note(NOTE_ALL_FILES)?.is_some(),
            None => false,
        };
    let mut listing =
        Listing::begin(request.form, if baseline.is_some() { Mode::Changes } else { Mode::Files }, out)?;
    let mut scan =
        Scan { listing: &mut listing, save, progress: Progress::start(), comparing: baseline.is_some() };
    let file_systems = platform::file_system_ids();
    let sweep = Sweep {
        roots: &roots,
        fences: &Fences::of_this_machine(&[]),
        file_systems: &file_systems,
        interest: if all_files { Interest::AllFiles } else { Interest::Binaries },
        always: &[],
        trust: Trust::Stamps,
        pace: if request.full_speed { Pace::FullSpeed } else { Pace::GENTLE },
        readers: request.threads,
        enter: &|_| {},
        stop,
    };
    let remembered = |path: &Path| {
        let path = platform::endpoint_path(path).ok()?;
        baseline.as_ref()?.get(path.as_bytes()).ok()?
    };
    let end = sweep.run(&remembered, &mut |found| scan.receive(found))?;
    if let (End::Complete, Some(baseline)) = (end, &baseline) {
        scan.find_removed(baseline, &sweep)?;
    }
    scan.progress.finish();
    let save = scan.save.take();
    let changed = listing.finish()?;
    match (end, save) {
        (End::Stopped, _) => return Ok(Outcome::Stopped),
        (End::Complete, Some(save)) => save.finish(all_files)?,
        (End::Complete, None) => {}
    }
    Ok(if changed { Outcome::Changed } else { Outcome::Done })
}

fn resolve(paths: &[PathBuf]) -> Result<Roots> {
    let (roots, failed) = Roots::resolve(paths);
    if let Some((path, error)) = failed.first() {
        bail!("{} cannot be looked at: {error}; nothing was scanned; check the path", path.display());
    }
    Ok(roots)
}

fn open_baseline(path: &Path) -> Result<Cache> {
    Cache::open_existing(path).with_context(|| {
        format!(
            "the baseline {} cannot be compared with; give a file that `scan --save` wrote",
            path.display()
        )
    })
}

struct Scan<'a, 'b> {
    listing: &'a mut Listing<'b>,
    save: Option<Save>,
    progress: Progress,
    comparing: bool,
}

impl Scan<'_, '_> {
    fn receive(&mut self, found: Found) -> Result<()> {
        match found {
            Found::Nothing => {}
            Found::Skipped(path, reason) => tracing::warn!(path = %shown(&path)?, reason, "not entered"),
            Found::UnreadableFolder(path, reason) => self.listing.unreadable(shown(&path)?, reason),
            Found::File { path, before, now } => {
                self.progress.file(now.state().map_or(0, |state| state.size));
                let path = shown(&path)?;
                if let Some(save) = &mut self.save {
                    save.add(path.clone(), now.clone())?;
                }
                self.tell(path, before.as_ref(), &now)?;
            }
        }
        Ok(())
    }

    fn tell(&mut self, path: EndpointPath, before: Option<&Record>, now: &Record) -> io::Result<()> {
        if let Record::Unreadable(reason) = now {
            self.listing.unreadable(path, reason.clone());
            return Ok(());
        }
        let Some(state) = now.state() else { return Ok(()) };
        if !self.comparing {
            return self.listing.file(&path, state);
        }
        match before.map(Record::state) {
            // What could not be read then is not called new now: its content then is unknown.
            Some(None) if matches!(before, Some(Record::Unreadable(_))) => {
                self.listing.unreadable(path, "could not be read when the baseline was saved".into());
                Ok(())
            }
            Some(Some(old)) if old.digest == state.digest => Ok(()),
            Some(Some(old)) => {
                self.listing.change(&path, Change::Changed, Some(old.digest), Some(state.digest))
            }
            Some(None) | None => self.listing.change(&path, Change::Added, None, Some(state.digest)),
        }
    }

    /// What the baseline has below the scanned paths and is no longer there.
    fn find_removed(&mut self, baseline: &Cache, sweep: &Sweep<'_>) -> Result<()> {
        let mut reader = Reader::new(
            Interest::Binaries,
            Trust::Stamps,
            sweep.file_systems,
            sweep.stop,
            Pacer::new(sweep.pace),
        );
        let mut result = Ok(());
        baseline.for_each(b"", |path, record| {
            let Some(state) = record.state() else { return true };
            let Ok(path) = EndpointPath::from_bytes(path) else { return true };
            let local = platform::local_path(&path);
            if sweep.roots.of(&local).is_none() || sweep.fences.around(&local).is_some() {
                return true;
            }
            if reader.look(&local, Some(&record)) == Look::Gone {
                result = self.listing.change(&path, Change::Removed, Some(state.digest), None);
            }
            result.is_ok()
        })?;
        Ok(result?)
    }
}

fn shown(path: &Path) -> Result<EndpointPath> {
    platform::endpoint_path(path).context("a path that cannot be told")
}

/// A baseline on its way: written beside its place and moved there when it is whole.
struct Save {
    place: PathBuf,
    draft: PathBuf,
    cache: Cache,
    batch: Vec<(EndpointPath, Record)>,
}

impl Save {
    fn begin(place: &Path) -> Result<Self> {
        let mut draft = place.as_os_str().to_owned();
        draft.push(".part");
        let draft = PathBuf::from(draft);
        let explain = || {
            format!("the baseline cannot be saved to {}; choose a folder you may write to", place.display())
        };
        match std::fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(explain);
            }
            _ => {}
        }
        let cache = Cache::open(&draft).with_context(explain)?;
        Ok(Self { place: place.to_owned(), draft, cache, batch: Vec::new() })
    }

    fn add(&mut self, path: EndpointPath, record: Record) -> Result<()> {
        self.batch.push((path, record));
        if self.batch.len() >= BATCH {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let records = self.batch.iter().map(|(path, record)| (path.as_bytes(), Some(record)));
        self.cache.put(records, None)?;
        self.batch.clear();
        Ok(())
    }

    fn finish(mut self, all_files: bool) -> Result<()> {
        self.flush()?;
        if all_files {
            self.cache.set_note(NOTE_ALL_FILES, &[])?;
        }
        let Self { place, draft, cache, .. } = self;
        drop(cache);
        std::fs::rename(&draft, &place)
            .with_context(|| format!("the baseline cannot be moved to {}", place.display()))
    }
}
