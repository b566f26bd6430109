//! Signs of life, and what passes for one.

use wardwatch_collector::silence;
use wardwatch_collector::store::reports::Link;
use wardwatch_policies::finding::{Finding, StreamReason};
use wardwatch_policies::time::UnixMillis;
use wardwatch_tests::database::Database;
use wardwatch_wire::report::{Body, InstanceId, StopReason};

use crate::office::Office;
use crate::setup::{eventually, refused};

const DAY: i64 = 24 * 3_600_000;
const SHUTDOWN: Body = Body::Stopping { reason: StopReason::Shutdown };

#[tokio::test]
async fn a_heartbeat_is_answered_before_any_report_and_kept_with_its_clocks() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut pc = office.reporter("pc-1").await;
        let ack = pc.beat(9).await;
        assert_eq!((ack.stream, ack.committed), (pc.stream, 0));
        assert_eq!(office.standing("pc-1").await.link, Link::Heard);
        let kept =
            "endpoints where uptime_ms = 2000 and last_wall = 0 and outbox_reports = 3 and clock_proved = 0";
        assert_eq!(office.count(kept).await, 1);
        office.close().await;
    }
}

#[tokio::test]
async fn a_heartbeat_sent_again_is_no_sign_of_life() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut pc = office.reporter("pc-1").await;
        let old = pc.heartbeat(1);
        pc.send(&old).await;
        pc.beat(2).await;
        office.run_sql("update endpoints set link = 'silent', last_seen = 5 where id = 'pc-1'").await;
        let before = refused("ingest", "replay");
        pc.send(&old).await;
        eventually("the replay is refused", || refused("ingest", "replay") > before).await;
        let mut other = office.reporter("pc-2").await;
        other.beat(1).await;
        let standing = office.standing("pc-1").await;
        assert_eq!((standing.link, standing.last_seen), (Link::Silent, Some(UnixMillis(5))));
        office.close().await;
    }
}

#[tokio::test]
async fn two_instances_in_turn_are_one_alert_of_a_cloned_identity() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut pc = office.reporter("pc-1").await;
        for (n, instance) in [1, 2].into_iter().enumerate() {
            pc.instance = InstanceId([instance; 16]);
            pc.beat(u8::try_from(n).unwrap()).await;
        }
        assert_eq!(office.alert_lines().await, [""; 0], "a restart is no clone");
        for n in 0..4 {
            pc.instance = InstanceId([1 + n % 2; 16]);
            pc.beat(n + 10).await;
        }
        assert_eq!(office.alert_lines().await, ["identity-cloned open 1"]);
        assert_eq!(office.incidents().await.len(), 1);
        office.close().await;
    }
}

#[tokio::test]
async fn an_endpoint_is_silent_after_its_patience_and_heard_again_closes_the_alert() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut pc = office.reporter("pc-1").await;
        pc.beat(1).await;
        let seen = office.standing("pc-1").await.last_seen.unwrap();
        let look = async |days: i64| {
            silence::look(&office.fleet, UnixMillis(0), seen.plus(days * DAY)).await.unwrap();
            office.alert_lines().await
        };
        assert_eq!(look(1).await, [""; 0]);
        // Seven days have three whole working days in a row, wherever the weekend falls.
        assert_eq!(look(7).await, ["office-pc-silent open 1"]);
        assert_eq!(look(8).await, ["office-pc-silent open 1"], "the same silence is found once");
        let alerts = office.alerts().await;
        assert_eq!(alerts[0].finding, Finding::Silent { since: seen });
        assert_eq!(office.standing("pc-1").await.link, Link::Silent);

        pc.beat(2).await;
        assert_eq!(office.alert_lines().await, ["office-pc-silent closed 1"]);
        assert_eq!(office.standing("pc-1").await.link, Link::Heard);
        office.close().await;
    }
}

#[tokio::test]
async fn a_collector_that_was_down_gives_the_agents_their_time_first() {
    let database = Database::sqlite();
    let office = Office::open(&database).await;
    let mut pc = office.reporter("pc-1").await;
    pc.beat(1).await;
    let now = office.standing("pc-1").await.last_seen.unwrap().plus(30 * DAY);
    silence::look(&office.fleet, now.plus(-60_000), now).await.unwrap();
    assert_eq!(office.alert_lines().await, [""; 0]);
    silence::look(&office.fleet, now.plus(-3_600_000), now).await.unwrap();
    assert_eq!(office.alert_lines().await, ["office-pc-silent open 1"]);
    office.close().await;
}

#[tokio::test]
async fn an_endpoint_that_was_switched_off_is_off_until_it_is_heard() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        office.run_sql("update endpoints set kind = 'server'").await;
        let mut pc = office.reporter("pc-1").await;
        pc.beat(1).await;
        pc.open(1, StreamReason::FirstStart).await;
        pc.tell(SHUTDOWN).await;
        let standing = office.standing("pc-1").await;
        assert_eq!(standing.link, Link::Off);
        let seen = standing.last_seen.unwrap();
        silence::look(&office.fleet, UnixMillis(0), seen.plus(DAY)).await.unwrap();
        assert_eq!(office.alert_lines().await, [""; 0]);
        pc.beat(2).await;
        assert_eq!(office.standing("pc-1").await.link, Link::Heard);
        office.close().await;
    }
}

#[tokio::test]
async fn one_alert_stands_for_all_silent_endpoints_of_a_unit_and_closes_with_the_last() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let (mut one, mut two) = (office.reporter("pc-1").await, office.reporter("pc-2").await);
        one.beat(1).await;
        two.beat(1).await;
        let later = office.standing("pc-2").await.last_seen.unwrap().plus(9 * DAY);
        silence::look(&office.fleet, UnixMillis(0), later).await.unwrap();
        assert_eq!(office.alert_lines().await, ["office-pc-silent open 2"]);
        one.beat(2).await;
        assert_eq!(office.alert_lines().await, ["office-pc-silent open 2"]);
        two.beat(2).await;
        assert_eq!(office.alert_lines().await, ["office-pc-silent closed 2"]);
        office.close().await;
    }
}
