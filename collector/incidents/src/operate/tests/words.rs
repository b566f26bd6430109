//! What a person reads when a command is refused.

use super::*;

#[test]
fn every_refusal_states_problem_and_remedy_under_a_code_of_its_own() {
    let step = || id("III.4");
    let all = [
        Refused::IncidentClosed { incident: INCIDENT },
        Refused::UnknownStep { step: step() },
        Refused::Waits { step: step(), examination: id("III.3") },
        Refused::NotSerious { step: id("I.4") },
        Refused::Settled { step: step() },
        Refused::Pending { step: step() },
        Refused::EarlierRound { step: step() },
        Refused::RestsOn { step: id("III.3"), other: step() },
        Refused::Indispensable { step: id("III.3") },
        Refused::EvidenceMissing { step: step() },
        Refused::TooMuchEvidence { step: step() },
        Refused::FindingElsewhere { alert: AlertId(4) },
        Refused::OutcomeMissing { step: id("III.3") },
        Refused::NoExamination { step: step() },
        Refused::NothingToRepeat { step: id("III.3") },
        Refused::CannotRepeat { step: step(), allowed: vec![id("II.1"), id("III.1")] },
        Refused::ReasonMissing,
        Refused::TitleMissing,
        Refused::TooLong,
        Refused::AlertClosed { alert: AlertId(4) },
        Refused::AlertElsewhere { alert: AlertId(4), incident: INCIDENT },
        Refused::SilenceOver,
    ];
    let codes: BTreeSet<_> = all.iter().map(Refused::code).collect();
    assert_eq!(codes.len(), all.len());
    let lines: Vec<_> = all.iter().map(|refused| format!("{}: {refused}", refused.code())).collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_step_that_the_procedure_does_not_have_is_named() {
    let refused = Refused::UnknownStep { step: id("V.9") };
    assert_eq!(Desk::new().ask(Command::Complete(done("V.9"))), Err(refused));
}

#[test]
fn an_endless_note_is_refused() {
    let completion = Completion { note: "a".repeat(MAX_TEXT_CHARS + 1), ..done("I.1") };
    assert_eq!(Desk::new().ask(Command::Complete(completion)), Err(Refused::TooLong));
}
