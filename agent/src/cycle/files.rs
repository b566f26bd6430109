//! The thread that knows the files: sweeps all of them now and then, hears of changes in between, and tells
//! what it saw. Changes are heard and told during a sweep as well.

use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::file::{Coverage, Watch};
use wardwatch_policies::path::EndpointPath;
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::report::Body;

use super::teller::Teller;
use crate::cache::Cache;
use crate::clock::Clock;
use crate::config::FileSettings;
use crate::outbox::Outbox;
use crate::platform;
use crate::random;
use crate::sensor::binaries::content::{CHANGES_WHILE_READ, Interest, Look, Reader, Trust};
use crate::sensor::binaries::ground::{Fences, Roots};
use crate::sensor::binaries::pace::{Pace, Pacer};
use crate::sensor::binaries::record::Record;
use crate::sensor::binaries::sweep::{End, Found, Sweep};
use crate::sensor::binaries::watch::Notice;
use crate::status::Board;

mod dirty;
#[cfg(test)]
mod tests;
mod watching;

use dirty::Dirty;
use watching::Watching;

const MARK_INVENTORY: &str = "inventory";
const MARK_COVERAGE: &str = "coverage";
/// After a write that failed, the next is tried after so long.
const RETRY: Duration = Duration::from_secs(2);
/// The thread looks around at least so often.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// How long a stop waits for the thread.
const STOP_PATIENCE: Duration = Duration::from_secs(1);
/// During a sweep, changes are heard so often.
const ATTEND_EVERY: Duration = Duration::from_millis(100);
/// Every file is read again once in so many sweeps, whatever its times say.
const SHARES: u32 = 28;

/// What the thread is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Look at everything again, trusting no stamp.
    Rescan,
    /// A new stream has begun: tell everything again.
    StartOver,
}

/// The running thread.
pub(super) struct FilesThread {
    orders: Sender<Order>,
    wake: Arc<OwnedFd>,
    stop: Arc<AtomicBool>,
    /// Ends when the thread ends.
    ended: Receiver<()>,
    /// Kept so that a thread that panicked is noticed.
    thread: Option<JoinHandle<()>>,
}

/// What the thread needs.
pub(super) struct Parts {
    pub(super) settings: FileSettings,
    pub(super) outbox: Arc<Outbox>,
    pub(super) cache: Cache,
    pub(super) clock: Clock,
    pub(super) board: Board,
}

impl FilesThread {
    pub(super) fn start(parts: Parts) -> std::io::Result<Self> {
        let (orders, receiver) = channel();
        let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let stop = Arc::new(AtomicBool::new(false));
        let files = Files::new(parts, receiver, Arc::clone(&wake), Arc::clone(&stop));
        let (end, ended) = channel::<()>();
        let thread = thread::Builder::new().name("files".into()).spawn(move || {
            let _end = end;
            files.run();
        })?;
        Ok(Self { orders, wake, stop, ended, thread: Some(thread) })
    }

    pub(super) fn order(&self, order: Order) {
        if self.orders.send(order).is_ok() {
            self.wake();
        }
    }

    /// Asks the thread to write what it knows and end, and waits a moment for it: a file system that hangs
    /// must not keep the agent from stopping.
    pub(super) fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.wake();
        if self.ended.recv_timeout(STOP_PATIENCE) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("a file system does not answer; what was just seen is told after the next start");
            return;
        }
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the files thread ended by a fault of its own");
        }
    }

    fn wake(&self) {
        // Full means that it is awake already.
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
    }
}

/// What a sweep saw below each root.
type Tally = BTreeMap<PathBuf, Seen>;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Seen {
    hashed: u64,
    unreadable: u64,
}

struct Files {
    settings: FileSettings,
    teller: Teller,
    outbox: Arc<Outbox>,
    clock: Clock,
    board: Board,
    orders: Receiver<Order>,
    wake: Arc<OwnedFd>,
    stop: Arc<AtomicBool>,
    watching: Arc<Watching>,
    roots: Roots,
    fences: Fences,
    skipped: BTreeMap<PathBuf, String>,
    file_systems: HashMap<u64, Digest>,
    dirty: Dirty,
    /// When all notices up to then had been heard, and since when some are missing.
    heard: UnixMillis,
    blind_since: Option<UnixMillis>,
    /// Sweeps that are going on: a folder that comes during a sweep is swept within it.
    depth: u32,
    sweeps: u32,
    next_sweep: Instant,
    retry_at: Option<Instant>,
}

impl Files {
    fn new(parts: Parts, orders: Receiver<Order>, wake: Arc<OwnedFd>, stop: Arc<AtomicBool>) -> Self {
        let Parts { settings, outbox, cache, clock, board } = parts;
        Self {
            watching: Arc::new(Watching::new(settings.max_watches)),
            teller: Teller::new(Arc::clone(&outbox), Arc::new(cache)),
            heard: clock.wall(),
            settings,
            outbox,
            clock,
            board,
            orders,
            wake,
            stop,
            roots: Roots::default(),
            fences: Fences::default(),
            skipped: BTreeMap::new(),
            file_systems: HashMap::new(),
            dirty: Dirty::default(),
            blind_since: None,
            depth: 0,
            sweeps: random::bytes::<4>().map_or(0, u32::from_le_bytes) % SHARES,
            next_sweep: Instant::now(),
            retry_at: None,
        }
    }

