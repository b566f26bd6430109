use wardwatch_policies::procedure;

use super::*;
use crate::alert::Inconsistent;
use crate::chain::{self, Head, LogEntry};
use crate::change::Change;

const OWN: IncidentId = IncidentId { year: 2026, number: 7 };
const OTHER: IncidentId = IncidentId { year: 2026, number: 8 };

fn raised(incident: IncidentId) -> Change {
    Change::IncidentRaised {
        incident,
        procedure: procedure::city().id.clone(),
        title: Text { vi: "Cuộc gọi".into(), en: "A call".into() },
        severity: Severity::Medium,
        alerts: vec![AlertId(1)],
        reason: "a ward called".into(),
    }
}

fn attached(alert: i64, severity: Severity) -> Change {
    Change::AlertAttached { incident: OWN, alert: AlertId(alert), severity }
}

fn reopened(round: u32, step: &str) -> Change {
    Change::StepReopened { incident: OWN, round, step: step.parse().unwrap(), reason: "x".into() }
}

fn round(round: u32, step: &str) -> Change {
    Change::RoundOpened { incident: OWN, round, steps: vec![step.parse().unwrap()], reason: "x".into() }
}

fn replay(changes: &[Change]) -> Result<Option<Incident>, Inconsistent> {
    let mut head = Head::EMPTY;
    let log: Vec<LogEntry> = changes
        .iter()
        .map(|change| {
            let at = UnixMillis(head.length as i64 * 10);
            let entry = chain::append(head, at, Actor::Collector, change.clone());
            head = entry.head();
            entry
        })
        .collect();
    Incident::replay(procedure::city(), &log)
}

#[test]
fn begins_open_in_its_first_round_with_every_step_pending() {
    let incident = replay(&[raised(OWN)]).unwrap().unwrap();
    assert_eq!(incident.state, IncidentState::Open { since: UnixMillis(0) });
    assert_eq!(incident.current_round().number, 1);
    assert_eq!(incident.current_round().steps.len(), 12);
    assert!(incident.current_round().steps.values().all(|record| !record.state.is_settled()));
}

#[test]
fn is_as_grave_as_its_gravest_alert() {
    let severity = |changes: &[Change]| replay(changes).unwrap().unwrap().severity;
    assert_eq!(severity(&[raised(OWN), attached(2, Severity::Critical)]), Severity::Critical);
    assert_eq!(severity(&[raised(OWN), attached(2, Severity::Low)]), Severity::Medium);
}

#[test]
fn entries_of_other_incidents_pass_by() {
    let changes = [raised(OWN), raised(OTHER), Change::IncidentClosed { incident: OTHER }];
    let incident = replay(&changes).unwrap().unwrap();
    assert!(incident.is_open());
    assert_eq!((incident.id, incident.changed), (OWN, UnixMillis(0)));
}

#[test]
fn an_incident_of_another_procedure_is_not_replayed_under_this_one() {
    let mut change = raised(OWN);
    if let Change::IncidentRaised { procedure, .. } = &mut change {
        *procedure = "vn-2026".parse().unwrap();
    }
    assert_eq!(replay(&[change]), Ok(None));
}

#[test]
fn a_log_that_contradicts_itself_is_reported() {
    let closed = Change::IncidentClosed { incident: OWN };
    let faults: Vec<_> = [
        vec![closed.clone(), attached(2, Severity::Low)],
        vec![raised(OWN)],
        vec![reopened(2, "I.1")],
        vec![round(2, "III.3"), reopened(1, "I.1")],
        vec![reopened(1, "V.1")],
        vec![round(3, "III.3")],
        vec![round(2, "V.1")],
    ]
    .into_iter()
    .map(|changes| replay(&[vec![raised(OWN)], changes].concat()).unwrap_err().to_string())
    .collect();
    insta::assert_snapshot!(faults.join("\n"));
}
