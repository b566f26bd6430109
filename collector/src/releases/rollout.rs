//! A roll-out, its states, and the endpoints of its group. Pure; [`super::plan`] decides by them, the store keeps them.

use wardwatch_policies::ids::{AgentId, EndpointKind, UnitId};
use wardwatch_policies::release::{Target, Version};
use wardwatch_policies::time::UnixMillis;

/// How far a roll-out goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RolloutState {
    /// To the canaries only.
    Canary,
    /// To all of its group.
    Wide,
    /// To nobody more.
    Stopped,
}

impl RolloutState {
    pub const ALL: [Self; 3] = [Self::Canary, Self::Wide, Self::Stopped];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Canary => "canary",
            Self::Wide => "wide",
            Self::Stopped => "stopped",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// A version on its way to a group of endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollout {
    pub id: u64,
    pub version: Version,
    /// `None`: every unit.
    pub unit: Option<UnitId>,
    /// `None`: every kind.
    pub kind: Option<EndpointKind>,
    pub canary_percent: u8,
    pub state: RolloutState,
    /// Why it was stopped, as [`super::reason::RolloutStop`] reads it.
    pub reason: Option<String>,
    pub begun: UnixMillis,
    pub changed: UnixMillis,
}

/// A roll-out is past what was asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a roll-out whose state is {} cannot be {action}", from.as_str())]
pub struct Refused {
    pub from: RolloutState,
    pub action: &'static str,
}

impl Rollout {
    /// Whether it goes on.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.state != RolloutState::Stopped
    }

    /// Whether it takes the place of another: of a lower version on its way to the very same group.
    #[must_use]
    pub fn replaces(&self, other: &Self) -> bool {
        other.is_live()
            && other.version < self.version
            && (&other.unit, other.kind) == (&self.unit, self.kind)
    }

    /// Goes on from the canaries to the whole group.
    ///
    /// # Errors
    /// It goes to the whole group already, or is stopped.
    pub fn widened(self, now: UnixMillis) -> Result<Self, Refused> {
        match self.state {
            RolloutState::Canary => Ok(Self { state: RolloutState::Wide, changed: now, ..self }),
            from => Err(Refused { from, action: "widened" }),
        }
    }

    /// Goes to nobody more.
    ///
    /// # Errors
    /// It is stopped already.
    pub fn stopped(self, reason: &str, now: UnixMillis) -> Result<Self, Refused> {
        match self.state {
            RolloutState::Canary | RolloutState::Wide => {
                let reason = Some(reason.to_owned());
                Ok(Self { state: RolloutState::Stopped, reason, changed: now, ..self })
            }
            from @ RolloutState::Stopped => Err(Refused { from, action: "stopped" }),
        }
    }
}

/// An endpoint of a roll-out's group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub endpoint: AgentId,
    /// As it said last.
    pub version: Option<Version>,
    pub target: Option<Target>,
    /// When it was last heard from.
    pub seen: Option<UnixMillis>,
    /// When the roll-out last asked it.
    pub asked: Option<UnixMillis>,
    /// Whether it was asked as a canary.
    pub canary: bool,
    pub outcome: Option<Outcome>,
}

/// [`wardwatch_policies::release::UpgradeOutcome`] without its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Healthy,
    Returned,
    Refused,
    NotAllowed,
    Withdrawn,
}

impl Outcome {
    pub const ALL: [Self; 5] =
        [Self::Healthy, Self::Returned, Self::Refused, Self::NotAllowed, Self::Withdrawn];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Returned => "returned",
            Self::Refused => "refused",
            Self::NotAllowed => "not-allowed",
            Self::Withdrawn => "withdrawn",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text)
    }

    /// Whether the program came to nothing there. Settings that forbid upgrades say nothing about the program.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Returned | Self::Refused)
    }

    /// Whether the endpoint has made up its mind: one that let an old order go is asked again.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Withdrawn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rollout(state: RolloutState) -> Rollout {
        Rollout {
            id: 1,
            version: "0.2.0".parse().unwrap(),
            unit: None,
            kind: None,
            canary_percent: 10,
            state,
            reason: None,
            begun: UnixMillis(1),
            changed: UnixMillis(1),
        }
    }

    #[test]
    fn a_roll_out_widens_once_and_stops_once_and_never_goes_back() {
        use RolloutState::{Canary, Stopped, Wide};
        let now = UnixMillis(2);
        let wide = rollout(Canary).widened(now).unwrap();
        assert_eq!((wide.state, wide.changed, wide.reason.as_deref()), (Wide, now, None));
        for from in [Wide, Stopped] {
            assert_eq!(rollout(from).widened(now), Err(Refused { from, action: "widened" }));
        }
        for from in [Canary, Wide] {
            let stopped = rollout(from).stopped("why", now).unwrap();
            assert_eq!(
                (stopped.state, stopped.changed, stopped.reason.as_deref()),
                (Stopped, now, Some("why"))
            );
        }
        let refused = rollout(Stopped).stopped("why", now).unwrap_err();
        assert_eq!(refused.to_string(), "a roll-out whose state is stopped cannot be stopped");
    }
}
