//! Whom a roll-out asks now, and when it stops by itself. Pure.

use wardwatch_policies::digest::Digest;
use wardwatch_policies::ids::AgentId;
use wardwatch_policies::release::Version;
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::release::Release;

use super::claims::Claims;
use super::rollout::{Member, Outcome, Rollout, RolloutState};

/// A widened roll-out stops when so many have failed, of a smaller group all, and they are a tenth of those that tried.
const FAILURES: usize = 3;
/// One in so many that fails stops a roll-out: a faulty program fails on more, and a single endpoint in foreign
/// hands that says so of a good one is not to keep a city from upgrading.
const SHARE: usize = 10;

/// How a roll-out stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Endpoints of the group that there is a program for.
    pub members: usize,
    pub canaries: usize,
    /// Not asked yet, or not heard of since.
    pub waiting: usize,
    /// They run this version or a newer one.
    pub healthy: usize,
    pub returned: usize,
    pub refused: usize,
    /// Their own settings forbid upgrades.
    pub not_allowed: usize,
    /// Endpoints of the group that no release of this version is for.
    pub without: usize,
}

/// One endpoint that is to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask<'a> {
    pub endpoint: &'a AgentId,
    pub release: &'a Release,
    pub canary: bool,
}

/// A member with what it would become.
pub(super) struct Fitting<'a> {
    pub(super) member: &'a Member,
    release: &'a Release,
    canary: bool,
}

impl Fitting<'_> {
    /// Whether a roll-out in this state goes as far as to this member.
    pub(super) const fn is_reached(&self, state: RolloutState) -> bool {
        match state {
            RolloutState::Canary => self.canary,
            RolloutState::Wide => true,
            RolloutState::Stopped => false,
        }
    }
}

/// A number for an endpoint and a release that nobody chooses; the lowest are the canaries.
fn rank(endpoint: &AgentId, release: &Release) -> u32 {
    let digest = Digest::of(&[endpoint.as_str().as_bytes(), release.digest.as_bytes()].concat());
    u32::from_be_bytes(digest.as_bytes()[..4].try_into().unwrap_or_default())
}

pub(super) fn fitting<'a>(
    rollout: &Rollout,
    releases: &'a [Release],
    members: &'a [Member],
) -> Vec<Fitting<'a>> {
    let share = u64::from(rollout.canary_percent) * u64::from(u32::MAX) / 100;
    let mut fitting: Vec<_> = members
        .iter()
        .filter_map(|member| {
            let release = releases.iter().find(|release| Some(&release.target) == member.target.as_ref())?;
            let canary = u64::from(rank(&member.endpoint, release)) <= share;
            Some(Fitting { member, release, canary })
        })
        .collect();
    // A group so small that the share meets nobody still has one.
    if !fitting.iter().any(|one| one.canary)
        && let Some(lowest) = fitting.iter_mut().min_by_key(|one| rank(&one.member.endpoint, one.release))
    {
        lowest.canary = true;
    }
    fitting
}

fn is_there(member: &Member, version: Version) -> bool {
    member.outcome == Some(Outcome::Healthy) || member.version >= Some(version)
}

/// The endpoints to be asked now, but for those that other roll-outs claim. One that has not answered is asked
/// again when what asked it `expires`, if it was heard from since: one that is gone costs nothing.
#[must_use]
pub fn due<'a>(
    rollout: &Rollout,
    releases: &'a [Release],
    members: &'a [Member],
    claims: &Claims,
    expires: fn(UnixMillis) -> UnixMillis,
    now: UnixMillis,
) -> Vec<Ask<'a>> {
    fitting(rollout, releases, members)
        .into_iter()
        .filter(|one| one.is_reached(rollout.state))
        .filter(|Fitting { member, .. }| {
            !member.outcome.is_some_and(Outcome::is_final)
                && !is_there(member, rollout.version)
                && !claims.hold(&member.endpoint, rollout.version)
                && member.asked.is_none_or(|asked| now >= expires(asked) && member.seen > Some(asked))
        })
        .map(|one| Ask { endpoint: &one.member.endpoint, release: one.release, canary: one.canary })
        .collect()
}

/// Counts the group.
#[must_use]
pub fn tally(rollout: &Rollout, releases: &[Release], members: &[Member]) -> Tally {
    let fitting = fitting(rollout, releases, members);
    let mut tally =
        Tally { members: fitting.len(), without: members.len() - fitting.len(), ..Tally::default() };
    for Fitting { member, canary, .. } in fitting {
        tally.canaries += usize::from(canary);
        match member.outcome {
            Some(Outcome::Returned) => tally.returned += 1,
            Some(Outcome::Refused) => tally.refused += 1,
            Some(Outcome::NotAllowed) => tally.not_allowed += 1,
            _ if is_there(member, rollout.version) => tally.healthy += 1,
            _ => tally.waiting += 1,
        }
    }
    tally
}

/// Whether so much went wrong that nobody more is to be asked.
#[must_use]
pub fn must_stop(rollout: &Rollout, members: &[Member]) -> bool {
    let count = |fits: fn(&Member) -> bool| members.iter().filter(|member| fits(member)).count();
    let failed = count(|member| member.outcome.is_some_and(Outcome::is_failure));
    let (least, of) = match rollout.state {
        RolloutState::Canary => (1, count(|member| member.canary)),
        RolloutState::Wide => {
            let tried = |member: &Member| matches!(member.outcome, Some(o) if o.is_failure() || o == Outcome::Healthy);
            (FAILURES.min(members.len()).max(1), count(tried))
        }
        RolloutState::Stopped => return false,
    };
    failed >= least && failed * SHARE >= of
}

#[cfg(test)]
mod tests;
