//! Carries roll-outs on: asks whoever is due, and stops what goes wrong. Runs beside ingest, so that no report
//! waits for it.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep, sleep_until};
use wardwatch_incidents::change::Actor;
use wardwatch_policies::release::{Target, Version};
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::downlink::Action;
use wardwatch_wire::release::{Release, SealedRelease};

use super::claims::Claims;
use super::plan::{self, Ask};
use super::reason::RolloutStop;
use super::rollout::{Rollout, RolloutState};
use super::{ReleaseError, Releases};
use crate::stopping::until;
use crate::store::releases::{self, Held};
use crate::store::rollouts;
use crate::workflow::Event;
use crate::{clock, fleet};

/// Endpoints that enrolled or were switched on since are noticed within this time.
const EVERY: Duration = Duration::from_secs(30);
/// What happens within this time is looked at together.
const GATHER: Duration = Duration::from_secs(1);
/// Endpoints that are asked in one transaction.
const AT_ONCE: usize = 200;

/// Looks at all roll-outs again and again until the collector stops.
pub async fn watch(desk: Releases, stopped: watch::Receiver<bool>) {
    let mut events = desk.workflow.subscribe();
    let mut watcher = Watcher::new(desk);
    let looking = async {
        loop {
            if let Err(error) = watcher.look(clock::now()).await {
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

/// Until it is time, or something happened to a roll-out. What happens within the second after it is looked at
/// together with it: a look goes over every endpoint, and no endpoint is to bring about more.
async fn wait(events: &mut broadcast::Receiver<Event>) {
    let due = Instant::now() + EVERY;
    loop {
        tokio::select! {
            () = sleep_until(due) => return,
            event = events.recv() => match event {
                Ok(Event::Rollout(_) | Event::Upgrade(_)) | Err(RecvError::Lagged(_)) => break,
                Ok(_) => {}
                Err(RecvError::Closed) => return sleep_until(due).await,
            }
        }
    }
    sleep(GATHER).await;
    while !matches!(events.try_recv(), Err(TryRecvError::Empty | TryRecvError::Closed)) {}
}

/// Who looks, and what it has said.
pub struct Watcher {
    desk: Releases,
    /// Releases that cannot be sent: said once, not at every look.
    said: BTreeSet<(Version, Target)>,
}

impl Watcher {
    #[must_use]
    pub const fn new(desk: Releases) -> Self {
        Self { desk, said: BTreeSet::new() }
    }

    /// Looks once.
    ///
    /// # Errors
    /// The database fails, or holds what this program did not write.
    pub async fn look(&mut self, now: UnixMillis) -> Result<(), ReleaseError> {
        let mut db = self.desk.store.reader().acquire().await?;
        let mut all = rollouts::all(&mut db).await?;
        drop(db);
        let live = all.iter().filter(|rollout| rollout.is_live());
        let Some(lowest) = live.map(|rollout| rollout.version).min() else { return Ok(()) };
        all.retain(|rollout| rollout.is_live() || rollout.version > lowest);
        // The highest first: it claims whom the lower ones are not to ask.
        all.sort_by_key(|rollout| (Reverse(rollout.version), rollout.id));
        let mut claims = Claims::default();
        for rollout in all {
            self.carry_on(rollout, &mut claims, now).await?;
        }
        Ok(())
    }

    async fn carry_on(
        &mut self,
        mut rollout: Rollout,
        claims: &mut Claims,
        now: UnixMillis,
    ) -> Result<(), ReleaseError> {
        let mut db = self.desk.store.reader().acquire().await?;
        let members = rollouts::members(&mut db, &rollout).await?;
        let held = releases::of_version(&mut db, rollout.version).await?;
        drop(db);
        if plan::must_stop(&rollout, &members) {
            let wide = rollout.state == RolloutState::Wide;
            let reason = if wide { RolloutStop::TooManyFailed } else { RolloutStop::CanaryFailed };
            tracing::warn!(rollout = rollout.id, version = %rollout.version, "the roll-out stops itself");
            match self.desk.stop(&Actor::Collector, rollout.id, &reason.to_string(), now).await {
                // A person was quicker.
                Ok(()) | Err(ReleaseError::NoSuchRollout(_)) => rollout.state = RolloutState::Stopped,
                Err(error) => return Err(error),
            }
        }
        let known: Vec<Release> = held.iter().map(|held| held.release.clone()).collect();
        let mut asks = plan::due(&rollout, &known, &members, claims, fleet::expires, now);
        claims.note(&rollout, &known, &members, &asks);
        if asks.is_empty() {
            return Ok(());
        }
        let sealed = self.seal(&held);
        asks.retain(|ask| sealed.iter().any(|(release, _)| *release == ask.release));
        for asks in asks.chunks(AT_ONCE) {
            ask(&self.desk, &rollout, &sealed, asks, now).await?;
        }
        Ok(())
    }

    /// The releases that agents would believe.
    fn seal<'a>(&mut self, held: &'a [Held]) -> Vec<(&'a Release, SealedRelease)> {
        let mut sealed = Vec::with_capacity(held.len());
        for held in held {
            let release = &held.release;
            match self.desk.seal(held) {
                Ok(one) => sealed.push((release, one)),
                Err(error) if self.said.insert((release.version, release.target.clone())) => {
                    tracing::warn!(%error, "a release is not sent to the endpoints");
                }
                Err(_) => {}
            }
        }
        sealed
    }
}

async fn ask(
    desk: &Releases,
    rollout: &Rollout,
    sealed: &[(&Release, SealedRelease)],
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
        let Some((_, sealed)) = sealed.iter().find(|(known, _)| known == release) else { continue };
        let upgrade = Action::Upgrade(sealed.clone());
        let (command, change) = fleet::issue(&mut tx, endpoint, &upgrade, now).await?;
        rollouts::keep_asked(&mut tx, rollout, endpoint, command, *canary, now).await?;
        changes.push(change);
    }
    let asked = changes.len();
    let events = desk.workflow.record(&mut tx, &Actor::Collector, changes, now).await?;
    tx.commit().await?;
    tracing::info!(rollout = rollout.id, version = %rollout.version, asked, "asked to upgrade");
    desk.workflow.announce(events);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_happens_at_once_is_looked_at_once() {
        let (sender, mut events) = broadcast::channel(8);
        let begun = Instant::now();
        for id in 0..20 {
            sender.send(Event::Rollout(id)).unwrap();
        }
        wait(&mut events).await;
        assert!(begun.elapsed() >= GATHER);
        assert!(matches!(events.try_recv(), Err(TryRecvError::Empty)));
    }
}
