//! An agent of a machine that is not enrolled waits: a package starts the service before anybody had a string.
//!
//! It enrols by itself when the string is put in its place, and goes on when somebody calls `enrol`. A string that
//! cannot be used is told once and tried again with growing pauses: a collector may be out of reach, a file may be
//! corrected.

use std::fs;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use tokio::time::{Instant, interval};
use wardwatch_policies::release::Version;
use wardwatch_wire::report::StopReason;

use crate::enrol::{self, Source};
use crate::platform;
use crate::state::{Identity, Lock, StateDir, StateError};
use crate::status;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Between two attempts with the same file.
const SHORTEST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// Who this machine is, with the state folder locked; `None` if the agent was told to stop before.
///
/// # Errors
/// Another agent runs, or the state folder cannot be used.
pub(super) async fn until_enrolled(
    state: &StateDir,
    file: &Path,
    version: Version,
    mut stop: Pin<&mut impl Future<Output = StopReason>>,
) -> Result<Option<(Identity, Lock)>> {
    let problem = match state.identity(&platform::machine()) {
        Ok(identity) => return Ok(Some((identity, state.lock()?))),
        Err(error) => not_enrolled(error)?,
    };
    state.create()?;
    let _only_one = state.lock_waiting()?;
    let mut looks = interval(LOOK_EVERY);
    let mut attempts = Attempts::default();
    let source = Source::Placed(file.to_owned());
    let waits = format!(
        "not enrolled: waiting for {} or for `wardwatch-agent enrol --state-dir {}`",
        file.display(),
        state.path().display()
    );
    if !matches!(problem, StateError::NotEnrolled(_)) {
        tracing::warn!("{problem}");
    }
    tracing::info!("{waits}");
    tell(state, version, &waits, None)?;
    loop {
        tokio::select! {
            _ = stop.as_mut() => break,
            _ = looks.tick() => {}
        }
        // An `enrol` beside us still holds the lock when the identity is there already.
        if let Ok(identity) = state.identity(&platform::machine())
            && let Ok(lock) = state.lock()
        {
            return Ok(Some((identity, lock)));
        }
        if !attempts.are_due(file, Instant::now()) {
            continue;
        }
        let attempt = tokio::select! {
            attempt = enrol::run(state, &source) => attempt,
            _ = stop.as_mut() => break,
        };
        match attempt {
            Ok(enrolled) => {
                tracing::info!(agent = %enrolled.identity.agent, pending = enrolled.pending, "enrolled")
            }
            Err(error) => {
                let problem = format!("{error:#}");
                if attempts.is_news(&problem) {
                    tracing::error!("{problem}");
                }
                tell(state, version, &waits, Some(problem))?;
            }
        }
    }
    tracing::info!("the agent stops");
    tell(state, version, "not enrolled: the agent was stopped", None)?;
    Ok(None)
}

/// What keeps this machine from being enrolled, if waiting can mend it.
fn not_enrolled(error: StateError) -> Result<StateError, StateError> {
    match error {
        StateError::NotEnrolled(_) | StateError::OtherMachine(_) | StateError::Damaged { .. } => Ok(error),
        StateError::Locked(_) | StateError::OfOthers { .. } | StateError::Io { .. } => Err(error),
    }
}

fn tell(state: &StateDir, version: Version, link: &str, problem: Option<String>) -> Result<()> {
    let mut status = status::not_enrolled(link.to_owned(), version);
    status.written = Some(crate::clock::Clock::new().wall());
    status.problem = problem;
    status::save(&state.status(), &status)
}

/// When to try the file next, and what was told of it.
#[derive(Default)]
struct Attempts {
    file: Option<(SystemTime, u64)>,
    next: Option<Instant>,
    pause: Duration,
    told: Option<String>,
}

impl Attempts {
    fn are_due(&mut self, file: &Path, now: Instant) -> bool {
        let Ok(metadata) = fs::symlink_metadata(file) else { return false };
        let seen = (metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH), metadata.len());
        if self.file != Some(seen) {
            *self = Self { file: Some(seen), ..Self::default() };
        }
        if self.next.is_some_and(|next| now < next) {
            return false;
        }
        self.pause = (self.pause * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        self.next = Some(now + self.pause);
        true
    }

    fn is_news(&mut self, problem: &str) -> bool {
        let news = self.told.as_deref() != Some(problem);
        self.told = Some(problem.to_owned());
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_tried_again_with_growing_pauses_and_at_once_when_its_file_changes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("string");
        let mut attempts = Attempts::default();
        let begin = Instant::now();
        let mut due_at = |seconds| attempts.are_due(&file, begin + Duration::from_secs(seconds));
        assert!(!due_at(0), "there is no file");
        fs::write(&file, "no string").unwrap();
        let tried: Vec<_> = (0..40).filter(|second| due_at(*second)).collect();
        assert_eq!(tried, [0, 5, 15, 35]);
        fs::write(&file, "another string").unwrap();
        let tried: Vec<_> = (40..50).filter(|second| due_at(*second)).collect();
        assert_eq!(tried, [40, 45]);
        let waits: Vec<_> = (50..4000).filter(|second| due_at(*second)).collect();
        assert_eq!(waits.windows(2).map(|two| two[1] - two[0]).max(), Some(LONGEST_PAUSE.as_secs()));
    }
}
