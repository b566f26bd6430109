//! Streams of reports: in order, once, and acknowledged, whatever the link does.

use wardwatch_collector::store::reports::{self, Standing, Told};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::finding::StreamReason;
use wardwatch_tests::database::Database;
use wardwatch_wire::report::{Body, Position, StopReason, StreamId};

use crate::office::Office;

const QUIET: Body = Body::Stopping { reason: StopReason::Service };

#[tokio::test]
async fn a_stream_is_committed_in_order_and_acknowledged() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut pc = office.reporter("pc-1").await;
        let ack = pc.open(1, StreamReason::FirstStart).await;
        assert_eq!((ack.committed, ack.resend_from, ack.nonce), (1, None, None));
        let envelopes: Vec<_> = (0..40).map(|_| pc.report(QUIET)).collect();
        for envelope in &envelopes {
            pc.send(envelope).await;
        }
        pc.ack_that(|ack| ack.committed == 41).await;
        assert_eq!(office.committed("pc-1").await, (1..=41).collect::<Vec<_>>());

        let ack = pc.beat(7).await;
        assert_eq!((ack.stream, ack.committed), (pc.stream, 41));
        let head = office.log_head().await;
        assert_eq!((ack.witness.length, ack.witness.head), (head.length, head.digest));
        let standing = office.standing("pc-1").await;
        assert_eq!(standing.downlink, pc.downlink);
        assert!(standing.last_seen.is_some());
        office.close().await;
    }
}

#[tokio::test]
async fn reports_in_any_order_and_twice_are_committed_once_and_in_order() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut pc = office.reporter("pc-1").await;
        let mut all = vec![pc.opened(1, StreamReason::FirstStart)];
        all.extend((0..30).map(|_| pc.report(QUIET)));
        pc.send(&all[0]).await;
        for n in (1..=30).rev().chain([5, 5, 17]) {
            pc.send(&all[n]).await;
        }
        pc.ack_that(|ack| ack.committed == 31).await;
        pc.beat(1).await;
        assert_eq!(office.committed("pc-1").await, (1..=31).collect::<Vec<_>>());
        office.close().await;
    }
}

#[tokio::test]
async fn a_gap_is_asked_for_and_what_waited_is_committed_with_it() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut pc = office.reporter("pc-1").await;
        pc.open(1, StreamReason::FirstStart).await;
        let [second, third, fourth] = [0; 3].map(|_| pc.report(QUIET));
        pc.send(&fourth).await;
        let ack = pc.ack_that(|ack| ack.resend_from.is_some()).await;
        assert_eq!((ack.committed, ack.resend_from), (1, Some(2)));
        pc.send(&second).await;
        let ack = pc.ack_that(|ack| ack.committed == 2).await;
        assert_eq!(ack.resend_from, Some(3), "the fourth still waits for the third");
        pc.send(&third).await;
        let ack = pc.ack_that(|ack| ack.committed == 4).await;
        assert_eq!(ack.resend_from, None);
        office.close().await;
    }
}

#[tokio::test]
async fn the_beginning_of_an_unknown_stream_is_asked_for() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut pc = office.reporter("pc-1").await;
        let first = pc.opened(1, StreamReason::FirstStart);
        let second = pc.report(QUIET);
        pc.send(&second).await;
        let ack = pc.ack_that(|ack| ack.resend_from.is_some()).await;
        assert_eq!((ack.stream, ack.committed, ack.resend_from), (pc.stream, 0, Some(1)));
        pc.send(&first).await;
        pc.ack_that(|ack| ack.committed == 2).await;
        office.close().await;
    }
}

#[tokio::test]
async fn a_lost_ack_is_given_again_and_nothing_else_changes() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut pc = office.reporter("pc-1").await;
        let first = pc.opened(1, StreamReason::StateLost);
        let second = pc.report(QUIET);
        pc.send(&first).await;
        pc.send(&second).await;
        pc.beat(1).await;
        let counts =
            async || (office.committed("pc-1").await, office.alert_lines().await, office.log_head().await);
        let before = counts().await;
        assert_eq!(before.1, ["state-lost open 1"]);
        for _ in 0..3 {
            pc.lose_what_was_heard();
            pc.send(&first).await;
            pc.send(&second).await;
            let ack = pc.ack_that(|ack| ack.nonce.is_none()).await;
            assert_eq!((ack.committed, ack.resend_from), (2, None));
        }
        pc.beat(2).await;
        assert_eq!(counts().await, before);
        office.close().await;
    }
}

