//! The thread that knows the files: sweeps all of them now and then, hears of changes in between, and tells
//! what it saw. Changes are heard and told during a sweep as well.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use wardwatch_policies::digest::Digest;
use wardwatch_policies::path::EndpointPath;
use wardwatch_policies::time::UnixMillis;

use super::recall::recall;
use super::teller::Teller;
use crate::cache::Cache;
use crate::clock::Clock;
use crate::config::FileSettings;
use crate::outbox::Outbox;
use crate::platform::wake::Wake;
use crate::platform::{self, Notice, files};
use crate::random;
use crate::sensor::binaries::content::{Interest, Look, Reader, Trust, passes_by_itself};
use crate::sensor::binaries::ground::{Fences, Roots};
use crate::sensor::binaries::pace::{Pace, Pacer};
use crate::sensor::binaries::record::Record;
use crate::status::Board;

mod dirty;
mod sweeping;
#[cfg(test)]
mod tests;
mod watching;

use dirty::Dirty;
use sweeping::SHARES;
use watching::Watching;

/// After a write that failed, the next is tried after so long.
const RETRY: Duration = Duration::from_secs(2);
/// The thread looks around at least so often.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// How long a stop waits for the thread.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

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
    wake: Arc<Wake>,
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
    /// A folder of our own.
    pub(super) own: PathBuf,
}

impl FilesThread {
    pub(super) fn start(parts: Parts) -> std::io::Result<Self> {
        let (orders, receiver) = channel();
        let wake = Arc::new(Wake::new()?);
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
            self.wake.call();
        }
    }

    /// Asks the thread to write what it knows and end, and waits a moment for it: a file system that hangs
    /// must not keep the agent from stopping.
    pub(super) fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.wake.call();
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

    /// Whether the thread has ended although nobody asked it to: nothing is watched any more.
    pub(super) fn has_ended(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }
}

struct Files {
    settings: FileSettings,
    teller: Teller,
    outbox: Arc<Outbox>,
    clock: Clock,
    board: Board,
    orders: Receiver<Order>,
    wake: Arc<Wake>,
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
    fn new(parts: Parts, orders: Receiver<Order>, wake: Arc<Wake>, stop: Arc<AtomicBool>) -> Self {
        let Parts { settings, outbox, cache, clock, board, own } = parts;
        Self {
            watching: Arc::new(Watching::new(settings.max_watches, &own)),
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
        if let Err(error) = recall(&self.outbox, &self.teller.cache()) {
            tracing::warn!("{error}; files that went while the agent was off may not be told");
        }
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
        self.watching.wait(&self.wake, timeout.min(LONGEST_WAIT));
        self.forget_wake();
    }

    /// Waits to be woken, or for the time to pass, and hears nothing meanwhile.
    fn doze(&self, timeout: Duration) {
        self.watching.wait_for_wake(&self.wake, timeout);
        self.forget_wake();
    }

    /// Why this thread was woken stands elsewhere: in the orders and in `stop`, looked at on every round.
    fn forget_wake(&self) {
        self.wake.forget();
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
        let (changed, folders) = self.dirty.take_due(Instant::now(), self.depth < 2);
        if !changed.is_empty() {
            let (file_systems, stop) = (self.file_systems.clone(), Arc::clone(&self.stop));
            let mut reader = Reader::new(
                Interest::Binaries,
                Trust::Stamps,
                &file_systems,
                &stop,
                Pacer::new(Pace::FullSpeed),
            );
            for path in changed {
                self.look_at_streams(&mut reader, &path);
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

    /// What a file carries beside its content, where the system has that, changes without a notice of its own.
    fn look_at_streams(&mut self, reader: &mut Reader<'_>, local: &Path) {
        let Some(mark) = files::STREAM_MARK else { return };
        for stream in files::streams(local) {
            self.look_at_file(reader, stream);
        }
        if let Ok(path) = platform::endpoint_path(local) {
            self.tell_of_gone(&[path.as_bytes(), &[mark]].concat());
        }
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
            // Whoever writes or holds it will soon be done: then it is looked at once more.
            Look::File(Record::Unreadable(reason))
                if passes_by_itself(&reason) && self.dirty.again(&local, Instant::now()) =>
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
            prefix.extend(std::path::MAIN_SEPARATOR_STR.as_bytes());
            self.tell_of_gone(&prefix);
        }
    }
}
