//! Brings the file cache up to what stands in the outbox. A crash between the two writes leaves reports of files that
//! the cache does not know; where such a file is gone by the next start, nothing but its report says that the
//! collector still holds it.

use wardwatch_wire::report::Body;

use super::teller::TellError;
use crate::cache::Cache;
use crate::outbox::Outbox;
use crate::sensor::binaries::record::Record;

/// Reports that are read at a time: a long backlog must not fill the memory.
const REPORTS: usize = 16;

/// To be called before anything is told. What was told and committed since then needs no recall: the outbox forgets
/// a report only with a later write, and the next write about files comes after that of the cache.
pub(super) fn recall(outbox: &Outbox, cache: &Cache) -> Result<(), TellError> {
    let mut told = cache.told()?;
    loop {
        let bodies = outbox.bodies_after(told, REPORTS)?;
        let Some((last, _)) = bodies.last() else { return Ok(()) };
        told = *last;
        let of_files = bodies.into_iter().filter_map(|(_, body)| match body {
            Body::Files(sightings) => Some(sightings),
            _ => None,
        });
        let records: Vec<_> =
            of_files.flatten().map(|told| (told.path, Record::of_told(told.sighting))).collect();
        cache.put(records.iter().map(|(path, record)| (path.as_bytes(), record.as_ref())), Some(told))?;
    }
}
