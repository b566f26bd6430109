//! One pass over everything below the roots, and what is told once it is complete.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use wardwatch_policies::digest::Digest;
use wardwatch_policies::file::{Coverage, Watch};
use wardwatch_policies::path::EndpointPath;
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::report::Body;

use super::{Files, RETRY};
use crate::platform::{self, Notice, files};
use crate::random;
use crate::sensor::binaries::content::{Interest, Trust, passes_by_itself};
use crate::sensor::binaries::ground::{Fences, Roots};
use crate::sensor::binaries::record::Record;
use crate::sensor::binaries::sweep::{End, Found, Sweep};

const MARK_INVENTORY: &str = "inventory";
const MARK_COVERAGE: &str = "coverage";
/// During a sweep, changes are heard so often.
const ATTEND_EVERY: Duration = Duration::from_millis(100);
/// Every file is read again once in so many sweeps, whatever its times say.
pub(super) const SHARES: u32 = 28;

/// What a sweep saw below each root.
pub(super) type Tally = BTreeMap<PathBuf, Seen>;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    hashed: u64,
    unreadable: u64,
}

impl Files {
    /// Looks at everything below the roots and tells what is not as it was.
    pub(super) fn sweep_all(&mut self, trust: Trust) {
        let asked: Vec<_> = self.settings.roots.iter().chain(&self.settings.always).cloned().collect();
        self.roots = Roots::resolve(&asked).0;
        self.fences = Fences::of_this_machine(&self.settings.exclude);
        self.file_systems = platform::file_system_ids();
        self.skipped.clear();
        self.watching.begin(&self.roots);
        let started = self.clock.wall();
        let blind_since = self.blind_since.take();
        tracing::info!("scan begins");
        self.board.update(|status| status.scan.running = true);
        let roots = self.roots.clone();
        let (end, tally) = self.sweep(&roots, trust);
        self.board.update(|status| status.scan.running = false);
        if end == End::Stopped {
            return;
        }
        self.tell_of_gone(b"");
        self.sweeps = self.sweeps.wrapping_add(1);
        self.next_sweep = Instant::now() + random::jittered(self.settings.rescan);
        let files = tally.values().map(|seen| seen.hashed).sum();
        let coverage = self.coverage(&tally);
        tracing::info!(files, watched_folders = self.watching.len(), "scan ends");
        self.board.update(|status| {
            status.scan.last = Some(started);
            status.scan.files = files;
            status.coverage.clone_from(&coverage);
        });
        self.conclude(files, coverage, blind_since);
    }

    /// Sweeps `roots`, hearing of changes meanwhile.
    pub(super) fn sweep(&mut self, roots: &Roots, trust: Trust) -> (End, Tally) {
        let mut tally = Tally::new();
        let (fences, file_systems) = (self.fences.clone(), self.file_systems.clone());
        let (stop, watching) = (Arc::clone(&self.stop), Arc::clone(&self.watching));
        let (cache, always, all_roots) =
            (self.teller.cache(), self.settings.always.clone(), self.roots.clone());
        let sweep = Sweep {
            roots,
            fences: &fences,
            file_systems: &file_systems,
            interest: Interest::Binaries,
            always: &always,
            trust,
            pace: self.settings.pace,
            readers: 1,
            enter: &|folder| watching.enter(&all_roots, folder),
            stop: &stop,
        };
        let remembered = |path: &Path| cache.get(platform::endpoint_path(path).ok()?.as_bytes()).ok()?;
        self.depth += 1;
        let mut attended = Instant::now();
        let end = sweep.run::<std::convert::Infallible>(&remembered, &mut |found| {
            self.receive(found, &mut tally);
            if attended.elapsed() >= ATTEND_EVERY {
                self.attend();
                attended = Instant::now();
            }
            Ok(())
        });
        self.depth -= 1;
        (end.unwrap_or(End::Stopped), tally)
    }

