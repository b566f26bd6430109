use super::*;

const ID: AlertId = AlertId(1);

fn agent(name: &str) -> AgentId {
    name.parse().unwrap()
}

fn silent(since: i64) -> Finding {
    Finding::Silent { since: UnixMillis(since) }
}

fn raised() -> Alert {
    let change = Change::AlertRaised {
        alert: ID,
        endpoint: agent("pc-1"),
        unit: "phuong-1".parse().unwrap(),
        rule: "office-pc-silent".parse().unwrap(),
        severity: Severity::Medium,
        fingerprint: "silence".into(),
        finding: silent(1),
    };
    Alert::raised(UnixMillis(100), &change).unwrap()
}

fn repeated(endpoint: &str, rule: &str, severity: Severity) -> Change {
    Change::AlertRepeated {
        alert: ID,
        endpoint: agent(endpoint),
        rule: rule.parse().unwrap(),
        severity,
        finding: silent(2),
    }
}

fn after(alert: Alert, at: i64, change: &Change) -> Alert {
    alert.apply(UnixMillis(at), &Actor::LocalAdmin, change).unwrap()
}

fn silenced(until: i64) -> Change {
    Change::AlertSilenced { alert: ID, until: UnixMillis(until), reason: "holiday".into() }
}

fn attached(incident: IncidentId) -> Change {
    Change::AlertAttached { incident, alert: ID, severity: Severity::Medium }
}

#[test]
fn counts_repetitions_and_keeps_when_it_was_seen_first_and_last() {
    let alert = after(raised(), 200, &repeated("pc-2", "office-pc-silent", Severity::Medium));
    assert_eq!((alert.count, alert.first_seen, alert.last_seen), (2, UnixMillis(100), UnixMillis(200)));
    assert_eq!(alert.finding, silent(2));
    assert_eq!(alert.concerned.keys().map(AgentId::as_str).collect::<Vec<_>>(), ["pc-1", "pc-2"]);
}

#[test]
fn a_graver_repetition_raises_the_severity_and_a_lesser_one_leaves_it() {
    let graver = after(raised(), 200, &repeated("pc-1", "recorder-silent", Severity::High));
    assert_eq!((graver.severity, graver.rule.as_str()), (Severity::High, "recorder-silent"));
    let lesser = after(graver, 300, &repeated("pc-1", "office-pc-silent", Severity::Low));
    assert_eq!((lesser.severity, lesser.rule.as_str()), (Severity::High, "recorder-silent"));
}

#[test]
fn a_silenced_alert_counts_on_and_comes_back_after_its_time() {
    let alert = after(raised(), 150, &silenced(1_000));
    assert!(alert.is_silenced(UnixMillis(999)) && !alert.is_silenced(UnixMillis(1_000)));
    let during = after(alert, 200, &repeated("pc-1", "office-pc-silent", Severity::Medium));
    assert_eq!((during.count, during.state.as_str()), (2, "silenced"));
    let later = after(during, 1_000, &repeated("pc-1", "office-pc-silent", Severity::Medium));
    assert_eq!((later.count, later.state), (3, AlertState::Open));
}

#[test]
fn closes_with_its_incident_and_with_no_other() {
    let own = IncidentId { year: 2026, number: 7 };
    let other = IncidentId { year: 2026, number: 8 };
    let alert = after(raised(), 200, &attached(own));
    let alert = after(alert, 300, &Change::IncidentClosed { incident: other });
    assert!(!alert.is_closed());
    let alert = after(alert, 400, &Change::IncidentClosed { incident: own });
    let AlertState::Closed { at, reason, .. } = &alert.state else { panic!("still {:?}", alert.state) };
    assert_eq!((*at, reason.as_str()), (UnixMillis(400), "Sự cố 2026-0007 đã đóng"));
}

#[test]
fn an_eased_endpoint_is_concerned_no_more() {
    let alert = after(raised(), 200, &repeated("pc-2", "office-pc-silent", Severity::Medium));
    let alert = after(alert, 300, &Change::AlertEased { alert: ID, endpoint: agent("pc-1") });
    assert_eq!(alert.concerned.keys().map(AgentId::as_str).collect::<Vec<_>>(), ["pc-2"]);
    assert_eq!(alert.state, AlertState::Open);
}

#[test]
fn a_change_after_closing_contradicts_the_log() {
    let alert = after(raised(), 200, &Change::AlertClosed { alert: ID, reason: "seen".into() });
    let error = alert.apply(UnixMillis(300), &Actor::LocalAdmin, &silenced(900)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the change log contradicts itself: alert 1 changes after it was closed; run `audit verify`"
    );
}

#[test]
fn a_closed_alert_may_still_be_evidence_of_an_incident() {
    let incident = IncidentId { year: 2026, number: 7 };
    let alert = after(raised(), 200, &Change::AlertClosed { alert: ID, reason: "seen".into() });
    let alert = after(alert, 300, &attached(incident));
    assert_eq!(alert.incident, Some(incident));
    assert!(after(alert, 400, &Change::IncidentClosed { incident }).is_closed());
}
