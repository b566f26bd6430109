//! One endpoint's files while a batch is worked on: read from the store once, judged in memory, written once.

use std::collections::BTreeMap;

use sqlx::AnyConnection;
use wardwatch_policies::file::{FileSighting, Sighting};
use wardwatch_policies::finding::Finding;
use wardwatch_policies::ids::AgentId;
use wardwatch_policies::path::EndpointPath;
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::report::StreamId;

use crate::store::files;

/// Files that went missing, taken from the store at a time.
const UNTOLD_AT_ONCE: u32 = 1000;

/// The files that a batch names.
#[derive(Default)]
pub(super) struct Inventory {
    files: BTreeMap<EndpointPath, File>,
    /// The stream that told what is not written yet.
    stream: Option<StreamId>,
}

struct File {
    /// `None` for a path never told of.
    sighting: Option<Sighting>,
    unwritten: Unwritten,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Unwritten {
    Nothing,
    /// Only that the stream has named it.
    Told,
    Sighting,
}

impl Inventory {
    /// Reads what is stored of these files, unless it is at hand.
    ///
    /// # Errors
    /// The database fails, or holds what this program did not write.
    pub(super) async fn load(
        &mut self,
        db: &mut AnyConnection,
        endpoint: &AgentId,
        mut missing: Vec<&EndpointPath>,
    ) -> Result<(), sqlx::Error> {
        missing.retain(|path| !self.files.contains_key(path));
        missing.sort_unstable();
        missing.dedup();
        if missing.is_empty() {
            return Ok(());
        }
        let mut stored = files::sightings(db, endpoint, &missing).await?;
        for path in missing {
            let file = File { sighting: stored.remove(path), unwritten: Unwritten::Nothing };
            self.files.insert(path.clone(), file);
        }
        Ok(())
    }

    /// Takes in what `stream` tells of a file that was loaded; what changed is found. `complete` says whether
    /// all files were told once: only then is one not known before a finding.
    pub(super) fn see(&mut self, stream: StreamId, seen: &FileSighting, complete: bool) -> Option<Finding> {
        self.stream = Some(stream);
        let file = self
            .files
            .entry(seen.path.clone())
            .or_insert(File { sighting: None, unwritten: Unwritten::Nothing });
        if file.sighting.as_ref() == Some(&seen.sighting) {
            if file.unwritten == Unwritten::Nothing {
                file.unwritten = Unwritten::Told;
            }
            return None;
        }
        file.unwritten = Unwritten::Sighting;
        let old = match file.sighting.replace(seen.sighting.clone()) {
            Some(old) => old,
            None if complete => Sighting::Absent,
            None => return None,
        };
        (old != seen.sighting).then(|| Finding::File {
            path: seen.path.clone(),
            old,
            new: seen.sighting.clone(),
        })
    }

    /// Finds the files that are stored and that `stream`, which has now told all there are, did not name.
    ///
    /// # Errors
    /// The database fails, or holds what this program did not write.
    pub(super) async fn gone(
        &mut self,
        db: &mut AnyConnection,
        endpoint: &AgentId,
        stream: StreamId,
        now: UnixMillis,
    ) -> Result<Vec<Finding>, sqlx::Error> {
        self.write(db, endpoint, now).await?;
        let mut findings = Vec::new();
        loop {
            let untold = files::untold(db, endpoint, stream, UNTOLD_AT_ONCE).await?;
            let last = untold.len() < UNTOLD_AT_ONCE as usize;
            let absent: Vec<_> = untold.iter().map(|(path, _)| (path, &Sighting::Absent)).collect();
            files::keep(db, endpoint, stream, &absent, now).await?;
            for (path, old) in untold {
                if let Some(file) = self.files.get_mut(&path) {
                    file.sighting = Some(Sighting::Absent);
                }
                findings.push(Finding::File { path, old, new: Sighting::Absent });
            }
            if last {
                return Ok(findings);
            }
        }
    }

    /// Writes what is not written yet. To be done before another stream tells of files.
    ///
    /// # Errors
    /// The database fails.
    pub(super) async fn write(
        &mut self,
        db: &mut AnyConnection,
        endpoint: &AgentId,
        now: UnixMillis,
    ) -> Result<(), sqlx::Error> {
        let Some(stream) = self.stream.take() else { return Ok(()) };
        let (mut sightings, mut told) = (Vec::new(), Vec::new());
        for (path, file) in &self.files {
            match (file.unwritten, &file.sighting) {
                (Unwritten::Sighting, Some(sighting)) => sightings.push((path, sighting)),
                (Unwritten::Told, _) => told.push(path),
                _ => {}
            }
        }
        files::keep(db, endpoint, stream, &sightings, now).await?;
        files::mark_told(db, endpoint, stream, &told).await?;
        for file in self.files.values_mut() {
            file.unwritten = Unwritten::Nothing;
        }
        Ok(())
    }
}
