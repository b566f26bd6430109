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
        seen: None,
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
    due(rollout, &[release(MUSL)], members, &Claims::default(), expires, NOW)
        .iter()
        .map(|ask| ask.endpoint.to_string())
        .collect()
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
fn one_that_does_not_answer_is_asked_again_when_the_command_has_expired_and_it_was_heard_from() {
    for outcome in [None, Some(Outcome::Withdrawn)] {
        let heard = |ms: i64, seen| [Member { asked: Some(NOW.plus(-ms)), seen, outcome, ..member("pc") }];
        let since = |ms| heard(ms, Some(NOW));
        assert_eq!(asked(&rollout(10, RolloutState::Wide), &since(LIFE_MS - 1)), [""; 0]);
        assert_eq!(asked(&rollout(10, RolloutState::Wide), &since(LIFE_MS)), ["pc"]);
        for silent in [None, Some(NOW.plus(-LIFE_MS))] {
            assert_eq!(asked(&rollout(10, RolloutState::Wide), &heard(LIFE_MS, silent)), [""; 0]);
        }
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
    for size in [1, 2] {
        assert!(must_stop(&rollout(100, RolloutState::Wide), &failed(size, size)), "the whole group failed");
    }
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

/// Whom a roll-out of 0.2.0 to everybody asks, after another one was looked at.
fn left_by(other: &Rollout, others: &[Member]) -> Vec<String> {
    let mut claims = Claims::default();
    let release = Release { version: other.version, ..release(MUSL) };
    claims.note(other, &[release], others, &[]);
    let expires = |asked: UnixMillis| asked.plus(LIFE_MS);
    due(&rollout(100, RolloutState::Wide), &[self::release(MUSL)], &group(3), &claims, expires, NOW)
        .iter()
        .map(|ask| ask.endpoint.to_string())
        .collect()
}

#[test]
fn whom_a_live_roll_out_of_a_higher_version_reaches_is_not_asked_by_the_lower_one() {
    let of =
        |version: &str, state| Rollout { id: 2, version: version.parse().unwrap(), ..rollout(10, state) };
    assert_eq!(left_by(&of("0.3.0", RolloutState::Wide), &group(2)), ["pc-2"]);
    assert_eq!(left_by(&of("0.3.0", RolloutState::Canary), &group(3)).len(), 2, "its canary is left to it");
    assert_eq!(left_by(&of("0.1.5", RolloutState::Wide), &group(3)).len(), 3);
    assert_eq!(left_by(&of("0.3.0", RolloutState::Stopped), &group(3)).len(), 3);
    let mut tried = group(3);
    tried[0].outcome = Some(Outcome::Returned);
    assert_eq!(
        left_by(&of("0.3.0", RolloutState::Stopped), &tried),
        ["pc-1", "pc-2"],
        "it refuses what is lower"
    );
}

#[test]
fn two_roll_outs_of_one_version_do_not_ask_an_endpoint_at_the_same_time() {
    let other = Rollout { id: 2, ..rollout(10, RolloutState::Wide) };
    let mut members = group(3);
    assert_eq!(left_by(&other, &members).len(), 3, "it has not asked");
    members[0].asked = Some(NOW);
    members[1] = Member { outcome: Some(Outcome::Refused), ..members[0].clone() };
    members[1].endpoint = "pc-1".parse().unwrap();
    assert_eq!(left_by(&other, &members), ["pc-1", "pc-2"], "who refused may be asked again by another");
}
