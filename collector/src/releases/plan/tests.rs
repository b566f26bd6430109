use super::*;

const NOW: UnixMillis = UnixMillis(1_000_000_000);
const LIFE_MS: i64 = 3_600_000;
const MUSL: &str = "x86_64-unknown-linux-musl";

fn release(target: &str) -> Release {
    Release {
        version: "0.2.0".parse().unwrap(),
        target: target.parse().unwrap(),
        digest: Digest::of(target.as_bytes()),
        size: 1,
        made: UnixMillis(0),
    }
}

fn rollout(canary_percent: u8, state: RolloutState) -> Rollout {
    Rollout {
        id: 1,
        version: "0.2.0".parse().unwrap(),
        unit: None,
        kind: None,
        canary_percent,
        state,
        reason: None,
        begun: NOW,
        changed: NOW,
    }
}

fn member(name: &str) -> Member {
    Member {
        endpoint: name.parse().unwrap(),
        version: "0.1.0".parse().ok(),
        target: MUSL.parse().ok(),
        asked: None,
        canary: false,
        outcome: None,
    }
}

fn group(count: usize) -> Vec<Member> {
    (0..count).map(|number| member(&format!("pc-{number}"))).collect()
}

fn asked(rollout: &Rollout, members: &[Member]) -> Vec<String> {
    let expires = |asked: UnixMillis| asked.plus(LIFE_MS);
    due(rollout, &[release(MUSL)], members, expires, NOW).iter().map(|ask| ask.endpoint.to_string()).collect()
}

#[test]
fn first_about_the_share_is_asked_and_the_same_ones_each_time() {
    let members = group(1000);
    let canaries = asked(&rollout(10, RolloutState::Canary), &members);
    assert!((60..=140).contains(&canaries.len()), "{}", canaries.len());
    assert_eq!(asked(&rollout(10, RolloutState::Canary), &members), canaries);
    assert_eq!(asked(&rollout(10, RolloutState::Wide), &members).len(), 1000);
    assert_eq!(asked(&rollout(10, RolloutState::Stopped), &members), [""; 0]);
}

#[test]
fn a_small_group_has_one_canary() {
    assert_eq!(asked(&rollout(1, RolloutState::Canary), &group(3)).len(), 1);
}

#[test]
fn nobody_is_asked_who_is_there_has_answered_or_has_no_release() {
    let answered = |outcome| Member { outcome: Some(outcome), ..member("a") };
    let members = [
        Member { version: "0.2.0".parse().ok(), ..member("same") },
        Member { version: "0.3.0".parse().ok(), ..member("newer") },
        answered(Outcome::Healthy),
        answered(Outcome::Returned),
        answered(Outcome::Refused),
        answered(Outcome::NotAllowed),
        Member { target: "aarch64-unknown-linux-musl".parse().ok(), ..member("arm") },
        Member { target: None, ..member("never-said") },
    ];
    assert_eq!(asked(&rollout(10, RolloutState::Wide), &members), [""; 0]);
}

#[test]
fn one_that_does_not_answer_is_asked_again_when_the_command_has_expired() {
    for outcome in [None, Some(Outcome::Withdrawn)] {
        let since = |ms: i64| [Member { asked: Some(NOW.plus(-ms)), outcome, ..member("pc") }];
        assert_eq!(asked(&rollout(10, RolloutState::Wide), &since(LIFE_MS - 1)), [""; 0]);
        assert_eq!(asked(&rollout(10, RolloutState::Wide), &since(LIFE_MS)), ["pc"]);
    }
}

/// So many of a group failed that was asked as a whole.
fn failed(count: usize, of: usize) -> Vec<Member> {
    let mut members = group(of);
    for (number, member) in members.iter_mut().enumerate() {
        member.canary = true;
        member.outcome = Some(if number < count { Outcome::Returned } else { Outcome::Healthy });
    }
    members
}

#[test]
fn one_of_ten_canaries_stops_a_roll_out_and_of_more_a_tenth() {
    let stops = |count, of| must_stop(&rollout(10, RolloutState::Canary), &failed(count, of));
    assert!(stops(1, 1));
    assert!(stops(1, 10));
    assert!(!stops(0, 10));
    assert!(!stops(1, 11), "one endpoint in foreign hands is not to stop what the others say is well");
    assert!(stops(2, 20));
    let mut waiting = failed(1, 10);
    waiting[9].outcome = None;
    assert!(must_stop(&rollout(10, RolloutState::Canary), &waiting), "nobody waits for the last to fail");
}

#[test]
fn a_wide_roll_out_stops_for_three_that_are_a_tenth() {
    let stops = |count, of| must_stop(&rollout(10, RolloutState::Wide), &failed(count, of));
    assert!(!stops(2, 3));
    assert!(stops(3, 3));
    assert!(!stops(9, 100));
    assert!(stops(10, 100));
}

#[test]
fn settings_that_forbid_upgrades_stop_nothing_and_hide_nothing() {
    let mut members = failed(0, 5);
    members.iter_mut().for_each(|member| member.outcome = Some(Outcome::NotAllowed));
    assert!(!must_stop(&rollout(10, RolloutState::Canary), &members));
    assert!(!must_stop(&rollout(10, RolloutState::Wide), &members));
    members.extend(failed(3, 30));
    assert!(must_stop(&rollout(10, RolloutState::Wide), &members), "a tenth of those that tried");
}

#[test]
fn the_tally_names_each_endpoint_once() {
    let mut members = group(5);
    members[0].outcome = Some(Outcome::Healthy);
    members[1].outcome = Some(Outcome::Returned);
    members[2].outcome = Some(Outcome::Refused);
    members[3].outcome = Some(Outcome::NotAllowed);
    members.push(Member { target: None, ..member("never-said") });
    let tally = tally(&rollout(10, RolloutState::Wide), &[release(MUSL)], &members);
    assert_eq!((tally.members, tally.without), (5, 1));
    assert_eq!((tally.healthy, tally.returned, tally.refused), (1, 1, 1));
    assert_eq!((tally.not_allowed, tally.waiting), (1, 1));
}
