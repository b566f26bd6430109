//! Opens what the agent keeps on disk, and goes on without what cannot be read: nothing that was lost is passed over in
//! silence, since a new stream says so and tells everything again.

use std::path::Path;

use anyhow::{Context, Result};
use wardwatch_policies::finding::StreamReason;
use wardwatch_wire::report::StreamId;

use crate::cache::Cache;
use crate::outbox::{Outbox, OutboxError, Sealer};
use crate::random;
use crate::state::StateDir;

/// The outbox, or a new one in its place if it cannot be read: the collector is told that reports were lost.
pub(super) fn outbox(state: &StateDir, sealer: Sealer, capacity_bytes: u64) -> Result<Outbox> {
    let path = state.outbox();
    match Outbox::open(&path, sealer.clone(), capacity_bytes) {
        Ok(outbox) => return Ok(outbox),
        Err(error @ OutboxError::Storage(_)) if !error.is_damage() => {
            return Err(cannot_be_opened(error, &path));
        }
        Err(error) => tracing::error!("{error}; reports may be lost; a new stream begins"),
    }
    if path.exists() {
        std::fs::rename(&path, path.with_extension("damaged"))
            .context("the damaged outbox cannot be put aside")?;
    }
    let stream = StreamId(random::bytes()?);
    Outbox::create(&path, stream, StreamReason::StateLost).context("no new outbox can be made")?;
    Outbox::open(&path, sealer, capacity_bytes).context("the new outbox cannot be opened")
}

fn cannot_be_opened(error: impl Into<anyhow::Error>, path: &Path) -> anyhow::Error {
    let path = path.display();
    error.into().context(format!(
        "{path} cannot be opened; check the folder's owner, the free space, and that the disk is not read-only"
    ))
}

/// The file cache of the outbox's stream. A cache of another stream is cleared: its files were not told in
/// this one. If it was lost while the stream went on, a new stream tells everything again.
pub(super) fn cache(state: &StateDir, outbox: &Outbox) -> Result<Cache> {
    let path = state.cache();
    let known = path.exists();
    let opened = Cache::open(&path).and_then(|cache| Ok((cache.is_of(outbox.stream())?, cache)));
    let cache = match opened {
        Ok((true, cache)) => return Ok(cache),
        Ok((false, cache)) => cache,
        // To put it aside for want of room would tell of a state that was lost.
        Err(error) if !error.is_damage() => return Err(cannot_be_opened(error, &path)),
        Err(error) => {
            tracing::error!("{error}; it is put aside");
            std::fs::rename(&path, path.with_extension("damaged"))
                .context("the damaged file cache cannot be put aside")?;
            Cache::open(&path)?
        }
    };
    let told_nothing_yet = outbox.last_seq() <= 1;
    if !told_nothing_yet {
        tracing::warn!(known, "the file cache is not of this stream; a new stream begins");
        outbox.restart(StreamId(random::bytes()?), StreamReason::StateLost)?;
    }
    cache.begin_stream(outbox.stream())?;
    Ok(cache)
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use wardwatch_wire::report::{Body, StopReason};

    use super::*;
    use crate::clock::Clock;

    fn sealer() -> Sealer {
        Sealer { agent: "a".parse().unwrap(), key: SigningKey::from_bytes(&[1; 32]), clock: Clock::new() }
    }

    /// A state folder whose stream has told something.
    fn told() -> (tempfile::TempDir, StateDir, Outbox) {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::new(folder.path().to_owned());
        Outbox::create(&state.outbox(), StreamId([1; 16]), StreamReason::FirstStart).unwrap();
        let outbox = outbox(&state, sealer(), 1 << 20).unwrap();
        drop(cache(&state, &outbox).unwrap());
        let stop = Body::Stopping { reason: StopReason::Service };
        outbox.append(outbox.stream(), vec![stop], &[]).unwrap();
        (folder, state, outbox)
    }

    #[test]
    fn a_damaged_cache_is_put_aside_and_a_new_stream_tells_all_again() {
        let (_folder, state, outbox) = told();
        std::fs::write(state.cache(), "no database").unwrap();
        let cache = cache(&state, &outbox).unwrap();
        assert_ne!(outbox.stream(), StreamId([1; 16]));
        assert!(cache.is_of(outbox.stream()).unwrap());
        assert!(state.cache().with_extension("damaged").exists());
    }

    #[test]
    fn a_cache_that_cannot_be_opened_now_is_left_where_it_is() {
        let (_folder, state, outbox) = told();
        let _held = Cache::open(&state.cache()).unwrap();
        assert!(cache(&state, &outbox).is_err());
        assert_eq!(outbox.stream(), StreamId([1; 16]));
        assert!(!state.cache().with_extension("damaged").exists());
    }

    #[test]
    fn a_damaged_outbox_is_put_aside_and_a_new_stream_begins() {
        let (_folder, state, outbox) = told();
        drop(outbox);
        std::fs::write(state.outbox(), "no database").unwrap();
        let outbox = super::outbox(&state, sealer(), 1 << 20).unwrap();
        assert_ne!(outbox.stream(), StreamId([1; 16]));
        assert!(state.outbox().with_extension("damaged").exists());
    }
}
