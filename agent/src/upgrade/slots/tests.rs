use super::*;
use proptest::prelude::*;
use wardwatch_policies::time::UnixMillis;

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

fn release(text: &str) -> Release {
    Release {
        version: version(text),
        target: "x86_64-unknown-linux-musl".parse().unwrap(),
        digest: Digest::of(text.as_bytes()),
        size: 9,
        made: UnixMillis(0),
    }
}

fn on_trial(text: &str) -> Slots {
    let mut slots = Slots::default();
    slots.begin_trial(&release(text), CommandId(1));
    slots
}

fn upgraded(text: &str) -> Slots {
    let mut slots = on_trial(text);
    slots.confirm();
    slots
}

const BASE: &str = "0.1.0";
const UP: Duration = Duration::from_secs(100);
const BOOT: Option<&str> = Some("the first");

#[test]
fn without_an_upgrade_the_installed_program_runs() {
    assert_eq!(Slots::default().choose(version(BASE), UP, BOOT), Choice::Installed);
}

#[test]
fn a_confirmed_program_runs_from_then_on() {
    let mut slots = on_trial("0.2.0");
    let Choice::Trial(program) = slots.choose(version(BASE), UP, BOOT) else { panic!("it is tried first") };
    slots.confirm();
    assert_eq!(slots.choose(version(BASE), UP, BOOT), Choice::Current(program));
    assert_eq!(slots.untold.last().unwrap().outcome, UpgradeOutcome::Healthy);
}

#[test]
fn no_reason_is_longer_than_the_collector_keeps_it() {
    let mut slots = on_trial("0.2.0");
    slots.give_up("\u{1b}[2J".repeat(4096));
    let UpgradeOutcome::Returned { reason } = &slots.untold.last().unwrap().outcome else {
        panic!("{slots:?}")
    };
    assert_eq!(reason.chars().count(), UpgradeOutcome::MAX_REASON_CHARS);
    assert!(!reason.contains(char::is_control));
}

#[test]
fn used_up_attempts_lead_back_to_the_program_before_and_are_told_with_the_last_reason() {
    let mut slots = upgraded("0.2.0");
    let before = slots.current.clone().unwrap();
    slots.begin_trial(&release("0.3.0"), CommandId(2));
    for _ in 0..ATTEMPTS {
        assert!(matches!(slots.choose(version(BASE), UP, BOOT), Choice::Trial(_)));
        slots.note_attempt("exit code 1".into());
    }
    assert_eq!(slots.choose(version(BASE), UP, BOOT), Choice::Current(before));
    let told = slots.untold.last().unwrap();
    assert_eq!((told.command, told.version), (CommandId(2), Some(version("0.3.0"))));
    let UpgradeOutcome::Returned { reason } = &told.outcome else { panic!("{told:?}") };
    assert!(reason.ends_with("exit code 1"), "{reason}");
    assert_eq!(slots.highest, Some(version("0.3.0")), "it does not come again");
}

#[test]
fn a_trial_never_takes_the_slot_of_the_program_that_runs() {
    let mut slots = upgraded("0.2.0");
    assert_eq!(slots.current.as_ref().unwrap().slot, Slot::A);
    slots.begin_trial(&release("0.3.0"), CommandId(2));
    assert_eq!(slots.trial.as_ref().unwrap().program.slot, Slot::B);
    slots.confirm();
    assert_eq!(slots.free(), Slot::A);
}

#[test]
fn a_newer_package_wins_over_the_slots() {
    for installed in ["0.2.0", "0.2.1"] {
        assert_eq!(upgraded("0.2.0").choose(version(installed), UP, BOOT), Choice::Installed);
        assert_eq!(on_trial("0.2.0").choose(version(installed), UP, BOOT), Choice::Installed);
    }
    let mut slots = upgraded("0.2.0");
    slots.choose(version("0.4.0"), UP, BOOT);
    assert_eq!(slots.highest, Some(version("0.4.0")));
}

/// Starts the program of the slots until another is chosen; says which, and how often it was started.
fn let_it_die(slots: &mut Slots) -> (Choice, usize) {
    let first = slots.current.clone().unwrap();
    let mut starts = 0;
    loop {
        match slots.choose(version(BASE), UP, BOOT) {
            Choice::Current(program) if program == first => starts += 1,
            other => return (other, starts),
        }
        assert!(starts < 100, "it is started for ever");
    }
}

