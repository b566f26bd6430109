//! Carries roll-outs on: asks whoever is due, and stops what goes wrong. Runs beside ingest, so that no report
//! waits for it.

use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep_until};
use wardwatch_incidents::change::Actor;
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::downlink::Action;
use wardwatch_wire::release::Release;

use super::plan::{self, Ask};
use super::rollout::{Rollout, RolloutState};
use super::{ReleaseError, Releases};
use crate::stopping::until;
use crate::store::releases::{self, Held};
use crate::store::rollouts;
use crate::workflow::Event;
use crate::{clock, fleet};

/// Endpoints that enrolled or were switched on since are noticed within this time.
const EVERY: Duration = Duration::from_secs(30);
/// Endpoints that are asked in one transaction.
const AT_ONCE: usize = 200;
/// The record is in the language of the offices.
const CANARY_FAILED: &str = "Thiết bị thử nghiệm không nhận hoặc không chạy được phiên bản mới";
const TOO_MANY_FAILED: &str = "Quá nhiều thiết bị không nhận hoặc không chạy được phiên bản mới";

/// Looks at all roll-outs again and again until the collector stops.
pub async fn watch(desk: Releases, stopped: watch::Receiver<bool>) {
    let mut events = desk.workflow.subscribe();
    let looking = async {
        loop {
            if let Err(error) = look(&desk, clock::now()).await {
                tracing::error!(error = &error as &dyn std::error::Error, "roll-outs were not looked at");
            }
            wait(&mut events).await;
        }
    };
    tokio::select! {
        () = looking => {}
        () = until(stopped) => {}
    }
}

/// Until it is time, or something happened to a roll-out.
async fn wait(events: &mut broadcast::Receiver<Event>) {
    let due = Instant::now() + EVERY;
    loop {
        tokio::select! {
            () = sleep_until(due) => return,
            event = events.recv() => match event {
                Ok(Event::Rollout(_) | Event::Upgrade(_)) | Err(RecvError::Lagged(_)) => return,
                Ok(_) => {}
                Err(RecvError::Closed) => return sleep_until(due).await,
            }
        }
    }
}

/// Looks once.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn look(desk: &Releases, now: UnixMillis) -> Result<(), ReleaseError> {
    for rollout in rollouts::all(desk.store.reader()).await? {
        if rollout.is_live() {
            carry_on(desk, &rollout, now).await?;
        }
    }
    Ok(())
}

async fn carry_on(desk: &Releases, rollout: &Rollout, now: UnixMillis) -> Result<(), ReleaseError> {
    let mut db = desk.store.reader().acquire().await?;
    let members = rollouts::members(&mut db, rollout).await?;
    let held = releases::of_version(&mut db, rollout.version).await?;
    drop(db);
    if plan::must_stop(rollout, &members) {
        let wide = rollout.state == RolloutState::Wide;
        let reason = if wide { TOO_MANY_FAILED } else { CANARY_FAILED };
        tracing::warn!(rollout = rollout.id, version = %rollout.version, "the roll-out stops itself");
        return match desk.stop(&Actor::Collector, rollout.id, reason, now).await {
            // A person was quicker.
            Err(ReleaseError::NoSuchRollout(_)) => Ok(()),
            stopped => stopped,
        };
    }
    let known: Vec<Release> = held.iter().map(|held| held.release.clone()).collect();
    let asks = plan::due(rollout, &known, &members, fleet::expires, now);
    for asks in asks.chunks(AT_ONCE) {
        ask(desk, rollout, &held, asks, now).await?;
    }
    Ok(())
}

async fn ask(
    desk: &Releases,
    rollout: &Rollout,
    held: &[Held],
    asks: &[Ask<'_>],
    now: UnixMillis,
) -> Result<(), ReleaseError> {
    let mut tx = desk.store.write().await?;
    // Stopped since it was read: nobody more is asked.
    if rollouts::find(&mut tx, rollout.id).await?.is_none_or(|now| now.state != rollout.state) {
        return Ok(());
    }
    let mut changes = Vec::with_capacity(asks.len());
    for Ask { endpoint, release, canary } in asks {
        let Some(sealed) =
            held.iter().find(|held| held.release == **release).and_then(|held| desk.seal(held))
        else {
            continue;
        };
        let (command, change) = fleet::issue(&mut tx, endpoint, &Action::Upgrade(sealed), now).await?;
        rollouts::keep_asked(&mut tx, rollout, endpoint, command, *canary, now).await?;
        changes.push(change);
    }
    let events = desk.workflow.record(&mut tx, &Actor::Collector, changes, now).await?;
    tx.commit().await?;
    tracing::info!(rollout = rollout.id, version = %rollout.version, asked = asks.len(), "asked to upgrade");
    desk.workflow.announce(events);
    Ok(())
}
