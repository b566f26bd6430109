//! Any sequence of commands: what is accepted keeps to the gates, and the log tells the same story again.

use proptest::prelude::*;

use super::*;
use crate::incident::Round;

fn step() -> impl Strategy<Value = &'static str> {
    prop::sample::select(&ALL[..])
}

fn completion() -> impl Strategy<Value = Completion> {
    let fails = any::<bool>();
    let repeat = prop::collection::vec(step(), 0..3);
    (step(), fails, repeat, any::<bool>(), any::<bool>()).prop_map(|(step, fails, repeat, noted, proved)| {
        let outcome = if fails { Outcome::Fail } else { Outcome::Pass };
        let examination = step == "III.3";
        Completion {
            note: if noted { "note".into() } else { String::new() },
            evidence: if proved { vec![evidence()] } else { Vec::new() },
            outcome: examination.then_some(outcome),
            repeat: if examination && fails { repeat.into_iter().map(id).collect() } else { Vec::new() },
            ..done(step)
        }
    })
}

fn command() -> impl Strategy<Value = Command> {
    let reason = || prop_oneof![4 => Just("because"), 1 => Just(" ")].prop_map(String::from);
    prop_oneof![
        6 => completion().prop_map(Command::Complete),
        2 => (step(), reason())
            .prop_map(|(step, reason)| Command::MarkNotApplicable { step: id(step), reason }),
        2 => (step(), reason()).prop_map(|(step, reason)| Command::Reopen { step: id(step), reason }),
        1 => (any::<bool>(), reason())
            .prop_map(|(serious, reason)| Command::AssessSeriousness { serious, reason }),
    ]
}

fn is_failed(round: &Round) -> bool {
    matches!(round.steps[&id("III.3")].state, StepState::Done { outcome: Some(Outcome::Fail), .. })
}

fn holds_to_the_gates(incident: &Incident) -> Result<(), TestCaseError> {
    for waiting in ["III.4", "IV.1"] {
        prop_assert!(!incident.is_settled(&id(waiting)) || incident.has_passed(&id("III.3")), "{waiting}");
    }
    prop_assert_eq!(incident.is_open(), !incident.is_settled(&id("IV.1")));
    for record in incident.rounds.iter().flat_map(|round| round.steps.values()) {
        match &record.state {
            StepState::Pending => {}
            StepState::Done { note, evidence, findings, .. } => {
                prop_assert!(!note.is_empty() || !evidence.is_empty() || !findings.is_empty());
            }
            StepState::NotApplicable { reason, .. } => prop_assert!(!reason.trim().is_empty()),
        }
    }
    let (last, earlier) = incident.rounds.split_last().unwrap();
    prop_assert!(earlier.iter().all(is_failed), "only a fail opens the next round");
    prop_assert!(!is_failed(last), "a fail always opens the next round");
    Ok(())
}

proptest! {
    #[test]
    fn accepted_commands_keep_to_the_gates_and_the_log_replays_to_the_same_state(
        commands in prop::collection::vec(command(), 0..60)
    ) {
        let mut desk = Desk::new();
        for command in commands {
            let earlier = desk.incident.clone();
            match desk.ask(command) {
                Ok(changes) => desk.record(changes),
                Err(refused) => prop_assert!(!refused.problem().is_empty() && !refused.remedy().is_empty()),
            }
            let past = earlier.rounds.len() - 1;
            prop_assert_eq!(&desk.incident.rounds[..past], &earlier.rounds[..past], "earlier rounds changed");
            holds_to_the_gates(&desk.incident)?;
        }
        let replayed = Incident::replay(procedure::city(), &desk.log).unwrap();
        prop_assert_eq!(replayed.as_ref(), Some(&desk.incident));

        let text = serde_json::to_string(&desk.incident).unwrap();
        prop_assert_eq!(serde_json::from_str::<Incident>(&text).unwrap(), desk.incident);

        let stored: Vec<_> = desk.log.iter().map(LogEntry::to_stored).collect();
        prop_assert!(chain::verify(&stored, Vec::new()).is_ok());
        let decoded: Vec<_> = stored.into_iter().map(|entry| entry.decode().unwrap()).collect();
        prop_assert_eq!(Incident::replay(procedure::city(), &decoded).unwrap(), replayed);
    }
}