#[test]
fn a_confirmed_program_that_dies_again_and_again_leads_back_to_the_ones_before() {
    let mut slots = upgraded("0.2.0");
    let before = slots.current.clone().unwrap();
    slots.begin_trial(&release("0.3.0"), CommandId(2));
    slots.confirm();
    assert_eq!(let_it_die(&mut slots), (Choice::Current(before), 5));
    let told = slots.untold.last().unwrap();
    assert_eq!((told.command, told.version), (CommandId(2), Some(version("0.3.0"))));
    assert!(matches!(told.outcome, UpgradeOutcome::Returned { .. }), "{told:?}");
    assert_eq!(slots.highest, Some(version("0.3.0")), "it does not come again");
    // The start that led here was the first of the program before.
    assert_eq!(let_it_die(&mut slots), (Choice::Installed, 4));
}

#[test]
fn a_program_that_lived_a_while_or_was_told_to_stop_is_started_as_often_as_one_likes() {
    for ended in [Slots::note_life, Slots::excuse_start] {
        let mut slots = upgraded("0.2.0");
        for _ in 0..50 {
            assert!(matches!(slots.choose(version(BASE), UP, BOOT), Choice::Current(_)));
            ended(&mut slots);
        }
    }
}

#[test]
fn the_program_before_is_gone_once_another_is_put_in_its_slot() {
    let mut slots = upgraded("0.2.0");
    slots.begin_trial(&release("0.3.0"), CommandId(2));
    slots.confirm();
    slots.begin_trial(&release("0.4.0"), CommandId(3));
    slots.give_up("broken".into());
    slots.drop_current("torn".into());
    assert_eq!(slots.choose(version(BASE), UP, BOOT), Choice::Installed);
}

#[test]
fn an_attempt_that_nobody_answered_counts_only_if_the_program_before_is_answered_soon() {
    let mut slots = on_trial("0.2.0");
    for _ in 0..50 {
        assert!(matches!(slots.choose(version(BASE), UP, BOOT), Choice::Trial(_)));
        slots.note_silence("not answered".into());
        for _ in 0..9 {
            assert_eq!(slots.choose(version(BASE), UP, BOOT), Choice::Installed, "it waits for an answer");
        }
        slots.judge_silence(false);
    }
    for _ in 0..ATTEMPTS {
        assert!(matches!(slots.choose(version(BASE), UP, BOOT), Choice::Trial(_)));
        slots.note_silence("not answered".into());
        slots.judge_silence(true);
    }
    assert_eq!(slots.choose(version(BASE), UP, BOOT), Choice::Installed);
    assert!(matches!(slots.untold.last().unwrap().outcome, UpgradeOutcome::Returned { .. }));
}

#[test]
fn what_is_not_confirmed_is_not_tried_where_settings_forbid_it() {
    let mut slots = on_trial("0.2.0");
    slots.forbid();
    assert_eq!(slots.choose(version(BASE), UP, BOOT), Choice::Installed);
    assert_eq!(slots.untold.last().unwrap().outcome, UpgradeOutcome::NotAllowed);
    let mut slots = upgraded("0.2.0");
    slots.untold.clear();
    slots.forbid();
    assert!(matches!(slots.choose(version(BASE), UP, BOOT), Choice::Current(_)));
    assert!(slots.untold.is_empty());
}

#[test]
fn an_attempt_that_a_person_cut_short_does_not_count() {
    let mut slots = on_trial("0.2.0");
    for _ in 0..9 {
        assert!(matches!(slots.choose(version(BASE), UP, BOOT), Choice::Trial(_)));
        slots.excuse_attempt();
    }
    assert_eq!(slots.trial.unwrap().attempts_left, ATTEMPTS);
}

#[test]
fn what_waits_to_be_told_is_bounded_and_the_newest_stays() {
    let mut slots = Slots::default();
    for number in 0..100 {
        slots.end(CommandId(number), None, UpgradeOutcome::NotAllowed);
    }
    assert_eq!(slots.untold.len(), UNTOLD);
    assert_eq!(slots.untold.last().unwrap().command, CommandId(99));
}

proptest! {
    /// However often power fails, and wherever, a program that never is healthy is left behind.
    #[test]
    fn a_program_that_is_never_healthy_is_given_up(noted in proptest::collection::vec(any::<bool>(), 4)) {
        let mut slots = upgraded("0.2.0");
        slots.begin_trial(&release("0.3.0"), CommandId(2));
        for noted in noted {
            if matches!(slots.choose(version(BASE), UP, BOOT), Choice::Trial(_)) && noted {
                slots.note_attempt("killed".into());
            }
        }
        prop_assert!(matches!(slots.choose(version(BASE), UP, BOOT), Choice::Current(_)));
    }
}
