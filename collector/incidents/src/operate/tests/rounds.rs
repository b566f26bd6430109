//! The loop: a failed check opens a new round, and what was stays as it was.

use super::*;
use crate::view::{self, StepView};

fn round_ids(desk: &Desk, number: u32) -> Vec<&str> {
    view::round(procedure::city(), &desk.incident, number).iter().map(|view| view.id.as_str()).collect()
}

fn failed_once() -> Desk {
    let mut desk = Desk::new();
    desk.complete(&["I.1", "I.2", "I.3", "II.1", "III.1", "III.2"]);
    desk.accept(Command::Complete(examined("III.3", Outcome::Fail)));
    desk
}

#[test]
fn a_failed_check_opens_a_round_of_all_steps_that_may_be_repeated() {
    let desk = failed_once();
    assert_eq!(desk.incident.current_round().number, 2);
    assert_eq!(desk.incident.current_round().reason.as_deref(), Some("III.3 carried out"));
    assert_eq!(round_ids(&desk, 2), ["II.1", "III.1", "III.2", "III.3"]);
    for step in ["II.1", "III.1", "III.2", "III.3"] {
        assert_eq!(desk.state(step), "pending");
    }
    assert_eq!(desk.state("I.1"), "done", "steps that are not repeated carry over");
}

#[test]
fn the_person_who_fails_a_check_may_choose_what_to_repeat() {
    let mut desk = Desk::new();
    desk.complete(&["II.1", "III.1"]);
    let fail = |repeat: &[&str]| {
        let repeat = repeat.iter().map(|step| id(step)).collect();
        Command::Complete(Completion { repeat, ..examined("III.3", Outcome::Fail) })
    };
    let allowed = ["II.1", "III.1", "III.2", "III.3"].map(id).to_vec();
    assert_eq!(desk.ask(fail(&["I.1"])), Err(Refused::CannotRepeat { step: id("I.1"), allowed }));
    desk.accept(fail(&["III.1"]));
    assert_eq!(round_ids(&desk, 2), ["III.1", "III.3"], "the check itself is always repeated");
    assert_eq!(desk.state("II.1"), "done");
    assert_eq!(desk.state("III.2"), "pending", "what was never done is still to be done");
}

#[test]
fn steps_are_chosen_for_repetition_only_after_a_fail() {
    let pass = Completion { repeat: vec![id("II.1")], ..examined("III.3", Outcome::Pass) };
    let refused = Refused::NothingToRepeat { step: id("III.3") };
    assert_eq!(Desk::new().ask(Command::Complete(pass)), Err(refused));
}

#[test]
fn an_earlier_round_stays_readable_and_cannot_be_changed() {
    let mut desk = failed_once();
    let first = desk.incident.rounds[0].clone();
    desk.complete(&["II.1", "III.1", "III.2"]);
    desk.accept(Command::Complete(examined("III.3", Outcome::Fail)));
    desk.complete(&["II.1", "III.1", "III.2"]);
    desk.accept(Command::Complete(examined("III.3", Outcome::Pass)));
    assert_eq!(desk.incident.rounds[0], first);
    assert_eq!(desk.incident.rounds.len(), 3);
    assert_eq!(desk.ask(reopen("I.1")), Err(Refused::EarlierRound { step: id("I.1") }));
    let shown = view::round(procedure::city(), &desk.incident, 1);
    assert_eq!(shown.len(), 12);
    let check = shown.iter().find(|view| view.id.as_str() == "III.3").unwrap();
    assert!(matches!(check.state, StepState::Done { outcome: Some(Outcome::Fail), .. }));
}

#[test]
fn a_step_left_open_in_an_earlier_round_is_settled_in_the_current_one() {
    let mut desk = failed_once();
    desk.complete(&["I.6"]);
    assert_eq!(desk.incident.step(&id("I.6")).unwrap().0, 2);
    assert_eq!(desk.incident.rounds[0].steps[&id("I.6")].state, StepState::Pending);
    desk.accept(reopen("I.6"));
    assert_eq!(desk.state("I.6"), "pending");
}

fn line(view: &StepView<'_>) -> String {
    let mut line = format!("{} {} round {}", view.id, view.state.as_str(), view.round);
    if view.carried_over {
        line.push_str(", carried over");
    }
    if view.is_next {
        line.push_str(", NEXT");
    }
    if let Some(gate) = &view.gate {
        line.push_str(&format!(", gate: {}", gate.text().en));
    }
    for advice in &view.advice {
        line.push_str(&format!(", advice: {}", advice.text().en));
    }
    line
}

#[test]
fn the_page_sees_state_gate_advice_and_round_of_every_step() {
    let desk = failed_once();
    let lines: Vec<_> = view::steps(procedure::city(), &desk.incident).iter().map(line).collect();
    insta::assert_snapshot!(lines.join("\n"));
}