    fn receive(&mut self, found: Found, tally: &mut Tally) {
        match found {
            Found::Nothing => {}
            Found::Skipped(folder, reason) => {
                self.skipped.insert(folder, reason);
            }
            Found::UnreadableFolder(folder, reason) => {
                tracing::debug!(folder = %folder.display(), reason, "a folder cannot be read");
                self.seen_below(tally, &folder).unreadable += 1;
            }
            Found::File { path: local, before, now } => {
                let seen = self.seen_below(tally, &local);
                match &now {
                    Record::Hashed { .. } => seen.hashed += 1,
                    Record::Unreadable(_) => seen.unreadable += 1,
                    Record::NotBinary { .. } => {}
                }
                if before.as_ref() == Some(&now) {
                    return;
                }
                // Whoever writes or holds it will soon be done: then it is looked at once more.
                if let Record::Unreadable(reason) = &now
                    && passes_by_itself(reason)
                    && self.dirty.again(&local, Instant::now())
                {
                    return;
                }
                let Ok(path) = platform::endpoint_path(&local) else { return };
                if self.teller.remembered(&path) == before {
                    self.saw(path, before.as_ref(), Some(now));
                } else {
                    // It changed again since the sweep read it, and that was told already.
                    self.dirty.note(Notice::File(local), Instant::now());
                }
            }
        }
    }

    fn seen_below<'a>(&self, tally: &'a mut Tally, path: &Path) -> &'a mut Seen {
        let root = self.roots.of(path).unwrap_or(path);
        tally.entry(root.to_owned()).or_default()
    }

    /// Tells of files that were told of and are no longer there.
    pub(super) fn tell_of_gone(&mut self, prefix: &[u8]) {
        let cache = self.teller.cache();
        let walked = cache.for_each(prefix, |path, record| {
            let Ok(path) = EndpointPath::from_bytes(path) else { return true };
            let local = platform::local_path(&path);
            if self.is_looked_at(&local)
                && is_gone(&local)
                && self.teller.remembered(&path).as_ref() == Some(&record)
            {
                self.saw(path, Some(&record), None);
            }
            !self.stopped()
        });
        if let Err(error) = walked {
            tracing::warn!("{error}; files that are gone are found by the next scan");
        }
    }

    fn coverage(&self, tally: &Tally) -> Vec<Coverage> {
        let covered = self.roots.as_slice().iter().filter_map(|root| {
            let seen = tally.get(root).cloned().unwrap_or_default();
            Some(Coverage {
                root: platform::endpoint_path(root).ok()?,
                watch: self.watching.below(root),
                hashed_files: seen.hashed,
                unreadable: seen.unreadable,
            })
        });
        let skipped = self.skipped.iter().filter_map(|(root, reason)| {
            Some(Coverage {
                root: platform::endpoint_path(root).ok()?,
                watch: Watch::Skipped(reason.clone()),
                hashed_files: 0,
                unreadable: 0,
            })
        });
        covered.chain(skipped).collect()
    }

    /// Tells what is known only once a sweep is complete.
    fn conclude(&mut self, files: u64, coverage: Vec<Coverage>, blind_since: Option<UnixMillis>) {
        self.flush_for_sure();
        let mut bodies = Vec::new();
        let mut marks = Vec::new();
        let inventory = Digest::of(&self.teller.stream().0);
        if self.outbox.mark(MARK_INVENTORY).ok().flatten() != Some(inventory) {
            bodies.push(Body::InventoryComplete { files });
            marks.push((MARK_INVENTORY.to_owned(), inventory));
        }
        let shape: Vec<_> = coverage.iter().map(|part| (&part.root, &part.watch, part.unreadable)).collect();
        let digest = Digest::of(&serde_json::to_vec(&shape).unwrap_or_default());
        if self.outbox.mark(MARK_COVERAGE).ok().flatten() != Some(digest) {
            bodies.push(Body::Coverage(coverage));
            marks.push((MARK_COVERAGE.to_owned(), digest));
        }
        if let Some(from) = blind_since {
            let to = self.clock.wall();
            bodies.extend(self.roots.as_slice().iter().filter_map(|root| {
                let root = platform::endpoint_path(root).ok()?;
                Some(Body::Blind { root, from, to, reason: "the system dropped notices of changes".into() })
            }));
        }
        while !bodies.is_empty() && !self.stopped() {
            match self.outbox.append(self.teller.stream(), bodies.clone(), &marks) {
                Ok(()) => return,
                Err(error) if error.is_passing() => {
                    tracing::debug!("{error}");
                    self.doze(RETRY);
                }
                Err(error) => return tracing::warn!("what a scan concluded is not told: {error}"),
            }
        }
    }
}

fn is_gone(path: &Path) -> bool {
    match files::facts_at(path) {
        Ok(facts) => facts.is_none(),
        Err(error) => files::is_gone(&error),
    }
}
