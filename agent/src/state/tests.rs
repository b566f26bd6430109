use std::fs::{self, File};
use std::thread;

use anyhow::Result;
use tempfile::tempdir;

use super::{LOCK, LOCK_PATIENCE, StateDir, StateError};

#[test]
fn a_folder_is_locked_while_an_agent_has_it() -> Result<()> {
    let folder = tempdir()?;
    let state = StateDir::new(folder.path().to_owned());
    assert!(!state.is_locked()?, "no agent was ever here");
    let running = state.lock()?;
    assert!(state.is_locked()?);
    assert!(matches!(state.lock(), Err(StateError::Locked(_))));
    drop(running);
    let waiting = state.lock_waiting()?;
    assert!(state.is_locked()?);
    drop(waiting);
    assert!(!state.is_locked()?);
    Ok(())
}

#[test]
fn whoever_asks_whether_it_is_locked_keeps_no_agent_from_starting() -> Result<()> {
    let folder = tempdir()?;
    let state = StateDir::new(folder.path().to_owned());
    drop(state.lock()?);
    let asking = File::open(folder.path().join(LOCK))?;
    asking.lock_shared()?;
    assert!(!state.is_locked()?, "one who asks is not taken for an agent by the next");
    let done = thread::spawn(move || {
        thread::sleep(LOCK_PATIENCE / 4);
        asking.unlock()
    });
    let _lock = state.lock()?;
    done.join().ok().transpose()?;
    Ok(())
}

#[test]
fn nothing_of_an_earlier_enrolment_outlives_the_next() -> Result<()> {
    let folder = tempdir()?;
    let state = StateDir::new(folder.path().to_owned());
    fs::create_dir(state.slots())?;
    let files =
        ["identity.json", "enrolment.json", "report.key", "tls.key"].map(|name| state.path().join(name));
    let files = [&files[..], &[state.outbox(), state.cache(), state.status(), state.slots_file()]].concat();
    for file in &files {
        fs::write(file, "of another city")?;
    }
    state.clear()?;
    assert!(files.iter().all(|file| !file.exists()));
    state.clear()?;
    Ok(())
}
