//! A database that fails in the middle of a batch.

use wardwatch_policies::digest::Digest;
use wardwatch_policies::file::{FileKind, FileSighting, FileState, Sighting};
use wardwatch_policies::finding::StreamReason;
use wardwatch_policies::time::UnixMillis;
use wardwatch_tests::database::Database;
use wardwatch_wire::report::Body;

use crate::office::Office;

fn file(content: &[u8]) -> Body {
    let state =
        FileState { digest: Digest::of(content), size: 1, kind: FileKind::Elf, mode: None, owner: None };
    let path = "/usr/bin/ls".parse().unwrap();
    Body::Files(vec![FileSighting { path, sighting: Sighting::Present(state), seen: UnixMillis(0) }])
}

#[tokio::test]
async fn nothing_is_half_done_and_nothing_acknowledged() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut pc = office.reporter("pc-1").await;
        pc.open(1, StreamReason::FirstStart).await;
        pc.tell(file(b"1")).await;
        pc.tell(Body::InventoryComplete { files: 1 }).await;
        let all = async || {
            let digests: Vec<Vec<u8>> = sqlx::query_scalar("select digest from files")
                .fetch_all(office.fleet.store.reader())
                .await
                .unwrap();
            let standing = format!("{:?}", office.standing("pc-1").await);
            (office.committed("pc-1").await, digests, standing, office.log_head().await)
        };
        let before = all().await;

        // The report and the file are written before the alert, for which there is no table any more.
        office.run_sql("alter table alerts rename to alerts_away").await;
        let changed = pc.report(file(b"2"));
        pc.send(&changed).await;
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
        assert_eq!(all().await, before);
        assert_eq!(pc.lose_what_was_heard(), 0);

        office.run_sql("alter table alerts_away rename to alerts").await;
        pc.send(&changed).await;
        pc.ack_that(|ack| ack.committed == 4).await;
        assert_eq!(office.alert_lines().await, ["system-executable-changed open 1"]);
        office.close().await;
    }
}

#[tokio::test]
async fn one_endpoints_report_that_cannot_be_stored_does_not_hold_up_the_others() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let (mut bad, mut good) = (office.reporter("pc-bad").await, office.reporter("pc-good").await);
        bad.open(1, StreamReason::FirstStart).await;
        good.open(1, StreamReason::FirstStart).await;
        // What is stored of the one cannot be read any more.
        office.run_sql("update endpoints set link = 'nonsense' where id = 'pc-bad'").await;
        for n in 0..20 {
            let nonsense = bad.heartbeat(n);
            bad.send(&nonsense).await;
            good.beat(n).await;
        }
        assert_eq!(bad.lose_what_was_heard(), 0);
        office.close().await;
    }
}
