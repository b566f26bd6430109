//! Evidence or a reason for every step, and the steps that wait for a passed examination.

use super::*;

#[test]
fn an_incident_is_carried_from_a_call_to_its_close() {
    let mut desk = Desk::new();
    assert_eq!(desk.next(), ["I.1", "I.6"]);
    desk.complete(&["I.1", "I.2", "I.3"]);
    desk.accept(assess(false));
    desk.complete(&["I.5", "I.6", "II.1", "III.1", "III.2"]);
    assert_eq!(desk.next(), ["III.3"]);
    desk.accept(Command::Complete(examined("III.3", Outcome::Pass)));
    desk.complete(&["III.4"]);
    assert_eq!(desk.next(), ["IV.1"]);
    let changes = desk.accept(Command::Complete(done("IV.1")));
    assert_eq!(changes.last(), Some(&Change::IncidentClosed { incident: INCIDENT }));
    assert!(!desk.incident.is_open() && desk.next().is_empty());
}

#[test]
fn a_step_needs_a_file_a_finding_or_a_note() {
    let mut desk = Desk::new();
    desk.record(vec![Change::AlertAttached {
        incident: INCIDENT,
        alert: AlertId(4),
        severity: Severity::Low,
    }]);
    let bare = || Completion { note: " \n".into(), ..done("I.1") };
    assert_eq!(desk.ask(Command::Complete(bare())), Err(Refused::EvidenceMissing { step: id("I.1") }));
    let with_file = Completion { evidence: vec![evidence()], ..bare() };
    let with_finding = Completion { findings: vec![AlertId(4)], ..bare() };
    for enough in [with_file, with_finding, done("I.1")] {
        assert!(desk.ask(Command::Complete(enough)).is_ok());
    }
}

#[test]
fn a_finding_counts_only_if_its_alert_belongs_to_the_incident() {
    let completion = Completion { findings: vec![AlertId(4)], ..done("I.1") };
    assert_eq!(
        Desk::new().ask(Command::Complete(completion)),
        Err(Refused::FindingElsewhere { alert: AlertId(4) })
    );
}

#[test]
fn not_applicable_needs_a_written_reason() {
    let command = Command::MarkNotApplicable { step: id("I.6"), reason: "  ".into() };
    assert_eq!(Desk::new().ask(command), Err(Refused::ReasonMissing));
}

#[test]
fn violations_and_the_review_wait_for_a_passed_check() {
    let mut desk = Desk::new();
    let waits = |step: &str| Err(Refused::Waits { step: id(step), examination: id("III.3") });
    for step in ["III.4", "IV.1"] {
        assert_eq!(desk.ask(Command::Complete(done(step))), waits(step));
    }
    assert_eq!(desk.ask(not_applicable("III.4")), waits("III.4"));
    desk.accept(Command::Complete(examined("III.3", Outcome::Fail)));
    for step in ["III.4", "IV.1"] {
        assert_eq!(desk.ask(Command::Complete(done(step))), waits(step));
    }
    desk.accept(Command::Complete(examined("III.3", Outcome::Pass)));
    for step in ["III.4", "IV.1"] {
        assert!(desk.ask(Command::Complete(done(step))).is_ok());
    }
}

#[test]
fn a_pass_cannot_be_taken_back_under_a_step_that_rests_on_it() {
    let mut desk = Desk::new();
    desk.accept(Command::Complete(examined("III.3", Outcome::Pass)));
    desk.complete(&["III.4"]);
    let refused = Refused::RestsOn { step: id("III.3"), other: id("III.4") };
    assert_eq!(desk.ask(reopen("III.3")), Err(refused));
    desk.accept(reopen("III.4"));
    desk.accept(reopen("III.3"));
    assert!(desk.ask(Command::Complete(done("III.4"))).is_err());
}

#[test]
fn the_check_and_the_review_cannot_be_left_out() {
    let mut desk = Desk::new();
    assert_eq!(desk.ask(not_applicable("III.3")), Err(Refused::Indispensable { step: id("III.3") }));
    desk.accept(Command::Complete(examined("III.3", Outcome::Pass)));
    assert_eq!(desk.ask(not_applicable("IV.1")), Err(Refused::Indispensable { step: id("IV.1") }));
}

#[test]
fn directing_the_response_is_for_serious_incidents_only() {
    let mut desk = Desk::new();
    let refused = || Err(Refused::NotSerious { step: id("I.4") });
    assert_eq!(desk.ask(Command::Complete(done("I.4"))), refused());
    desk.accept(assess(false));
    assert_eq!(desk.state("I.4"), "not-applicable");
    desk.accept(assess(true));
    assert_eq!(desk.state("I.4"), "pending");
    desk.complete(&["I.4"]);
    desk.accept(assess(false));
    assert_eq!(desk.state("I.4"), "done", "what was done stays done");
}

#[test]
fn an_incident_that_becomes_serious_in_a_later_round_brings_the_step_there() {
    let mut desk = Desk::new();
    desk.accept(assess(false));
    desk.accept(Command::Complete(examined("III.3", Outcome::Fail)));
    let before = desk.incident.rounds[0].clone();
    desk.accept(assess(true));
    assert_eq!(desk.incident.step(&id("I.4")).unwrap().0, 2);
    assert_eq!(desk.incident.rounds[0], before, "earlier rounds stay as they were");
    desk.complete(&["I.4"]);
}

