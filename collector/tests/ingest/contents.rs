//! What reports tell becomes stored state, and what differs from it becomes alerts and incidents.

use wardwatch_policies::digest::Digest;
use wardwatch_policies::file::{FileKind, FileSighting, FileState, Sighting};
use wardwatch_policies::finding::{Finding, StreamReason};
use wardwatch_policies::time::UnixMillis;
use wardwatch_policies::verdict::{CheckResult, PolicyResults, Verdict};
use wardwatch_tests::database::Database;
use wardwatch_wire::report::Body;

use crate::office::Office;

const COMPLETE: Body = Body::InventoryComplete { files: 1 };

fn present(content: &[u8]) -> Sighting {
    Sighting::Present(FileState {
        digest: Digest::of(content),
        size: content.len() as u64,
        kind: FileKind::Elf,
        mode: Some(0o755),
        owner: Some((0, 0)),
    })
}

fn seen(path: &str, sighting: Sighting) -> FileSighting {
    FileSighting { path: path.parse().unwrap(), sighting, seen: UnixMillis(0) }
}

fn file(path: &str, content: &[u8]) -> Body {
    Body::Files(vec![seen(path, present(content))])
}

#[tokio::test]
async fn a_first_inventory_raises_nothing_and_a_changed_file_one_alert_and_one_incident() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut pc = office.reporter("pc-1").await;
        pc.open(1, StreamReason::FirstStart).await;
        pc.tell(file("/usr/bin/ls", b"old")).await;
        pc.tell(file("/usr/bin/cp", b"cp")).await;
        pc.tell(COMPLETE).await;
        assert_eq!(office.log_head().await.length, 0);

        pc.tell(file("/usr/bin/ls", b"new")).await;
        assert_eq!(office.alert_lines().await, ["system-executable-changed open 1"]);
        let alerts = office.alerts().await;
        let finding = Finding::File {
            path: "/usr/bin/ls".parse().unwrap(),
            old: present(b"old"),
            new: present(b"new"),
        };
        assert_eq!(alerts[0].finding, finding);
        let incidents = office.incidents().await;
        assert_eq!((incidents.len(), alerts[0].incident), (1, Some(incidents[0].id)));
        assert!(incidents[0].alerts.contains(&alerts[0].id));

        // Other files of the same endpoint join the open incident.
        pc.tell(file("/usr/bin/cp", b"also new")).await;
        let incidents = office.incidents().await;
        assert_eq!((incidents.len(), incidents[0].alerts.len()), (1, 2));
        office.close().await;
    }
}

#[tokio::test]
async fn the_same_state_told_again_in_a_new_stream_raises_nothing() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut pc = office.reporter("pc-1").await;
        let inventory = [file("/usr/bin/ls", b"ls"), file("/usr/bin/cp", b"cp"), COMPLETE];
        for (stream, reason) in [(1, StreamReason::FirstStart), (2, StreamReason::CollectorRestored)] {
            pc.open(stream, reason).await;
            for body in &inventory {
                pc.tell(body.clone()).await;
            }
        }
        assert_eq!(office.log_head().await.length, 0);
        assert_eq!(office.count("files").await, 2);
        office.close().await;
    }
}

#[tokio::test]
async fn a_new_streams_inventory_finds_what_changed_appeared_and_went_meanwhile() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut pc = office.reporter("pc-1").await;
        pc.open(1, StreamReason::FirstStart).await;
        for path in ["/usr/bin/ls", "/usr/bin/gone", "/usr/bin/same"] {
            pc.tell(file(path, b"1")).await;
        }
        pc.tell(COMPLETE).await;
        pc.open(2, StreamReason::CollectorRestored).await;
        pc.tell(file("/usr/bin/ls", b"2")).await;
        pc.tell(file("/usr/bin/same", b"1")).await;
        pc.tell(file("/usr/bin/added", b"1")).await;
        pc.tell(COMPLETE).await;
        let mut lines = office.alert_lines().await;
        lines.sort();
        assert_eq!(
            lines,
            [
                "executable-removed open 1",
                "system-executable-appeared open 1",
                "system-executable-changed open 1"
            ]
        );
        let gone = "files where sighting = 'absent' and digest is null";
        assert_eq!(office.count(gone).await, 1);
        office.close().await;
    }
}

#[tokio::test]
async fn a_verdict_of_pass_closes_and_unknown_keeps_open() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut pc = office.reporter("pc-1").await;
        pc.open(1, StreamReason::FirstStart).await;
        let verdict = |verdict: Verdict| {
            let check = CheckResult { check: "ssh-root".parse().unwrap(), verdict, evidence: Vec::new() };
            Body::Verdicts(PolicyResults {
                policy: "office-pc-linux".parse().unwrap(),
                version: Digest::ZERO,
                results: vec![check],
            })
        };
        for (told, expected) in [
            (Verdict::Pass, &[][..]),
            (Verdict::Fail, &["check-failed open 1"]),
            (Verdict::Unknown("not readable".into()), &["check-failed open 1"]),
            (Verdict::Fail, &["check-failed open 2"]),
            (Verdict::Pass, &["check-failed closed 2"]),
            (Verdict::Pass, &["check-failed closed 2"]),
            (Verdict::Unknown("not readable".into()), &["check-failed closed 2", "check-lost open 1"]),
        ] {
            pc.tell(verdict(told)).await;
            assert_eq!(office.alert_lines().await, expected);
        }
        assert_eq!(office.count("verdicts where verdict = 'unknown' and reason = 'not readable'").await, 1);
        office.close().await;
    }
}
