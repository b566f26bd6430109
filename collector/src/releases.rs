//! Releases of the agent and how they reach the endpoints: a person adds a signed program, rolls it out to a
//! group, widens or stops that. `plan` decides who is asked and when a roll-out stops itself, `watch` does it.
//!
//! Each act is a change of the record first. Whether a release may be believed at all is decided by the release
//! key, which this collector does not have, and again on each endpoint.

pub mod claims;
pub mod intake;
pub mod plan;
pub mod reason;
pub mod rollout;
pub mod watch;

use std::io;
use std::sync::Arc;

use sqlx::AnyConnection;
use wardwatch_incidents::change::{Actor, Change};
use wardwatch_policies::ids::{AgentId, EndpointKind, UnitId};
use wardwatch_policies::release::{Target, Unfit, Version};
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::envelope::OpenError;
use wardwatch_wire::release::{MAX_PROGRAM_BYTES, Release, SealedRelease, open_release};

use self::intake::OtherVersion;
use self::plan::Tally;
use self::reason::RolloutStop;
use self::rollout::{Refused, Rollout, RolloutState};
use crate::authority::Authority;
use crate::store::blobs::BlobDir;
use crate::store::releases::{self, Held};
use crate::store::{Store, rollouts, units};
use crate::workflow::{Event, Workflow};

/// Roll-outs that are shown; those that are stopped only as far as the live ones leave room.
const SHOWN: usize = 20;

/// Releases and roll-outs. Cheap to clone.
#[derive(Clone)]
pub struct Releases {
    pub store: Store,
    pub workflow: Workflow,
    pub authority: Arc<Authority>,
    pub blobs: BlobDir,
}

/// What is to be rolled out, and to whom.
#[derive(Debug, Clone)]
pub struct Plan {
    pub version: Version,
    /// `None`: every unit.
    pub unit: Option<UnitId>,
    /// `None`: every kind.
    pub kind: Option<EndpointKind>,
    /// 100: to all at once.
    pub canary_percent: u8,
}

const FAILED_SHOWN: u32 = 20;

/// A roll-out and how it stands.
#[derive(Debug, Clone)]
pub struct Progress {
    pub rollout: Rollout,
    pub tally: Tally,
    /// Of its canaries alone.
    pub canaries: Tally,
    /// Endpoints that never said what they run on. The tally counts them as without a release.
    pub unknown: usize,
    /// The last endpoints that did not take the version or returned from it, with their host names.
    pub failed: Vec<(AgentId, String)>,
}

impl Progress {
    /// Endpoints of the group that said what they run on, and that no release of the version is for.
    #[must_use]
    pub const fn without(&self) -> usize {
        self.tally.without.saturating_sub(self.unknown)
    }

    /// Whether nothing speaks against widening: there are canaries, and all of them run the version.
    #[must_use]
    pub const fn canaries_are_healthy(&self) -> bool {
        self.canaries.members > 0 && self.canaries.healthy == self.canaries.members
    }
}

/// What was asked for did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    #[error(
        "this collector has no release key, since an earlier version made its keys; make one with `releases new-key` \
         and start the collector anew"
    )]
    NoReleaseKey,
    #[error(
        "the release is not believed: {error}; {asked}copy it again if it was cut off, or sign the program with the \
         release key of this collector",
        error = .0,
        asked = suspicion(.0)
    )]
    Untrusted(OpenError),
    #[error("the program is not the one that the release names; give the file that was signed")]
    OtherProgram,
    #[error("the program has more than {MAX_PROGRAM_BYTES} bytes; sign a smaller one")]
    TooLarge,
    #[error("{0}; sign it again with the target that it was built for")]
    Unfit(#[from] Unfit),
    #[error(transparent)]
    OtherVersion(#[from] OtherVersion),
    #[error("another program is held as {0} for {1}; a version is given once: build and sign a higher one")]
    Taken(Version, Target),
    #[error("there is no release {0}; `releases list` names those that there are")]
    NoSuchRelease(Version),
    #[error(
        "release {0} for {1} is signed by a release key that was replaced, so every endpoint would refuse it; sign \
         its program with the new key and give it with `releases add`"
    )]
    SignedByReplacedKey(Version, Target),
    #[error("there is no unit {0}; `units list` names those that there are")]
    NoSuchUnit(UnitId),
    #[error("{0} percent is no share; give 1 to 100")]
    Share(u8),
    #[error("roll-out {0} is not there or is past this; `releases rollouts` says how each stands")]
    NoSuchRollout(u64),
    #[error("the reason is missing; write why the roll-out is stopped")]
    ReasonMissing,
    #[error("the program cannot be kept")]
    Io(#[from] io::Error),
    #[error("the database failed")]
    Store(#[from] sqlx::Error),
}

/// What a refused signature most likely comes from.
const fn suspicion(error: &OpenError) -> &'static str {
    match error {
        OpenError::Signature => {
            "was another key than this collector's release.key given to `releases sign`? If not, "
        }
        _ => "",
    }
}

