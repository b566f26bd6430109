//! Starts the program that `upgrade::slots` chooses. A program on trial runs as a child of the installed one, which
//! waits beside it and counts: so a trial ends even where no service manager would start a dead agent again.
//! A confirmed one takes over the whole process.

use std::future::Future;
use std::pin::{Pin, pin};
use std::process::{ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use wardwatch_policies::release::Version;
use wardwatch_wire::report::StopReason;

use crate::config::Config;
use crate::cycle::{self, Ended};
use crate::platform::{self, RunBeside};
use crate::state::{Lock, StateDir, StateError};
use crate::upgrade::folder::Folder;
use crate::upgrade::slots::{Choice, Slots};
use crate::upgrade::{INSTALLED, Program};

mod beside;

/// By this exit code a program that runs beside the installed one says that another is to be chosen.
const CHOOSE_ANEW: u8 = 75;
/// From the system to whoever waits for it.
const SIGNAL_TRAVELS: Duration = Duration::from_millis(5);
/// Between two attempts, where a trial is long.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
const LOCK_RETRY: Duration = Duration::from_millis(100);

/// Runs the agent: this program, or the one that was chosen in its place. `stop` completes when the agent is to
/// stop, with what the collector is told as the reason.
///
/// # Errors
/// Not enrolled, another agent runs, or a state folder that cannot be used.
pub async fn run(
    config: Config,
    version: Version,
    stop: impl Future<Output = StopReason>,
) -> Result<ExitCode> {
    let program =
        Program::of_this_process(version).context("the system does not say where this program lies")?;
    let beside = program.beside;
    let mut stop = pin!(async move {
        if !beside {
            return stop.await;
        }
        tokio::select! {
            reason = stop => reason,
            reason = beside::told_to_stop() => reason,
        }
    });
    let state = StateDir::new(config.state_dir.clone());
    state.refuse_of_others()?;
    loop {
        if !program.in_slot
            && let Next::End(code) = hand_over(&state, &program, &config, stop.as_mut()).await?
        {
            return Ok(code);
        }
        if cycle::run(config.clone(), &program, stop.as_mut()).await? == Ended::Stopped {
            return Ok(ExitCode::SUCCESS);
        }
        if program.beside {
            return Ok(ExitCode::from(CHOOSE_ANEW));
        }
        let RunBeside =
            platform::become_program(&program.installed, &[(INSTALLED, None)]).with_context(|| {
                let path = program.installed.display();
                format!("{path} cannot be started, so no agent runs; start it again, or install it anew")
            })?;
    }
}

/// What the installed program does next.
enum Next {
    /// Be the agent itself.
    Run,
    /// End: another program was the agent until now.
    End(ExitCode),
}

/// Hands over as often as there is something to hand over to.
async fn hand_over(
    state: &StateDir,
    program: &Program,
    config: &Config,
    mut stop: Pin<&mut impl Future<Output = StopReason>>,
) -> Result<Next> {
    let folder = Folder::of(state);
    let trial = config.upgrade.trial;
    if folder.is_used() && !config.allows_upgrades() {
        note(state, &folder, Slots::forbid)?;
    }
    while folder.is_used() {
        let lock = tokio::select! {
            biased;
            _ = stop.as_mut() => return Ok(Next::End(ExitCode::SUCCESS)),
            lock = lock(state, &folder, trial) => lock?,
        };
        match choose(lock, &folder, program.version) {
            Choice::Installed => break,
            Choice::Current(occupant) => {
                let path = folder.program(occupant.slot);
                // A signal of the time in which programs were compared goes with this process.
                if has_come(stop.as_mut()).await {
                    note(state, &folder, Slots::excuse_start)?;
                    return Ok(Next::End(ExitCode::SUCCESS));
                }
                tracing::info!(version = %occupant.version, program = %path.display(), "handing over");
                let ended = match platform::become_program(
                    &path,
                    &[(INSTALLED, Some(program.installed.as_os_str()))],
                ) {
                    Ok(RunBeside) => beside::run(&path, &program.installed, None, stop.as_mut()).await,
                    Err(error) => Err(error),
                };
                match ended {
                    Ok(beside::Ended::ByItself(status)) if !wants_another(status) => {
                        tracing::error!(version = %occupant.version, "the agent ended with {status}");
                        return Ok(Next::End(ExitCode::FAILURE));
                    }
                    Ok(beside::Ended::Stopped) => return Ok(Next::End(ExitCode::SUCCESS)),
                    Ok(beside::Ended::ByItself(_) | beside::Ended::TooLate) => {}
                    Err(error) => note(state, &folder, |slots| {
                        slots.drop_current(format!("the system does not run it: {error}"));
                    })?,
                }
            }
            Choice::Trial(occupant) => {
                tracing::info!(version = %occupant.version, "trying a new program");
                let path = folder.program(occupant.slot);
                let how = match beside::run(&path, &program.installed, Some(trial), stop.as_mut()).await {
                    Ok(beside::Ended::Stopped) => return Ok(Next::End(ExitCode::SUCCESS)),
                    Ok(beside::Ended::ByItself(status)) if wants_another(status) => continue,
                    Ok(beside::Ended::ByItself(status)) => format!("it ended with {status}"),
                    Ok(beside::Ended::TooLate) => {
                        let how = format!("it was stopped, not healthy after {} s", trial.as_secs());
                        tracing::warn!(version = %occupant.version, "the new program: {how}");
                        note(state, &folder, |slots| slots.note_silence(how))?;
                        continue;
                    }
                    Err(error) => format!("the system does not run it: {error}"),
                };
                tracing::error!(version = %occupant.version, "the new program is not healthy: {how}");
                note(state, &folder, |slots| slots.note_attempt(how))?;
                tokio::select! {
                    _ = stop.as_mut() => return Ok(Next::End(ExitCode::SUCCESS)),
                    () = tokio::time::sleep((trial / 60).min(LONGEST_PAUSE)) => {}
                }
            }
        }
    }
    Ok(Next::Run)
}

/// Whether the agent was told to stop until now.
async fn has_come(stop: impl Future<Output = StopReason>) -> bool {
    tokio::select! {
        biased;
        _ = stop => true,
        () = tokio::time::sleep(SIGNAL_TRAVELS) => false,
    }
}

fn wants_another(status: ExitStatus) -> bool {
    status.code() == Some(i32::from(CHOOSE_ANEW))
}

/// What cannot be read now is left as it is.
fn note(state: &StateDir, folder: &Folder, change: impl FnOnce(&mut Slots)) -> Result<()> {
    let _lock = state.lock()?;
    match folder.load() {
        Ok(mut slots) => {
            change(&mut slots);
            save(folder, &slots);
        }
        Err(error) => tracing::error!("{error}"),
    }
    Ok(())
}

/// Chooses, and keeps the choice before anything runs.
fn choose(_lock: Lock, folder: &Folder, installed: Version) -> Choice {
    let mut slots = match folder.load() {
        Ok(slots) => slots,
        Err(error) => {
            tracing::error!("{error}; the installed program runs");
            return Choice::Installed;
        }
    };
    let before = slots.clone();
    let boot = platform::boot_id();
    loop {
        let choice = slots.choose(installed, platform::boot_elapsed(), boot.as_deref());
        match &choice {
            Choice::Installed => {}
            Choice::Current(occupant) => {
                if let Err(problem) = folder.verify(occupant) {
                    tracing::error!(version = %occupant.version, "the program is not run: {problem}");
                    slots.drop_current(problem.to_string());
                    continue;
                }
            }
            Choice::Trial(occupant) => {
                if let Err(problem) = folder.verify(occupant) {
                    tracing::error!(version = %occupant.version, "the program is not tried: {problem}");
                    slots.give_up(problem.to_string());
                    continue;
                }
            }
        }
        if slots == before || save(folder, &slots) || !matches!(choice, Choice::Trial(_)) {
            return choice;
        }
        // An attempt that is not counted could be made for ever.
        slots.trial = None;
    }
}

fn save(folder: &Folder, slots: &Slots) -> bool {
    folder.save(slots).inspect_err(|error| tracing::error!("{error}")).is_ok()
}

/// A program on trial whose parent was killed ends by itself, but not at once.
async fn lock(state: &StateDir, folder: &Folder, trial: Duration) -> Result<Lock, StateError> {
    let begun = Instant::now();
    let mut waits = false;
    loop {
        match state.lock() {
            Err(StateError::Locked(_))
                if begun.elapsed() < trial && folder.load().is_ok_and(|slots| slots.trial.is_some()) => {}
            locked => return locked,
        }
        if !waits {
            tracing::info!("a program on trial still runs; waiting for its end");
            waits = true;
        }
        tokio::time::sleep(LOCK_RETRY).await;
    }
}
