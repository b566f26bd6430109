//! The page's words for values of the record.

use wardwatch_policies::file::{FileState, Sighting};
use wardwatch_policies::finding::{Finding, StreamReason};
use wardwatch_policies::ids::EndpointKind;
use wardwatch_policies::release::UpgradeOutcome;
use wardwatch_policies::severity::Severity;
use wardwatch_policies::text::Language;
use wardwatch_policies::verdict::Verdict;
use wardwatch_wire::downlink::ActionKind;

use super::catalogue;
use super::language::{Key, Words as _};
use super::rows::alerts::AlertState;
use crate::releases::reason::RolloutStop;
use crate::releases::rollout::{Outcome, RolloutState};
use crate::store::endpoints::State;
use crate::store::reports::Link;

pub(super) const fn severity(severity: Severity) -> Key {
    match severity {
        Severity::Low => Key("severity-low"),
        Severity::Medium => Key("severity-medium"),
        Severity::High => Key("severity-high"),
        Severity::Critical => Key("severity-critical"),
    }
}

/// An open alert that an incident takes care of is not waiting for anyone.
pub(super) const fn alert_state(state: AlertState, in_incident: bool) -> Key {
    match state {
        AlertState::Open if in_incident => Key("alert-in-incident"),
        AlertState::Open => Key("alert-open"),
        AlertState::Silenced => Key("alert-silenced"),
        AlertState::Closed => Key("alert-closed"),
    }
}

pub(super) const fn kind(kind: EndpointKind) -> Key {
    match kind {
        EndpointKind::OfficePc => Key("kind-office-pc"),
        EndpointKind::CameraRecorder => Key("kind-camera-recorder"),
        EndpointKind::Server => Key("kind-server"),
    }
}

/// What there is to say about an endpoint's standing in one word, and the colour it is shown in.
pub(super) const fn standing(state: State, link: Link) -> (Key, &'static str) {
    match (state, link) {
        (State::Pending, _) => (Key("standing-pending"), "warn"),
        (State::Removed, _) => (Key("standing-removed"), "quiet"),
        (State::Active, Link::Heard) => (Key("standing-heard"), "good"),
        (State::Active, Link::Silent) => (Key("standing-silent"), "bad"),
        (State::Active, Link::Off) => (Key("standing-off"), "quiet"),
        (State::Active, Link::Never) => (Key("standing-never"), "warn"),
    }
}

pub(super) const fn action(action: ActionKind) -> Key {
    match action {
        ActionKind::Rescan => Key("command-rescan"),
        ActionKind::Recheck => Key("command-recheck"),
        ActionKind::Upgrade => Key("command-upgrade"),
    }
}

pub(super) const fn rollout(state: RolloutState) -> (Key, &'static str) {
    match state {
        RolloutState::Canary => (Key("rollout-canary"), "warn"),
        RolloutState::Wide => (Key("rollout-wide"), "good"),
        RolloutState::Stopped => (Key("rollout-stopped"), "quiet"),
    }
}

/// Why a roll-out was stopped.
pub(super) fn rollout_stop(language: Language, reason: &str) -> String {
    match RolloutStop::parse(reason) {
        RolloutStop::CanaryFailed => language.text("stopped-canary-failed").into_owned(),
        RolloutStop::TooManyFailed => language.text("stopped-too-many-failed").into_owned(),
        RolloutStop::Superseded { rollout, version } => {
            language.with("stopped-superseded", "rollout", format!("{rollout} ({version})"))
        }
        RolloutStop::Said(words) => words,
    }
}

/// How an endpoint stands to the version that it was last asked to become.
pub(super) const fn upgrade(outcome: Option<Outcome>) -> (Key, &'static str) {
    match outcome {
        None => (Key("upgrade-waiting"), "warn"),
        Some(Outcome::Healthy) => (Key("upgrade-healthy"), "good"),
        Some(Outcome::Returned) => (Key("upgrade-returned"), "bad"),
        Some(Outcome::Refused) => (Key("upgrade-refused"), "bad"),
        Some(Outcome::NotAllowed) => (Key("upgrade-not-allowed"), "quiet"),
        Some(Outcome::Withdrawn) => (Key("upgrade-withdrawn"), "quiet"),
    }
}

