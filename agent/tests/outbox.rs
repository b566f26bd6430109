//! The outbox: nothing is lost or numbered twice, wherever it is interrupted.

use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use wardwatch_agent::clock::Clock;
use wardwatch_agent::outbox::{Disagreement, Outbox, OutboxError, Sealer};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::finding::StreamReason;
use wardwatch_policies::ids::AgentId;
use wardwatch_wire::downlink::{DownlinkPosition, Witness};
use wardwatch_wire::envelope::{Kind, open};
use wardwatch_wire::report::{Body, Report, StreamId};

const STREAM: StreamId = StreamId([1; 16]);
const MIB: u64 = 1 << 20;

fn agent() -> AgentId {
    "ww-test".parse().unwrap()
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[5; 32])
}

fn open_at(path: &Path) -> Outbox {
    open_with(path, 64 * MIB).unwrap()
}

fn open_with(path: &Path, capacity_bytes: u64) -> Result<Outbox, OutboxError> {
    let sealer = Sealer { agent: agent(), key: key(), clock: Clock::new() };
    Outbox::open(path, sealer, capacity_bytes)
}

fn fresh(folder: &tempfile::TempDir) -> (PathBuf, Outbox) {
    let path = folder.path().join("outbox.redb");
    Outbox::create(&path, STREAM, StreamReason::FirstStart).unwrap();
    let outbox = open_at(&path);
    (path, outbox)
}

fn told(files: u64) -> Vec<Body> {
    vec![Body::InventoryComplete { files }]
}

/// All that waits, opened and checked to be one unbroken chain.
fn chain(outbox: &Outbox) -> Vec<Report> {
    let mut previous = None;
    outbox
        .after(0, usize::MAX, usize::MAX)
        .unwrap()
        .into_iter()
        .map(|(seq, bytes)| {
            let report: Report = open(&bytes, Kind::Report, &agent(), &key().verifying_key()).unwrap();
            assert_eq!(report.position.seq, seq);
            if let Some(previous) = previous.replace(Digest::of(&bytes)) {
                assert_eq!(report.position.previous, previous);
            }
            report
        })
        .collect()
}

fn ack(outbox: &Outbox, seq: u64, committed: u64) -> Result<(), Disagreement> {
    let witness = Witness { length: seq, head: Digest::ZERO };
    outbox.acknowledge(DownlinkPosition { epoch: 1, seq }, outbox.stream(), committed, witness)
}

#[test]
fn a_stream_begins_by_saying_why() {
    let folder = tempfile::tempdir().unwrap();
    let (_, outbox) = fresh(&folder);
    let reports = chain(&outbox);
    assert_eq!(reports[0].body, Body::StreamOpened { reason: StreamReason::FirstStart });
    assert_eq!(reports[0].position.previous, Digest::ZERO);
    assert_eq!(reports.len(), 1);
}

#[test]
fn what_is_appended_survives_a_kill_at_once_and_the_chain_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let (path, outbox) = fresh(&folder);
    for files in 0..5 {
        outbox.append(STREAM, told(files), &[]).unwrap();
        // As a kill leaves it: whatever is on disk now, without any farewell.
        let copy = folder.path().join(format!("copy-{files}"));
        std::fs::copy(&path, &copy).unwrap();
        let revived = open_at(&copy);
        assert_eq!(revived.last_seq(), files + 2);
        revived.append(STREAM, told(99), &[]).unwrap();
        assert_eq!(chain(&revived).len() as u64, files + 3);
    }
}

#[test]
fn only_what_the_collector_committed_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let (path, outbox) = fresh(&folder);
    (0..9).for_each(|files| outbox.append(STREAM, told(files), &[]).unwrap());
    ack(&outbox, 1, 4).unwrap();
    assert_eq!(outbox.after(0, 1, usize::MAX).unwrap()[0].0, 5);
    assert_eq!(outbox.depth().reports, 6);
    assert_eq!(ack(&outbox, 2, 2), Err(Disagreement::CollectorRestored));
    assert_eq!(outbox.depth().reports, 6, "nothing comes back that has left");
    outbox.save().unwrap();
    drop(outbox);
    let outbox = open_at(&path);
    assert_eq!((outbox.depth().reports, outbox.committed_seq(), outbox.last_seq()), (6, 4, 10));
    assert_eq!(outbox.downlink(), DownlinkPosition { epoch: 1, seq: 2 });
}

#[test]
fn an_ack_lost_by_a_kill_only_sends_reports_again() {
    let folder = tempfile::tempdir().unwrap();
    let (path, outbox) = fresh(&folder);
    outbox.append(STREAM, told(1), &[]).unwrap();
    ack(&outbox, 1, 2).unwrap();
    drop(outbox);
    assert_eq!(chain(&open_at(&path)).len(), 2);
}

#[test]
fn a_downlink_position_is_on_disk_before_it_is_obeyed() {
    let folder = tempfile::tempdir().unwrap();
    let (path, outbox) = fresh(&folder);
    outbox.advance_downlink(DownlinkPosition { epoch: 3, seq: 7 }).unwrap();
    drop(outbox);
    assert_eq!(open_at(&path).downlink(), DownlinkPosition { epoch: 3, seq: 7 });
}

