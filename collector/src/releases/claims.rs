//! Who is left to which roll-out, where several reach one endpoint. Pure.
//!
//! An agent that tried a version refuses every lower one, and takes none twice; asked by two roll-outs, it would
//! refuse one of them, and that would look like a fault.

use std::collections::BTreeMap;

use wardwatch_policies::ids::AgentId;
use wardwatch_policies::release::Version;
use wardwatch_wire::release::Release;

use super::plan::{self, Ask};
use super::rollout::{Member, Outcome, Rollout};

#[derive(Debug)]
struct Claim {
    /// The highest that a roll-out has for the endpoint.
    version: Version,
    /// One of that version has asked it, and it has not refused.
    asked: bool,
}

/// What the roll-outs that were looked at keep from the others.
#[derive(Debug, Default)]
pub struct Claims(BTreeMap<AgentId, Claim>);

impl Claims {
    /// Notes whom a roll-out reaches, and `asks` now. Of one that is stopped, who tried its version and returned.
    pub fn note(&mut self, rollout: &Rollout, releases: &[Release], members: &[Member], asks: &[Ask<'_>]) {
        for one in plan::fitting(rollout, releases, members) {
            let member = one.member;
            let live = rollout.is_live();
            let asked_before = member.asked.is_some();
            let claimed = if live {
                asked_before || one.is_reached(rollout.state)
            } else {
                member.outcome == Some(Outcome::Returned)
            };
            if !claimed {
                continue;
            }
            let open = matches!(member.outcome, None | Some(Outcome::Healthy));
            let asked =
                live && ((asked_before && open) || asks.iter().any(|ask| *ask.endpoint == member.endpoint));
            let claim = self
                .0
                .entry(member.endpoint.clone())
                .or_insert(Claim { version: rollout.version, asked: false });
            if rollout.version > claim.version {
                *claim = Claim { version: rollout.version, asked };
            } else if rollout.version == claim.version {
                claim.asked |= asked;
            }
        }
    }

    /// Whether a roll-out of this version is to leave the endpoint alone.
    #[must_use]
    pub fn hold(&self, endpoint: &AgentId, version: Version) -> bool {
        self.0
            .get(endpoint)
            .is_some_and(|claim| claim.version > version || (claim.version == version && claim.asked))
    }
}
