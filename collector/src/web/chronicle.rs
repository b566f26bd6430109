//! The change log in sentences: who did what.

use wardwatch_incidents::chain::LogEntry;
use wardwatch_incidents::change::{Actor, AlertId, Change, Outcome};
use wardwatch_policies::ids::StepId;
use wardwatch_policies::text::Language;
use wardwatch_wire::downlink::ActionKind;

use super::language::{Key, Words as _};
use super::{catalogue, words};

/// One entry of the log for a person.
pub(super) struct Line {
    pub entry: LogEntry,
    pub who: String,
    pub what: String,
    /// What the person wrote, or the finding.
    pub detail: String,
}

pub(super) fn line(language: Language, entry: LogEntry) -> Line {
    let (what, detail) = change(language, &entry.change);
    Line { who: actor(language, &entry.actor), what, detail, entry }
}

pub(super) fn actor(language: Language, actor: &Actor) -> String {
    match actor {
        Actor::Collector => language.text("actor-collector").into_owned(),
        Actor::Rule(rule) => {
            language.with("actor-rule", "rule", catalogue::rule(language, rule.as_str()).title)
        }
        Actor::User(name) => name.clone(),
        Actor::LocalAdmin => language.text("actor-local-admin").into_owned(),
    }
}

pub(super) const fn outcome(outcome: Outcome) -> Key {
    match outcome {
        Outcome::Pass => Key("outcome-pass"),
        Outcome::Fail => Key("outcome-fail"),
    }
}

pub(super) fn steps(steps: &[StepId]) -> String {
    steps.iter().map(StepId::as_str).collect::<Vec<_>>().join(", ")
}

fn change(language: Language, change: &Change) -> (String, String) {
    let about_alert = |key: Key, alert: AlertId| language.with(key.0, "alert", alert);
    let about_step = |key: Key, step: &StepId| language.with(key.0, "step", step);
    let none = String::new;
    match change {
        Change::AlertRaised { alert, finding, .. } => {
            (about_alert(Key("log-alert-raised"), *alert), words::finding(language, finding))
        }
        Change::AlertRepeated { alert, finding, .. } => {
            (about_alert(Key("log-alert-repeated"), *alert), words::finding(language, finding))
        }
        Change::AlertEased { alert, endpoint } => {
            (about_alert(Key("log-alert-eased"), *alert), endpoint.to_string())
        }
        Change::AlertClosed { alert, reason } => {
            (about_alert(Key("log-alert-closed"), *alert), reason.clone())
        }
        Change::AlertSilenced { alert, reason, .. } => {
            (about_alert(Key("log-alert-silenced"), *alert), reason.clone())
        }
        Change::AlertAttached { alert, .. } => (about_alert(Key("log-alert-attached"), *alert), none()),
        Change::IncidentRaised { title, .. } => {
            (language.text("log-incident-raised").into_owned(), title.get(language).to_owned())
        }
        Change::SeriousnessAssessed { serious, reason, .. } => {
            let key = if *serious { Key("log-assessed-serious") } else { Key("log-assessed-not-serious") };
            (language.text(key.0).into_owned(), reason.clone())
        }
        Change::StepDone { step, note, outcome: Some(outcome), .. } => {
            let key = match outcome {
                Outcome::Pass => Key("log-step-passed"),
                Outcome::Fail => Key("log-step-failed"),
            };
            (about_step(key, step), note.clone())
        }
        Change::StepDone { step, note, .. } => (about_step(Key("log-step-done"), step), note.clone()),
        Change::StepNotApplicable { step, reason, .. } => {
            (about_step(Key("log-step-not-applicable"), step), reason.clone())
        }
        Change::StepReopened { step, reason, .. } => {
            (about_step(Key("log-step-reopened"), step), reason.clone())
        }
        Change::RoundOpened { round, steps: repeated, .. } => {
            (language.with("log-round-opened", "round", round), steps(repeated))
        }
        Change::IncidentClosed { .. } => (language.text("log-incident-closed").into_owned(), none()),
        Change::EndpointEnrolled { hostname, endpoint, .. } => {
            (language.with("log-endpoint-enrolled", "endpoint", hostname), endpoint.to_string())
        }
        Change::EndpointApproved { endpoint } => {
            (language.with("log-endpoint-approved", "endpoint", endpoint), none())
        }
        Change::EndpointRemoved { endpoint, reason } => {
            (language.with("log-endpoint-removed", "endpoint", endpoint), reason.clone())
        }
        Change::TokenCreated { token, unit, .. } => {
            (language.with("log-token-created", "token", token), unit.to_string())
        }
        Change::TokenRevoked { token } => (language.with("log-token-revoked", "token", token), none()),
        Change::UserCreated { user } => (language.with("log-user-created", "user", user), none()),
        Change::PasswordChanged { user } => (language.with("log-password-changed", "user", user), none()),
        Change::CommandIssued { endpoint, action, .. } => {
            let known = ActionKind::parse(action).map(|action| language.text(words::action(action).0));
            let action = known.as_deref().unwrap_or(action);
            (language.with("log-command-issued", "action", action), endpoint.to_string())
        }
        Change::ReleaseAdded { version, target, .. } => {
            (language.with("log-release-added", "version", version), target.to_string())
        }
        Change::ReleaseSignedAnew { version, target } => {
            (language.with("log-release-signed-anew", "version", version), target.to_string())
        }
        Change::RolloutBegun { version, unit, kind, .. } => {
            let unit =
                unit.as_ref().map_or_else(|| language.text("every-unit").into_owned(), ToString::to_string);
            let kind = language.text(kind.map_or(Key("every-kind"), words::kind).0);
            (language.with("log-rollout-begun", "version", version), format!("{unit} · {kind}"))
        }
        Change::RolloutWidened { rollout } => {
            (language.with("log-rollout-widened", "rollout", rollout), none())
        }
        Change::RolloutStopped { rollout, reason } => {
            (language.with("log-rollout-stopped", "rollout", rollout), words::rollout_stop(language, reason))
        }
    }
}
