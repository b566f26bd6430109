//! Starts the program that `slots` chooses. A program on trial runs as a child of the installed one, which
//! waits beside it and counts: so a trial ends even where no service manager would start a dead agent again.
//! A confirmed one takes over the whole process.

use std::future::Future;
use std::pin::{Pin, pin};
use std::process::{ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use wardwatch_policies::release::Version;
use wardwatch_wire::report::StopReason;

use super::beside;
use super::folder::Folder;
use super::slots::{Choice, Slots};
use super::{INSTALLED, Program};
use crate::config::Config;
use crate::cycle::{self, Ended};
use crate::platform;
use crate::state::{Lock, StateDir, StateError};

/// By this exit code a program that runs beside the installed one says that another is to be chosen.
const CHOOSE_ANEW: u8 = 75;
/// From the system to whoever waits for it.
const SIGNAL_TRAVELS: Duration = Duration::from_millis(5);

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
            && let Next::End(code) = hand_over(&state, &program, config.upgrade.trial, stop.as_mut()).await?
        {
            return Ok(code);
        }
        if cycle::run(config.clone(), &program, stop.as_mut()).await? == Ended::Stopped {
            return Ok(ExitCode::SUCCESS);
        }
        if program.beside {
            return Ok(ExitCode::from(CHOOSE_ANEW));
        }
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
    trial: Duration,
    mut stop: Pin<&mut impl Future<Output = StopReason>>,
) -> Result<Next> {
    let folder = Folder::of(state);
    while folder.is_used() {
        match choose(state, &folder, program.version, trial)? {
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
                    Ok(()) => beside::run(&path, &program.installed, None, stop.as_mut()).await,
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
                tokio::time::sleep(trial / 60).await;
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

fn note(state: &StateDir, folder: &Folder, change: impl FnOnce(&mut Slots)) -> Result<()> {
    let _lock = state.lock()?;
    let mut slots = folder.load();
    change(&mut slots);
    save(folder, &slots);
    Ok(())
}

/// Chooses, and keeps the choice before anything runs.
fn choose(state: &StateDir, folder: &Folder, installed: Version, trial: Duration) -> Result<Choice> {
    let _lock = lock(state, folder, trial)?;
    let mut slots = folder.load();
    let before = slots.clone();
    loop {
        let choice = slots.choose(installed, platform::boot_elapsed());
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
            return Ok(choice);
        }
        // An attempt that is not counted could be made for ever.
        slots.trial = None;
    }
}

fn save(folder: &Folder, slots: &Slots) -> bool {
    folder.save(slots).inspect_err(|error| tracing::error!("{error}")).is_ok()
}

/// A program on trial whose parent was killed ends by itself, but not at once. `StateDir::lock` waits between two
/// attempts.
fn lock(state: &StateDir, folder: &Folder, trial: Duration) -> Result<Lock, StateError> {
    let begun = Instant::now();
    loop {
        match state.lock() {
            Err(StateError::Locked(_)) if folder.load().trial.is_some() && begun.elapsed() < trial => {}
            locked => return locked,
        }
    }
}