pub(super) const fn verdict(verdict: &Verdict) -> (Key, &'static str) {
    match verdict {
        Verdict::Pass => (Key("verdict-pass"), "good"),
        Verdict::Fail => (Key("verdict-fail"), "bad"),
        Verdict::NotApplicable => (Key("verdict-not-applicable"), "quiet"),
        Verdict::Unknown(_) => (Key("verdict-unknown"), "warn"),
    }
}

const fn stream_reason(reason: StreamReason) -> Key {
    match reason {
        StreamReason::FirstStart => Key("stream-first-start"),
        StreamReason::StateLost => Key("stream-state-lost"),
        StreamReason::StateRolledBack => Key("stream-state-rolled-back"),
        StreamReason::CollectorRestored => Key("stream-collector-restored"),
    }
}

/// A finding in one line.
pub(super) fn finding(language: Language, finding: &Finding) -> String {
    match finding {
        Finding::File { path, old, new } => {
            let key = match (old, new) {
                (Sighting::Absent, Sighting::Present(_)) => Key("finding-file-added"),
                (_, Sighting::Absent) => Key("finding-file-gone"),
                (_, Sighting::Unreadable(_)) => Key("finding-file-unreadable"),
                (_, Sighting::Present(_)) => Key("finding-file-changed"),
            };
            language.with(key.0, "path", path)
        }
        Finding::Check { policy, check, new, .. } => {
            let title = catalogue::check(language, policy.as_str(), check.as_str()).title;
            let key = match new {
                Verdict::Fail => Key("finding-check-fails"),
                Verdict::Unknown(_) => Key("finding-check-unknown"),
                Verdict::Pass | Verdict::NotApplicable => Key("finding-check-passes"),
            };
            language.with(key.0, "check", title)
        }
        Finding::Blind { root, .. } => language.with("finding-blind", "root", root),
        Finding::StreamOpened { reason } => language.text(stream_reason(*reason).0).into_owned(),
        Finding::Fork { seq } => language.with("finding-fork", "seq", seq),
        Finding::IdentityCloned => language.text("finding-cloned").into_owned(),
        Finding::Silent { .. } => language.text("finding-silent").into_owned(),
        Finding::Heard => language.text("finding-heard").into_owned(),
        Finding::Upgrade { version, outcome } => {
            let key = match outcome {
                UpgradeOutcome::Healthy => Key("finding-upgrade-healthy"),
                UpgradeOutcome::Returned { .. } => Key("finding-upgrade-returned"),
                UpgradeOutcome::Refused { .. } => Key("finding-upgrade-refused"),
                UpgradeOutcome::NotAllowed => Key("finding-upgrade-not-allowed"),
                UpgradeOutcome::Withdrawn => Key("finding-upgrade-withdrawn"),
            };
            let version = version.map_or_else(|| "?".to_owned(), |version| version.to_string());
            language.with(key.0, "version", version)
        }
    }
}

/// One side of a comparison: what was, or what is.
pub(super) struct Side {
    pub label: String,
    /// All 64 digits.
    pub digest: Option<String>,
    pub details: String,
}

pub(super) fn side(language: Language, sighting: &Sighting) -> Side {
    match sighting {
        Sighting::Absent => Side {
            label: language.text("sighting-absent").into_owned(),
            digest: None,
            details: String::new(),
        },
        Sighting::Unreadable(reason) => Side {
            label: language.text("sighting-unreadable").into_owned(),
            digest: None,
            details: reason.clone(),
        },
        Sighting::Present(state) => Side {
            label: language.text("sighting-present").into_owned(),
            digest: Some(state.digest.to_string()),
            details: details(state),
        },
    }
}

fn details(state: &FileState) -> String {
    let mut parts = vec![bytes(state.size)];
    if let Some(mode) = state.mode {
        parts.push(format!("{mode:04o}"));
    }
    if let Some((user, group)) = state.owner {
        parts.push(format!("{user}:{group}"));
    }
    parts.join(" · ")
}

/// A size in the largest unit that keeps a digit before the point.
pub(super) fn bytes(size: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if size < 1024 {
        return format!("{size} B");
    }
    let mut tenths = u128::from(size) * 10 / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_one_digit_after_the_point() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(20 * 1024 * 1024), "20.0 MiB");
        assert_eq!(bytes(u64::MAX), "16777215.9 TiB");
    }
}