#[tokio::test]
async fn other_bytes_under_a_committed_number_are_refused_and_found() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut pc = office.reporter("pc-1").await;
        pc.open(1, StreamReason::FirstStart).await;
        let position = Position { stream: pc.stream, seq: 2, previous: pc.last };
        pc.tell(QUIET).await;
        let kept = digests(&office).await;
        let forked = pc.report_at(position, Body::Stopping { reason: StopReason::Shutdown });
        pc.send(&forked).await;
        pc.send(&forked).await;
        let ack = pc.beat(1).await;
        assert_eq!(ack.committed, 2);
        assert_eq!(office.alert_lines().await, ["fork-refused open 1"]);
        assert_eq!(office.incidents().await.len(), 1);
        assert_eq!(digests(&office).await, kept);
        pc.tell(QUIET).await;
        office.close().await;
    }
}

#[tokio::test]
async fn a_report_that_follows_another_history_is_a_fork() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut pc = office.reporter("pc-1").await;
        pc.open(1, StreamReason::FirstStart).await;
        let elsewhere = Position { stream: pc.stream, seq: 2, previous: Digest::of(b"elsewhere") };
        pc.send(&pc.report_at(elsewhere, QUIET)).await;
        assert_eq!(pc.beat(1).await.committed, 1);
        assert_eq!(office.alert_lines().await, ["fork-refused open 1"]);
        office.close().await;
    }
}

#[tokio::test]
async fn a_new_stream_replaces_the_old_one_which_does_not_come_back() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut pc = office.reporter("pc-1").await;
        pc.open(1, StreamReason::FirstStart).await;
        let left_behind = pc.report(QUIET);
        for (stream, reason) in [
            (2, StreamReason::StateLost),
            (3, StreamReason::StateRolledBack),
            (4, StreamReason::CollectorRestored),
        ] {
            assert_eq!(pc.open(stream, reason).await.committed, 1);
        }
        pc.send(&left_behind).await;
        let ack = pc.beat(1).await;
        assert_eq!((ack.stream, ack.committed), (StreamId([4; 16]), 1));
        assert_eq!(office.committed("pc-1").await, [1, 1, 1, 1]);
        // Both are about the stream and count up one alert; a restored collector is no fault of the agent.
        assert_eq!(office.alert_lines().await, ["state-lost open 2"]);
        office.close().await;
    }
}

#[tokio::test]
async fn a_collector_restored_from_an_older_backup_goes_on_with_a_new_stream() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut pc = office.reporter("pc-1").await;
        pc.open(1, StreamReason::FirstStart).await;
        let at_backup = office.standing("pc-1").await;
        for _ in 0..4 {
            pc.tell(QUIET).await;
        }
        // As the backup has it: the last four were never heard of.
        office.run_sql("delete from reports where seq > 1").await;
        let mut tx = office.fleet.store.write().await.unwrap();
        let restored = Standing { downlink: office.standing("pc-1").await.downlink, ..at_backup };
        reports::keep_standing(&mut tx, &pc.agent, &restored, Told::default()).await.unwrap();
        tx.commit().await.unwrap();

        let next = pc.report(QUIET);
        pc.send(&next).await;
        let ack = pc.ack_that(|ack| ack.resend_from.is_some()).await;
        assert_eq!((ack.committed, ack.resend_from), (1, Some(2)), "less than the agent knows committed");
        pc.open(2, StreamReason::CollectorRestored).await;
        pc.tell(QUIET).await;
        assert_eq!(office.alert_lines().await, [""; 0]);
        office.close().await;
    }
}

#[tokio::test]
async fn two_agents_streams_do_not_touch() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let (mut one, mut two) = (office.reporter("pc-1").await, office.reporter("pc-2").await);
        one.open(1, StreamReason::FirstStart).await;
        two.open(1, StreamReason::FirstStart).await;
        for _ in 0..5 {
            let (a, b) = (one.report(QUIET), two.report(QUIET));
            one.send(&a).await;
            two.send(&b).await;
        }
        one.ack_that(|ack| ack.committed == 6).await;
        two.ack_that(|ack| ack.committed == 6).await;
        office.close().await;
    }
}

async fn digests(office: &Office) -> Vec<Vec<u8>> {
    sqlx::query_scalar("select digest from reports order by endpoint, seq")
        .fetch_all(office.fleet.store.reader())
        .await
        .unwrap()
}