#[test]
fn reporting_is_never_blocked_and_can_be_repeated() {
    let mut desk = Desk::new();
    desk.complete(&["I.5", "I.5"]);
    desk.accept(Command::Complete(examined("III.3", Outcome::Fail)));
    desk.complete(&["I.5"]);
    let (round, record) = desk.incident.step(&id("I.5")).unwrap();
    assert_eq!((round, record.state.as_str()), (2, "done"));
    let first = &desk.incident.rounds[0].steps[&id("I.5")];
    assert_eq!(first.superseded.len(), 1, "the first report stays readable");
}

#[test]
fn order_is_advice_that_is_recorded() {
    let mut desk = Desk::new();
    let changes = desk.accept(Command::Complete(done("I.3")));
    let [Change::StepDone { ahead_of, .. }] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!(ahead_of, &[id("I.2")]);
    desk.accept(Command::Complete(examined("III.3", Outcome::Pass)));
    let changes = desk.accept(Command::Complete(done("IV.1")));
    let [Change::StepDone { ahead_of, .. }, Change::IncidentClosed { .. }] = &changes[..] else {
        panic!("{changes:?}")
    };
    assert_eq!(ahead_of.len(), 9, "all that was still open: {ahead_of:?}");
}

#[test]
fn a_closed_incident_refuses_everything() {
    let mut desk = Desk::new();
    desk.accept(Command::Complete(examined("III.3", Outcome::Pass)));
    desk.complete(&["IV.1"]);
    let closed = || Err(Refused::IncidentClosed { incident: INCIDENT });
    let report = Command::Complete(done("I.5"));
    for command in [assess(true), report, not_applicable("I.6"), reopen("IV.1"), reopen("III.3")] {
        assert_eq!(desk.ask(command), closed());
    }
    assert_eq!(attach(&desk.incident, &alert(1, None)), closed());
}

#[test]
fn a_settled_step_is_settled_once_until_it_is_reopened() {
    let mut desk = Desk::new();
    desk.complete(&["I.1"]);
    let settled = || Err(Refused::Settled { step: id("I.1") });
    assert_eq!(desk.ask(Command::Complete(done("I.1"))), settled());
    assert_eq!(desk.ask(not_applicable("I.1")), settled());
    assert_eq!(desk.ask(reopen("I.2")), Err(Refused::Pending { step: id("I.2") }));
    desk.accept(reopen("I.1"));
    assert_eq!(desk.state("I.1"), "pending");
    desk.complete(&["I.1"]);
    let (_, record) = desk.incident.step(&id("I.1")).unwrap();
    assert_eq!(record.superseded.len(), 1, "what was taken back stays readable");
}

#[test]
fn only_an_examination_has_a_result_and_it_always_has_one() {
    let desk = Desk::new();
    let missing = Command::Complete(done("III.3"));
    assert_eq!(desk.ask(missing), Err(Refused::OutcomeMissing { step: id("III.3") }));
    let strange = Command::Complete(examined("I.1", Outcome::Pass));
    assert_eq!(desk.ask(strange), Err(Refused::NoExamination { step: id("I.1") }));
}

#[test]
fn an_incident_is_raised_from_alerts_that_belong_to_no_other() {
    let wish = || Raise { title: " x ".into(), severity: Severity::Low, reason: "y".into() };
    let (first, second) = (alert(2, None), alert(1, None));
    let changes = raise(procedure::city(), INCIDENT, wish(), &[&first, &second, &first]).unwrap();
    let [Change::IncidentRaised { alerts, title, .. }] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!((alerts.as_slice(), title.vi.as_str()), (&[AlertId(1), AlertId(2)][..], "x"));
    let taken = alert(3, Some(INCIDENT));
    let refused = Refused::AlertElsewhere { alert: AlertId(3), incident: INCIDENT };
    assert_eq!(raise(procedure::city(), INCIDENT, wish(), &[&taken]), Err(refused));
    let untitled = Raise { title: String::new(), ..wish() };
    assert_eq!(raise(procedure::city(), INCIDENT, untitled, &[]), Err(Refused::TitleMissing));
}

#[test]
fn attaching_twice_changes_nothing() {
    let desk = Desk::new();
    assert_eq!(attach(&desk.incident, &alert(1, None)).unwrap().len(), 1);
    assert_eq!(attach(&desk.incident, &alert(1, Some(INCIDENT))), Ok(vec![]));
    let other = IncidentId { year: 2026, number: 8 };
    let refused = Refused::AlertElsewhere { alert: AlertId(1), incident: other };
    assert_eq!(attach(&desk.incident, &alert(1, Some(other))), Err(refused));
}

#[test]
fn an_alert_is_closed_or_silenced_with_a_reason() {
    let open = alert(1, None);
    assert_eq!(close_alert(&open, ""), Err(Refused::ReasonMissing));
    assert_eq!(close_alert(&open, "seen").unwrap().len(), 1);
    assert_eq!(silence_alert(&open, UnixMillis(5), "holiday", UnixMillis(5)), Err(Refused::SilenceOver));
    assert_eq!(silence_alert(&open, UnixMillis(6), "holiday", UnixMillis(5)).unwrap().len(), 1);
    let close = Change::AlertClosed { alert: AlertId(1), reason: "seen".into() };
    let closed = open.apply(UnixMillis(1), &Actor::LocalAdmin, &close).unwrap();
    assert_eq!(close_alert(&closed, "seen"), Err(Refused::AlertClosed { alert: AlertId(1) }));
}
