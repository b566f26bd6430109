//! From a finding and the rule it matched to changes: raise, repeat, ease or close an alert, raise or join an
//! incident. Deterministic, and idempotent: a finding that is already the alert's latest changes nothing.
//!
//! Looking up what is open is the caller's part: [`key`] says what to look for. Which rule matches is the
//! policies crate's.

use wardwatch_policies::detection::{Group, Rule, Scope, Then};
use wardwatch_policies::finding::Finding;
use wardwatch_policies::ids::{AgentId, ProcedureId, UnitId};
use wardwatch_policies::path::EndpointPath;
use wardwatch_policies::severity::Severity;
use wardwatch_policies::text::Text;
use wardwatch_policies::time::UnixMillis;

use crate::alert::Alert;
use crate::change::{AlertId, Change, IncidentId};

/// Where and when a finding arose.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    pub endpoint: &'a AgentId,
    /// For a person, in an incident's title.
    pub hostname: &'a str,
    pub unit: &'a UnitId,
    pub now: UnixMillis,
    /// Of the check that the finding is about, where its policy is known.
    pub check_severity: Option<Severity>,
    /// The procedure that an incident raised by a rule follows.
    pub procedure: &'a ProcedureId,
}

/// Which alert and which incident to look up before diagnosing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key<'a> {
    /// The alert's endpoint; `None` where one alert stands for the whole unit.
    pub endpoint: Option<&'a AgentId>,
    pub unit: &'a UnitId,
    pub fingerprint: String,
    /// The open incident of this endpoint whose alerts came from rules of this group.
    pub group: Option<&'a Group>,
}

/// What is open already.
#[derive(Debug, Clone, Copy, Default)]
pub struct Open<'a> {
    /// The alert of [`Key::fingerprint`] that is not closed.
    pub alert: Option<&'a Alert>,
    /// The open incident of the endpoint and [`Key::group`].
    pub incident: Option<IncidentId>,
}

/// The identifiers for what may be raised.
#[derive(Debug, Clone, Copy)]
pub struct Next {
    pub alert: AlertId,
    pub incident: IncidentId,
}

/// What to look up for a finding that matched `rule`.
#[must_use]
pub fn key<'a>(rule: &'a Rule, context: &Context<'a>, finding: &Finding) -> Key<'a> {
    Key {
        endpoint: (rule.scope() == Scope::Endpoint).then_some(context.endpoint),
        unit: context.unit,
        fingerprint: finding.fingerprint(),
        group: rule.group(),
    }
}

/// What the finding changes. Record the changes as made by `Actor::Rule(rule.id)`.
#[must_use]
pub fn diagnose(
    rule: &Rule,
    context: &Context<'_>,
    finding: &Finding,
    open: Open<'_>,
    next: Next,
) -> Vec<Change> {
    let open = Open { alert: open.alert.filter(|alert| !alert.is_closed()), ..open };
    match &rule.then {
        Then::Close { .. } => open.alert.map_or_else(Vec::new, |alert| close(rule, context, alert)),
        Then::Alert { severity, incident, .. } => {
            let severity = severity.resolve(context.check_severity);
            let mut changes = Vec::new();
            let alert = open.alert.map_or(next.alert, |alert| alert.id);
            changes.extend(raise_or_repeat(rule, context, finding, severity, open.alert, alert));
            if incident.is_some() && may_lead_to_incident(open.alert, context.now) {
                changes.push(raise_or_attach(rule, context, finding, severity, alert, open.incident, next));
            }
            changes
        }
    }
}

fn raise_or_repeat(
    rule: &Rule,
    context: &Context<'_>,
    finding: &Finding,
    severity: Severity,
    open: Option<&Alert>,
    alert: AlertId,
) -> Option<Change> {
    let endpoint = context.endpoint.clone();
    let Some(open) = open else {
        return Some(Change::AlertRaised {
            alert,
            endpoint,
            unit: context.unit.clone(),
            rule: rule.id.clone(),
            severity,
            fingerprint: finding.fingerprint(),
            finding: finding.clone(),
        });
    };
    let known = open.concerned.get(context.endpoint) == Some(finding);
    (!known).then(|| Change::AlertRepeated {
        alert,
        endpoint,
        rule: rule.id.clone(),
        severity,
        finding: finding.clone(),
    })
}

/// A new alert, or one that belongs to no incident and is not silenced.
fn may_lead_to_incident(open: Option<&Alert>, now: UnixMillis) -> bool {
    open.is_none_or(|alert| alert.incident.is_none() && !alert.is_silenced(now))
}

fn raise_or_attach(
    rule: &Rule,
    context: &Context<'_>,
    finding: &Finding,
    severity: Severity,
    alert: AlertId,
    open: Option<IncidentId>,
    next: Next,
) -> Change {
    match open {
        Some(incident) => Change::AlertAttached { incident, alert, severity },
        None => Change::IncidentRaised {
            incident: next.incident,
            procedure: context.procedure.clone(),
            title: title(rule, context, finding),
            severity,
            alerts: vec![alert],
            reason: rule.why.vi.clone(),
        },
    }
}

/// As in "An executable in a system directory changed: /usr/bin/ls (phuong-1-pc-3)".
fn title(rule: &Rule, context: &Context<'_>, finding: &Finding) -> Text {
    let subject = match finding {
        Finding::File { path, .. } | Finding::Blind { root: path, .. } => format!(": {}", shortened(path)),
        Finding::Check { policy, check, .. } => format!(": {policy}/{check}"),
        _ => String::new(),
    };
    let with = |words: &str| format!("{words}{subject} ({})", context.hostname);
    Text { vi: with(&rule.title.vi), en: with(&rule.title.en) }
}

/// The end of a path tells more than its beginning.
fn shortened(path: &EndpointPath) -> String {
    const MAX_CHARS: usize = 120;
    let text = path.to_string();
    let length = text.chars().count();
    if length <= MAX_CHARS {
        return text;
    }
    let end: String = text.chars().skip(length - MAX_CHARS).collect();
    format!("…{end}")
}

fn close(rule: &Rule, context: &Context<'_>, alert: &Alert) -> Vec<Change> {
    if !alert.concerned.contains_key(context.endpoint) {
        return Vec::new();
    }
    if alert.concerned.len() > 1 {
        return vec![Change::AlertEased { alert: alert.id, endpoint: context.endpoint.clone() }];
    }
    vec![Change::AlertClosed { alert: alert.id, reason: rule.why.vi.clone() }]
}

#[cfg(test)]
mod tests;