impl Releases {
    /// Begins to roll a version out: first to the canaries of the group. It stops the live roll-outs of lower
    /// versions to the very same group.
    ///
    /// # Errors
    /// There is no such release or unit, its signature counts no more, the share is none, or the database fails.
    pub async fn roll_out(&self, actor: &Actor, plan: Plan, now: UnixMillis) -> Result<u64, ReleaseError> {
        if !(1..=100).contains(&plan.canary_percent) {
            return Err(ReleaseError::Share(plan.canary_percent));
        }
        if let Some(unit) = &plan.unit
            && !units::all(self.store.reader()).await?.iter().any(|known| known.id == *unit)
        {
            return Err(ReleaseError::NoSuchUnit(unit.clone()));
        }
        let mut tx = self.store.write().await?;
        let held = releases::of_version(&mut tx, plan.version).await?;
        if held.is_empty() {
            return Err(ReleaseError::NoSuchRelease(plan.version));
        }
        for held in &held {
            self.seal(held)?;
        }
        let Plan { version, unit, kind, canary_percent } = plan;
        let state = if canary_percent == 100 { RolloutState::Wide } else { RolloutState::Canary };
        let rollout = Rollout {
            id: 0,
            version,
            unit: unit.clone(),
            kind,
            canary_percent,
            state,
            reason: None,
            begun: now,
            changed: now,
        };
        let older = rollouts::all(&mut tx).await?;
        let id = rollouts::begin(&mut tx, &rollout).await?;
        let mut changes = vec![Change::RolloutBegun { rollout: id, version, unit, kind, canary_percent }];
        let mut touched = vec![id];
        for older in older.into_iter().filter(|older| rollout.replaces(older)) {
            let reason = RolloutStop::Superseded { rollout: id, version };
            touched.push(older.id);
            changes.push(stop(&mut tx, older.id, &reason.to_string(), now).await?);
        }
        self.commit(tx, actor, changes, &touched, now).await?;
        Ok(id)
    }

    /// Lets a roll-out go on from its canaries to the whole group.
    ///
    /// # Errors
    /// There is none that waits for this, or the database fails.
    pub async fn widen(&self, actor: &Actor, id: u64, now: UnixMillis) -> Result<(), ReleaseError> {
        let mut tx = self.store.write().await?;
        advance(&mut tx, id, |rollout| rollout.widened(now)).await?;
        self.commit(tx, actor, vec![Change::RolloutWidened { rollout: id }], &[id], now).await
    }

    /// Ends a roll-out: nobody more is asked. What was upgraded stays so.
    ///
    /// # Errors
    /// There is none that still goes on, the reason is missing, or the database fails.
    pub async fn stop(
        &self,
        actor: &Actor,
        id: u64,
        reason: &str,
        now: UnixMillis,
    ) -> Result<(), ReleaseError> {
        let reason = reason.trim();
        if reason.is_empty() {
            return Err(ReleaseError::ReasonMissing);
        }
        let mut tx = self.store.write().await?;
        let change = stop(&mut tx, id, reason, now).await?;
        self.commit(tx, actor, vec![change], &[id], now).await
    }

    async fn commit(
        &self,
        mut tx: sqlx::Transaction<'static, sqlx::Any>,
        actor: &Actor,
        changes: Vec<Change>,
        touched: &[u64],
        now: UnixMillis,
    ) -> Result<(), ReleaseError> {
        let mut events = self.workflow.record(&mut tx, actor, changes, now).await?;
        tx.commit().await?;
        events.extend(touched.iter().map(|id| Event::Rollout(*id)));
        self.workflow.announce(events);
        Ok(())
    }

