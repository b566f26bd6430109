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
async fn a_file_changed_and_changed_back_is_found_however_the_reports_are_batched() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut pc = office.reporter("pc-1").await;
        pc.open(1, StreamReason::FirstStart).await;
        pc.tell(file("/usr/bin/ls", b"1")).await;
        pc.tell(COMPLETE).await;
        let changes = Body::Files(vec![
            seen("/usr/bin/ls", present(b"2")),
            seen("/usr/bin/ls", Sighting::Unreadable("locked".into())),
            seen("/usr/bin/ls", present(b"1")),
        ]);
        let bodies = [file("/usr/bin/ls", b"2"), file("/usr/bin/ls", b"1"), changes];
        let envelopes = bodies.map(|body| pc.report(body));
        for envelope in &envelopes {
            pc.send(envelope).await;
        }
        pc.ack_that(|ack| ack.committed == 6).await;
        assert_eq!(office.alert_lines().await, ["system-executable-changed open 5"]);
        let entries = office.count("log").await;
        assert_eq!(entries, 6, "five sightings that differ from the one before, and the incident");
        office.close().await;
    }
}

#[tokio::test]
async fn ten_thousand_files_come_and_go() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut pc = office.reporter("pc-1").await;
        pc.open(1, StreamReason::FirstStart).await;
        let names: Vec<String> = (0..10_000).map(|n| format!("/usr/share/lib/{n}.so")).collect();
        for chunk in names.chunks(250) {
            let files = chunk.iter().map(|name| seen(name, present(name.as_bytes()))).collect();
            let envelope = pc.report(Body::Files(files));
            pc.send(&envelope).await;
        }
        pc.tell(COMPLETE).await;
        assert_eq!(office.count("files where sighting = 'present'").await, 10_000);
        assert_eq!(office.log_head().await.length, 0);

        pc.open(2, StreamReason::CollectorRestored).await;
        pc.tell(COMPLETE).await;
        assert_eq!(office.count("files where sighting = 'absent'").await, 10_000);
        assert_eq!(office.count("alerts where state = 'open'").await, 10_000);
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

#[tokio::test]
async fn what_a_host_says_of_itself_and_how_far_it_sees_is_kept() {
    use wardwatch_policies::file::{Coverage, Watch};
    use wardwatch_policies::host::HostFacts;
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut pc = office.reporter("pc-1").await;
        pc.open(1, StreamReason::FirstStart).await;
        let facts = HostFacts {
            // PostgreSQL takes no NUL in a text; one endpoint's nonsense must not stop its reports.
            hostname: "máy\0-1".into(),
            os: "Debian".into(),
            kernel: "6.1".into(),
            architecture: "x86_64".into(),
            cpu: "c".into(),
            cpu_count: 2,
            memory_bytes: 1 << 30,
            disks: Vec::new(),
            addresses: vec!["192.0.2.7/24".into()],
            agent_version: "0.1.0".into(),
            target: "x86_64-unknown-linux-musl".parse().ok(),
            limits: Vec::new(),
        };
        pc.tell(Body::Host(facts.clone())).await;
        pc.tell(Body::Files(vec![seen("/usr/bin/su", Sighting::Unreadable("no\0t yours".into()))])).await;
        let coverage = Coverage {
            root: "/usr/bin".parse().unwrap(),
            watch: Watch::ScanOnly("no inotify".into()),
            hashed_files: 1,
            unreadable: 1,
        };
        pc.tell(Body::Coverage(vec![coverage])).await;
        let db = office.fleet.store.reader();
        let kept = wardwatch_collector::store::hosts::facts(db, pc.agent.as_str()).await.unwrap();
        assert_eq!(kept, Some(facts));
        assert_eq!(office.count("coverage").await, 1);
        assert_eq!(office.count("files where reason like 'no%t yours'").await, 1);
        office.close().await;
    }
}