#[test]
fn an_ack_of_what_was_never_written_shows_an_old_copy() {
    let folder = tempfile::tempdir().unwrap();
    let (_, outbox) = fresh(&folder);
    assert_eq!(ack(&outbox, 1, 40), Err(Disagreement::StateRolledBack));
}

#[test]
fn an_ack_of_less_than_before_shows_a_restored_collector() {
    let folder = tempfile::tempdir().unwrap();
    let (_, outbox) = fresh(&folder);
    outbox.append(STREAM, told(3), &[]).unwrap();
    ack(&outbox, 1, 2).unwrap();
    assert_eq!(ack(&outbox, 2, 1), Err(Disagreement::CollectorRestored));
}

#[test]
fn an_ack_of_another_stream_counts_once_this_one_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let (_, outbox) = fresh(&folder);
    let ack_other = |epoch, seq| {
        let witness = Witness { length: seq, head: Digest::ZERO };
        outbox.acknowledge(DownlinkPosition { epoch, seq }, StreamId([9; 16]), 7, witness)
    };
    assert_eq!(ack_other(1, 1), Ok(()));
    ack(&outbox, 2, 1).unwrap();
    assert_eq!(ack_other(1, 3), Err(Disagreement::StateRolledBack));
    assert_eq!(ack_other(2, 4), Err(Disagreement::CollectorRestored));
}

#[test]
fn a_new_stream_begins_at_one_and_keeps_what_was_heard() {
    let folder = tempfile::tempdir().unwrap();
    let (path, outbox) = fresh(&folder);
    outbox.append(STREAM, told(1), &[("coverage".into(), Digest::of(b"x"))]).unwrap();
    ack(&outbox, 9, 1).unwrap();
    let next = StreamId([2; 16]);
    outbox.restart(next, StreamReason::StateRolledBack).unwrap();
    assert!(matches!(outbox.append(STREAM, told(1), &[]), Err(OutboxError::OtherStream)));
    assert_eq!(outbox.mark("coverage").unwrap(), None);
    drop(outbox);
    let outbox = open_at(&path);
    let reports = chain(&outbox);
    assert_eq!(reports[0].position.stream, next);
    assert_eq!(reports[0].body, Body::StreamOpened { reason: StreamReason::StateRolledBack });
    assert_eq!(outbox.downlink(), DownlinkPosition { epoch: 1, seq: 9 });
    assert_eq!(outbox.witness().unwrap().length, 9);
}

#[test]
fn the_longest_log_ever_seen_stays_the_witness() {
    let folder = tempfile::tempdir().unwrap();
    let (_, outbox) = fresh(&folder);
    ack(&outbox, 50, 0).unwrap();
    ack(&outbox, 3, 0).unwrap();
    assert_eq!(outbox.witness().unwrap().length, 50);
}

#[test]
fn an_ack_that_lets_reports_go_is_written_soon_and_one_of_a_heartbeat_within_the_hour() {
    let folder = tempfile::tempdir().unwrap();
    let (_, outbox) = fresh(&folder);
    let patience = || outbox.save_due().unwrap() - Clock::new().uptime();
    // The first of all begins an epoch.
    ack(&outbox, 1, 0).unwrap();
    outbox.save().unwrap();
    assert_eq!(outbox.save_due(), None);
    ack(&outbox, 2, 0).unwrap();
    assert!((600..=3600).contains(&patience().as_secs()), "{:?}", patience());
    ack(&outbox, 3, 1).unwrap();
    assert!(patience().as_secs() < 10, "{:?}", patience());
    outbox.save().unwrap();
    assert_eq!(outbox.save_due(), None);
}

#[test]
fn a_full_outbox_takes_nothing_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (path, outbox) = fresh(&folder);
    drop(outbox);
    let outbox = open_with(&path, 2000).unwrap();
    let mut stored = outbox.last_seq();
    loop {
        match outbox.append(STREAM, told(1), &[]) {
            Ok(()) => stored += 1,
            Err(error) => {
                assert!(matches!(error, OutboxError::Full(_)) && error.is_passing());
                break;
            }
        }
    }
    assert_eq!(outbox.last_seq(), stored);
    ack(&outbox, 1, stored).unwrap();
    outbox.append(STREAM, told(1), &[]).unwrap();
}

#[test]
fn what_is_no_outbox_is_called_damaged_and_not_a_passing_trouble() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    assert!(open_with(&missing, MIB).is_err_and(|error| error.is_damage()));
    let noise = folder.path().join("noise");
    std::fs::write(&noise, vec![7; 100_000]).unwrap();
    assert!(open_with(&noise, MIB).is_err_and(|error| error.is_damage()));
}

#[test]
fn marks_are_stored_with_the_reports_they_belong_to() {
    let folder = tempfile::tempdir().unwrap();
    let (path, outbox) = fresh(&folder);
    outbox.append(STREAM, told(1), &[("host".into(), Digest::of(b"facts"))]).unwrap();
    drop(outbox);
    assert_eq!(open_at(&path).mark("host").unwrap(), Some(Digest::of(b"facts")));
}