    /// The live roll-outs and the newest of those that are stopped, newest first, with how they stand.
    ///
    /// # Errors
    /// The database fails, or holds what this program did not write.
    pub async fn progress(&self) -> Result<Vec<Progress>, sqlx::Error> {
        let mut db = self.store.reader().acquire().await?;
        let all = rollouts::all(&mut db).await?;
        let live = all.iter().filter(|rollout| rollout.is_live()).count();
        let mut room = SHOWN.saturating_sub(live);
        let mut progress = Vec::with_capacity(live + room);
        for rollout in all {
            if !rollout.is_live() {
                let Some(left) = room.checked_sub(1) else { continue };
                room = left;
            }
            progress.push(stands(&mut db, rollout).await?);
        }
        Ok(progress)
    }

    /// One roll-out, however old, with how it stands.
    ///
    /// # Errors
    /// There is none, or the database fails.
    pub async fn progress_of(&self, id: u64) -> Result<Progress, ReleaseError> {
        let mut db = self.store.reader().acquire().await?;
        let rollout = rollouts::find(&mut db, id).await?.ok_or(ReleaseError::NoSuchRollout(id))?;
        Ok(stands(&mut db, rollout).await?)
    }

    /// A held release with all that an agent needs to believe it. Today's release key must have signed it: the
    /// root key's word that goes along is for no other.
    fn seal(&self, held: &Held) -> Result<SealedRelease, ReleaseError> {
        let authority = self.authority.release().ok_or(ReleaseError::NoReleaseKey)?;
        if open_release(&held.sealed, &authority.key).ok().as_ref() != Some(&held.release) {
            let Release { version, target, .. } = held.release.clone();
            return Err(ReleaseError::SignedByReplacedKey(version, target));
        }
        Ok(SealedRelease {
            root_key: self.authority.root_key(),
            release_key: authority.word.clone(),
            release: held.sealed.clone(),
        })
    }
}

async fn stands(db: &mut AnyConnection, rollout: Rollout) -> Result<Progress, sqlx::Error> {
    let held = releases::of_version(db, rollout.version).await?;
    let known: Vec<Release> = held.into_iter().map(|held| held.release).collect();
    let members = rollouts::members(db, &rollout).await?;
    let unknown = members.iter().filter(|member| member.target.is_none()).count();
    let fitting = plan::fitting(&rollout, &known, &members).into_iter();
    let canaries = fitting.filter(|one| one.is_reached(RolloutState::Canary));
    let canaries: Vec<_> = canaries.map(|one| one.member.clone()).collect();
    Ok(Progress {
        tally: plan::tally(&rollout, &known, &members),
        canaries: plan::tally(&rollout, &known, &canaries),
        failed: rollouts::failed(db, rollout.id, FAILED_SHOWN).await?,
        rollout,
        unknown,
    })
}

async fn stop(
    db: &mut AnyConnection,
    id: u64,
    reason: &str,
    now: UnixMillis,
) -> Result<Change, ReleaseError> {
    advance(db, id, |rollout| rollout.stopped(reason, now)).await?;
    rollouts::withdraw(db, id, now).await?;
    Ok(Change::RolloutStopped { rollout: id, reason: reason.to_owned() })
}

async fn advance(
    db: &mut AnyConnection,
    id: u64,
    step: impl FnOnce(Rollout) -> Result<Rollout, Refused>,
) -> Result<(), ReleaseError> {
    let rollout = rollouts::find(db, id).await?.ok_or(ReleaseError::NoSuchRollout(id))?;
    let rollout = step(rollout).map_err(|_| ReleaseError::NoSuchRollout(id))?;
    Ok(rollouts::keep_state(db, &rollout).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_of_another_key_is_refused_with_a_question_for_the_key() {
        insta::assert_snapshot!(ReleaseError::Untrusted(OpenError::Signature), @"the release is not believed: the signature is not of this key, or for another agent, kind or direction; was another key than this collector's release.key given to `releases sign`? If not, copy it again if it was cut off, or sign the program with the release key of this collector");
        insta::assert_snapshot!(ReleaseError::Untrusted(OpenError::Malformed("eof".into())), @"the release is not believed: not a COSE_Sign1 message: eof; copy it again if it was cut off, or sign the program with the release key of this collector");
    }
}