    fn run(mut self) {
        while !self.stopped() {
            self.obey_orders();
            if Instant::now() >= self.next_sweep {
                self.sweep_all(Trust::StampsButAShare { turn: self.sweeps, of: SHARES });
            } else {
                self.rest();
                self.attend();
            }
        }
        self.flush();
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Waits for whatever comes first.
    fn rest(&mut self) {
        let flush = self.teller.due().map(|due| self.retry_at.map_or(due, |retry| due.max(retry)));
        let due = [flush, self.dirty.due(), Some(self.next_sweep)].into_iter().flatten().min();
        let timeout = due.map_or(LONGEST_WAIT, |due| due.saturating_duration_since(Instant::now()));
        self.watching.wait(self.wake.as_fd(), timeout.min(LONGEST_WAIT));
        self.forget_wake();
    }

    /// Waits to be woken, or for the time to pass, and hears nothing meanwhile.
    fn doze(&self, timeout: Duration) {
        self.watching.wait_for_wake(self.wake.as_fd(), timeout);
        self.forget_wake();
    }

    /// Why this thread was woken stands elsewhere: in the orders and in `stop`, looked at on every round.
    fn forget_wake(&self) {
        let _ = rustix::io::read(&*self.wake, &mut [0; 8]);
    }

    fn obey_orders(&mut self) {
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Rescan => self.sweep_all(Trust::Nothing),
                Order::StartOver => match self.teller.start_over() {
                    Ok(()) => self.next_sweep = Instant::now(),
                    Err(error) => tracing::error!("{error}; files are told again after the next start"),
                },
            }
        }
    }

    /// Hears what changed, looks at it, and writes what is due.
    fn attend(&mut self) {
        let now = self.clock.wall();
        let mut overflow = false;
        let dirty = &mut self.dirty;
        self.watching.read(&mut |notice| match notice {
            Notice::Overflow => overflow = true,
            notice => dirty.note(notice, Instant::now()),
        });
        if overflow {
            tracing::warn!("the system dropped notices of changes; all files are looked at again");
            self.blind_since.get_or_insert(self.heard);
            // All of it is looked at anyway.
            self.dirty = Dirty::default();
            self.next_sweep = Instant::now();
        }
        self.heard = now;
        self.look_at_dirty();
        if self.teller.is_due() && self.retry_at.is_none_or(|retry| Instant::now() >= retry) {
            self.flush();
        }
    }

    /// Writes all that waits; says whether it could.
    fn flush(&mut self) -> bool {
        match self.teller.flush() {
            Ok(()) => {
                if self.retry_at.take().is_some() {
                    tracing::info!("changes are written down again");
                    self.board.update(|status| status.problem = None);
                }
                true
            }
            Err(error) => {
                if self.retry_at.is_none() {
                    tracing::error!(
                        "changes cannot be written down: {error}; they are kept in mind and tried again; \
                         free some space in the state folder, or mend the way to the collector"
                    );
                    self.board.update(|status| status.problem = Some(error.to_string()));
                }
                self.retry_at = Some(Instant::now() + RETRY);
                false
            }
        }
    }

    /// Writes all that waits, however long it takes; nothing new is taken meanwhile.
    fn flush_for_sure(&mut self) {
        while !self.flush() && !self.stopped() {
            self.doze(RETRY);
        }
    }

    fn look_at_dirty(&mut self) {
        let (files, folders) = self.dirty.take_due(Instant::now(), self.depth < 2);
        if !files.is_empty() {
            let (file_systems, stop) = (self.file_systems.clone(), Arc::clone(&self.stop));
            let mut reader = Reader::new(
                Interest::Binaries,
                Trust::Stamps,
                &file_systems,
                &stop,
                Pacer::new(Pace::FullSpeed),
            );
            for path in files {
                self.look_at_file(&mut reader, path);
            }
        }
        for folder in folders {
            self.look_at_folder(folder);
        }
    }

    fn is_looked_at(&self, path: &Path) -> bool {
        self.roots.of(path).is_some() && self.fences.around(path).is_none()
    }

    fn look_at_file(&mut self, reader: &mut Reader<'_>, local: PathBuf) {
        let Ok(path) = platform::endpoint_path(&local) else { return };
        if !self.is_looked_at(&local) {
            return;
        }
        reader.interest =
            if self.settings.always.contains(&local) { Interest::AllFiles } else { Interest::Binaries };
        let before = self.teller.remembered(&path);
        let now = match reader.look(&local, before.as_ref()) {
            Look::Stopped => return,
            Look::Gone => None,
            // Whoever writes it will soon be done: then it is looked at once more.
            Look::File(Record::Unreadable(reason))
                if reason == CHANGES_WHILE_READ && self.dirty.again(&local, Instant::now()) =>
            {
                return;
            }
            Look::File(now) => Some(now),
        };
        self.dirty.settled(&local);
        self.saw(path, before.as_ref(), now);
    }

    fn saw(&mut self, path: EndpointPath, before: Option<&Record>, now: Option<Record>) {
        self.teller.saw(path, before, now, self.clock.wall());
        if self.teller.is_overfull() {
            self.flush_for_sure();
        }
    }

    fn look_at_folder(&mut self, folder: PathBuf) {
        if !self.is_looked_at(&folder) {
            return;
        }
        if folder.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
            let (roots, _) = Roots::resolve(std::slice::from_ref(&folder));
            self.sweep(&roots, Trust::Stamps);
        } else {
            self.watching.forget(&folder);
        }
        if let Ok(path) = platform::endpoint_path(&folder) {
            let mut prefix = path.as_bytes().to_vec();
            prefix.push(b'/');
            self.tell_of_gone(&prefix);
        }
    }

    /// Looks at everything below the roots and tells what is not as it was.
    fn sweep_all(&mut self, trust: Trust) {
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
    fn sweep(&mut self, roots: &Roots, trust: Trust) -> (End, Tally) {
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
    fn tell_of_gone(&mut self, prefix: &[u8]) {
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
    match path.symlink_metadata() {
        Ok(metadata) => !metadata.is_file(),
        Err(error) => matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
    }
}
