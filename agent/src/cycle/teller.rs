//! Tells the collector of files: changes wait here for a moment, go to the outbox together, and only then
//! into the cache. After a crash between the two, `recall` mends the cache.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wardwatch_policies::file::{FileSighting, Sighting};
use wardwatch_policies::path::EndpointPath;
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::report::{Body, StreamId};

use crate::cache::{Cache, CacheError};
use crate::outbox::{Outbox, OutboxError};
use crate::sensor::binaries::record::Record;

/// Bytes of sightings in one report, about.
const REPORT_BYTES: usize = 48 * 1024;
/// Bytes that wait at most before they are written whatever the clock says.
const WAITING_BYTES: usize = 256 * 1024;
/// Between two writes while there is much to tell: each costs a flash memory far more than its content.
const BETWEEN_WRITES: Duration = Duration::from_secs(1);
/// What a sighting takes beside its path, at most, in bytes.
const SIGHTING_BYTES: usize = 160;

/// Nothing can be told now.
#[derive(Debug, thiserror::Error)]
pub(super) enum TellError {
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    #[error(transparent)]
    Cache(#[from] CacheError),
}

struct Waiting {
    /// `None`: nothing is there, forget the path.
    record: Option<Record>,
    sighting: Option<FileSighting>,
}

pub(super) struct Teller {
    outbox: Arc<Outbox>,
    cache: Arc<Cache>,
    stream: StreamId,
    waiting: BTreeMap<EndpointPath, Waiting>,
    waiting_bytes: usize,
    last_write: Option<Instant>,
}

impl Teller {
    pub(super) fn new(outbox: Arc<Outbox>, cache: Arc<Cache>) -> Self {
        let stream = outbox.stream();
        Self { outbox, cache, stream, waiting: BTreeMap::new(), waiting_bytes: 0, last_write: None }
    }

    pub(super) fn stream(&self) -> StreamId {
        self.stream
    }

    pub(super) fn cache(&self) -> Arc<Cache> {
        Arc::clone(&self.cache)
    }

    /// Forgets what was told: a new stream has begun.
    pub(super) fn start_over(&mut self) -> Result<(), CacheError> {
        self.waiting.clear();
        self.waiting_bytes = 0;
        self.stream = self.outbox.stream();
        self.cache.begin_stream(self.stream)
    }

    /// What was told last of a path, or is about to be.
    pub(super) fn remembered(&self, path: &EndpointPath) -> Option<Record> {
        match self.waiting.get(path) {
            Some(waiting) => waiting.record.clone(),
            None => self.cache.get(path.as_bytes()).unwrap_or_else(|error| {
                tracing::warn!("{error}; the file is looked at as if for the first time");
                None
            }),
        }
    }

    /// Takes what is seen at a path now; `before` is what [`Self::remembered`] says of it.
    pub(super) fn saw(
        &mut self,
        path: EndpointPath,
        before: Option<&Record>,
        now: Option<Record>,
        seen: UnixMillis,
    ) {
        if before == now.as_ref() {
            return;
        }
        let told = before.and_then(Record::sighting);
        let sighting = match (told, now.as_ref().and_then(Record::sighting)) {
            (old, Some(new)) if old.as_ref() == Some(&new) => None,
            (_, Some(new)) => Some(new),
            (Some(_), None) => Some(Sighting::Absent),
            (None, None) => None,
        };
        let sighting = sighting.map(|sighting| FileSighting { path: path.clone(), sighting, seen });
        // A change that waits is replaced by the newer one, but not by silence about it.
        let sighting = sighting.or_else(|| self.waiting.remove(&path).and_then(|earlier| earlier.sighting));
        self.waiting_bytes += path.as_bytes().len() + SIGHTING_BYTES;
        self.waiting.insert(path, Waiting { record: now, sighting });
    }

    /// When the next write should be; `None` while there is nothing to write.
    pub(super) fn due(&self) -> Option<Instant> {
        if self.waiting.is_empty() {
            return None;
        }
        let now = Instant::now();
        match self.last_write {
            Some(last) if self.waiting_bytes < WAITING_BYTES => Some((last + BETWEEN_WRITES).max(now)),
            _ => Some(now),
        }
    }

    pub(super) fn is_due(&self) -> bool {
        self.due().is_some_and(|due| due <= Instant::now())
    }

    /// Whether nothing more should be taken before a write.
    pub(super) fn is_overfull(&self) -> bool {
        self.waiting_bytes >= WAITING_BYTES
    }

    /// Writes all that waits.
    pub(super) fn flush(&mut self) -> Result<(), TellError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let bodies = self.bodies();
        if !bodies.is_empty() {
            match self.outbox.append(self.stream, bodies, &[]) {
                // What was seen is told again in the new stream.
                Err(OutboxError::OtherStream) => {}
                result => {
                    result?;
                    // Where only the cache fails, the next attempt must not tell it all again.
                    self.waiting.values_mut().for_each(|waiting| waiting.sighting = None);
                }
            }
        }
        let records = self.waiting.iter().map(|(path, waiting)| (path.as_bytes(), waiting.record.as_ref()));
        // Whatever else was appended meanwhile is not of files.
        self.cache.put(records, Some(self.outbox.last_seq()))?;
        self.waiting.clear();
        self.waiting_bytes = 0;
        self.last_write = Some(Instant::now());
        Ok(())
    }

    fn bodies(&self) -> Vec<Body> {
        let mut bodies = Vec::new();
        let mut chunk = Vec::new();
        let mut bytes = 0;
        for sighting in self.waiting.values().filter_map(|waiting| waiting.sighting.as_ref()) {
            let size = sighting.path.as_bytes().len() + SIGHTING_BYTES;
            if bytes + size > REPORT_BYTES && !chunk.is_empty() {
                bodies.push(Body::Files(std::mem::take(&mut chunk)));
                bytes = 0;
            }
            bytes += size;
            chunk.push(sighting.clone());
        }
        if !chunk.is_empty() {
            bodies.push(Body::Files(chunk));
        }
        bodies
    }
}
