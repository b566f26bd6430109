//! What ingest refuses: logged, counted, and without any effect.

use ed25519_dalek::SigningKey;
use wardwatch_collector::store::endpoints::State;
use wardwatch_incidents::change::Actor;
use wardwatch_policies::finding::StreamReason;
use wardwatch_tests::database::Database;
use wardwatch_wire::downlink::{Ack, Downlink, DownlinkPosition, Witness};
use wardwatch_wire::envelope::{self, Kind};
use wardwatch_wire::report::{Body, Position, Report, StopReason};

use crate::office::Office;
use crate::setup::{NOW, eventually, id, refused, report_key};

const QUIET: Body = Body::Stopping { reason: StopReason::Service };

#[tokio::test]
async fn what_is_not_this_agents_signed_report_changes_nothing() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut pc = office.reporter("pc-1").await;
        let mut other = office.reporter("pc-2").await;
        pc.open(1, StreamReason::FirstStart).await;
        let position = Position { stream: pc.stream, seq: 2, previous: pc.last };
        let report = |agent: &str| Report { agent: id(agent), position, time: pc.time(), body: QUIET };
        let genuine = pc.report_at(position, QUIET).into_bytes();
        let strange = SigningKey::from_bytes(&[8; 32]);

        let mut forged = genuine.clone();
        let middle = forged.len() / 2;
        forged[middle] ^= 1;
        let ack = Downlink {
            agent: id("pc-1"),
            position: DownlinkPosition { epoch: 9, seq: 9 },
            sent: NOW,
            body: Ack {
                stream: pc.stream,
                committed: 99,
                resend_from: None,
                nonce: None,
                witness: Witness { length: 0, head: pc.last },
            },
        };
        let attempts = [
            ("of another key", sealed(Kind::Report, "pc-1", &strange, &report("pc-1"))),
            ("forged", forged),
            ("truncated", genuine[..genuine.len() - 7].to_vec()),
            ("for another agent", sealed(Kind::Report, "pc-2", &report_key(), &report("pc-1"))),
            ("naming another agent", sealed(Kind::Report, "pc-1", &report_key(), &report("pc-2"))),
            ("another agent's", other.opened(1, StreamReason::FirstStart).into_bytes()),
            ("an ack sent up", sealed(Kind::Ack, "pc-1", office.fleet.authority.collector_key(), &ack)),
            (
                "a report passed off as a heartbeat",
                sealed(Kind::Heartbeat, "pc-1", &report_key(), &report("pc-1")),
            ),
            ("too large", vec![0xd2; envelope::MAX_BYTES + 1]),
            ("nothing", Vec::new()),
            ("text", b"hello".to_vec()),
        ];
        let before = refused("ingest", "envelope");
        let count = attempts.len() as u64;
        for (what, bytes) in attempts {
            pc.send_bytes(&bytes).await;
            let ack = pc.beat(1).await;
            assert_eq!(ack.committed, 1, "{what}");
        }
        assert!(refused("ingest", "envelope") >= before + count);
        assert_eq!(office.count("reports").await, 1);
        assert_eq!(office.committed("pc-2").await, [0; 0]);
        pc.tell(QUIET).await;
        office.close().await;
    }
}

#[tokio::test]
async fn a_message_of_ten_mebibytes_ends_the_connection_and_nothing_else() {
    let database = Database::sqlite();
    let office = Office::open(&database).await;
    let identity = office.enrol("pc-1", State::Active).await;
    let mut pc = office.connect("pc-1", &identity).await;
    pc.open(1, StreamReason::FirstStart).await;
    pc.send_bytes(&vec![0; 10 << 20]).await;
    pc.is_cut().await;
    let mut again = office.connect("pc-1", &identity).await;
    (again.seq, again.last, again.uptime_ms) = (pc.seq, pc.last, pc.uptime_ms);
    again.downlink = pc.downlink;
    again.tell(QUIET).await;
    assert_eq!(office.committed("pc-1").await, [1, 2]);
    office.close().await;
}

#[tokio::test]
async fn a_pending_endpoints_reports_do_not_count_until_it_is_approved() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        // Its session began before somebody took the approval back.
        let mut pc = office.reporter("pc-1").await;
        office.run_sql("update endpoints set state = 'pending' where id = 'pc-1'").await;
        let before = refused("ingest", "not-active");
        let first = pc.opened(1, StreamReason::FirstStart);
        pc.send(&first).await;
        let heartbeat = pc.heartbeat(1);
        pc.send(&heartbeat).await;
        eventually("both are refused", || refused("ingest", "not-active") >= before + 2).await;
        let mut other = office.reporter("pc-2").await;
        other.open(1, StreamReason::FirstStart).await;
        assert_eq!(office.committed("pc-1").await, [0; 0]);
        assert_eq!(pc.lose_what_was_heard(), 0);

        office.fleet.approve(&Actor::LocalAdmin, &id("pc-1"), NOW).await.unwrap();
        pc.send(&first).await;
        pc.ack_that(|ack| ack.committed == 1).await;
        office.close().await;
    }
}

#[tokio::test]
async fn an_endpoint_removed_in_mid_stream_is_cut_and_nothing_of_it_counts_any_more() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut pc = office.reporter("pc-1").await;
        pc.open(1, StreamReason::FirstStart).await;
        office.fleet.remove(&Actor::LocalAdmin, &id("pc-1"), "stolen", NOW).await.unwrap();
        pc.is_cut().await;
        assert_eq!(office.committed("pc-1").await, [1]);
        office.close().await;
    }
}

#[tokio::test]
async fn a_removal_that_the_registry_has_not_heard_of_yet_counts_already() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut pc = office.reporter("pc-1").await;
        pc.open(1, StreamReason::FirstStart).await;
        office.run_sql("update endpoints set state = 'removed' where id = 'pc-1'").await;
        let before = refused("ingest", "not-active");
        let late = pc.report(QUIET);
        pc.send(&late).await;
        eventually("it is refused", || refused("ingest", "not-active") > before).await;
        let mut other = office.reporter("pc-2").await;
        other.open(1, StreamReason::FirstStart).await;
        assert_eq!(office.committed("pc-1").await, [1]);
        office.close().await;
    }
}

fn sealed<T: serde::Serialize>(kind: Kind, agent: &str, key: &SigningKey, message: &T) -> Vec<u8> {
    envelope::seal(kind, &id(agent), key, message).unwrap().into_bytes()
}
