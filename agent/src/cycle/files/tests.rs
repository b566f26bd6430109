//! The files thread on real folders, with a real outbox and cache.

use std::collections::BTreeMap;
use std::fs;

use ed25519_dalek::SigningKey;
use wardwatch_policies::file::Sighting;
use wardwatch_policies::finding::StreamReason;
use wardwatch_wire::envelope::{Kind, open};
use wardwatch_wire::report::{Body, Report, StreamId};

use super::*;
use crate::outbox::Sealer;
use crate::status;

const ELF: &[u8] = b"\x7fELF ";
/// For what happens soon, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(20);

struct Scene {
    folder: tempfile::TempDir,
    outbox: Arc<Outbox>,
    thread: Option<FilesThread>,
}

fn sealer() -> Sealer {
    Sealer { agent: "ww-test".parse().unwrap(), key: SigningKey::from_bytes(&[5; 32]), clock: Clock::new() }
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("root")).unwrap();
        let path = folder.path().join("outbox");
        Outbox::create(&path, StreamId([1; 16]), StreamReason::FirstStart).unwrap();
        let outbox = Arc::new(Outbox::open(&path, sealer(), 1 << 26).unwrap());
        Self { folder, outbox, thread: None }
    }

    fn started(mut self) -> Self {
        self.start();
        self
    }

    fn start(&mut self) {
        let scans = self.count(|body| matches!(body, Body::Coverage(_)));
        let settings = FileSettings {
            roots: vec![self.root()],
            always: Vec::new(),
            exclude: Vec::new(),
            pace: Pace::FullSpeed,
            rescan: Duration::from_secs(3600),
            max_watches: 1000,
        };
        let board = Board::new(status::begin(
            "ww-test".parse().unwrap(),
            "phuong-1".parse().unwrap(),
            "office-pc".parse().unwrap(),
            "0.1.0".parse().unwrap(),
        ));
        let parts = Parts {
            settings,
            outbox: Arc::clone(&self.outbox),
            cache: Cache::open(&self.folder.path().join("cache")).unwrap(),
            clock: Clock::new(),
            board: board.clone(),
            own: self.folder.path().to_owned(),
        };
        self.thread = Some(FilesThread::start(parts).unwrap());
        eventually("the first scan ends", || board.read().scan.last.is_some());
        if scans == 0 {
            eventually("coverage is told", || self.count(|body| matches!(body, Body::Coverage(_))) > 0);
        }
    }

    fn stop(&mut self) {
        self.thread.take().unwrap().stop();
    }

    fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join("root")
    }

    fn write(&self, name: &str, content: &[u8]) {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn bodies(&self) -> Vec<Body> {
        let key = SigningKey::from_bytes(&[5; 32]).verifying_key();
        let reports = self.outbox.after(0, usize::MAX, usize::MAX).unwrap();
        let open = |(_, bytes): (u64, Vec<u8>)| {
            open::<Report>(&bytes, Kind::Report, &"ww-test".parse().unwrap(), &key).unwrap().body
        };
        reports.into_iter().map(open).collect()
    }

    fn count(&self, wanted: impl Fn(&Body) -> bool) -> usize {
        self.bodies().iter().filter(|body| wanted(body)).count()
    }

    /// What a collector would hold: the last word on each path that is there.
    fn told(&self) -> BTreeMap<String, Digest> {
        let root = self.root();
        let mut held = BTreeMap::new();
        for body in self.bodies() {
            let Body::Files(sightings) = body else { continue };
            for sighting in sightings {
                let path = platform::local_path(&sighting.path);
                let name = path.strip_prefix(&root).unwrap().display().to_string();
                match sighting.sighting {
                    Sighting::Present(state) => held.insert(name, state.digest),
                    Sighting::Absent => held.remove(&name),
                    Sighting::Unreadable(reason) => panic!("{name}: {reason}"),
                };
            }
        }
        held
    }

    fn tells(&self, expected: &[(&str, &[u8])]) {
        let expected: BTreeMap<_, _> =
            expected.iter().map(|(name, content)| ((*name).to_owned(), Digest::of(content))).collect();
        eventually("the files are told as they are", || self.told() == expected);
    }
}

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_inventory_is_complete_only_after_every_file_is_told() {
    let scene = Scene::new();
    (0..700).for_each(|n| scene.write(&format!("{}/{n}", n % 5), &[ELF, n.to_string().as_bytes()].concat()));
    let scene = scene.started();
    let bodies = scene.bodies();
    let complete = bodies.iter().position(|body| *body == Body::InventoryComplete { files: 700 }).unwrap();
    let last_files = bodies.iter().rposition(|body| matches!(body, Body::Files(_))).unwrap();
    assert!(last_files < complete);
    assert_eq!(scene.told().len(), 700);
    let sizes = scene.outbox.after(0, usize::MAX, usize::MAX).unwrap();
    assert!(sizes.iter().all(|(_, envelope)| envelope.len() < 64 * 1024));
}

#[test]
fn a_changed_a_new_and_a_removed_file_are_told_soon() {
    let scene = Scene::new();
    scene.write("a", b"\x7fELF one");
    scene.write("b", b"\x7fELF two");
    let scene = scene.started();
    let begun = Instant::now();
    scene.write("a", b"\x7fELF other");
    scene.tells(&[("a", b"\x7fELF other"), ("b", b"\x7fELF two")]);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    scene.write("note", b"text");
    scene.write("c", b"#!/bin/sh\n");
    fs::remove_file(scene.root().join("b")).unwrap();
    scene.tells(&[("a", b"\x7fELF other"), ("c", b"#!/bin/sh\n")]);
}

#[test]
fn a_program_that_becomes_text_is_still_told() {
    let scene = Scene::new();
    scene.write("a", ELF);
    let scene = scene.started();
    scene.write("a", b"changed");
    scene.tells(&[("a", b"changed")]);
}

#[test]
fn new_and_moved_folders_are_looked_into() {
    let scene = Scene::new();
    scene.write("old/inner/a", ELF);
    let scene = scene.started();
    fs::rename(scene.root().join("old"), scene.root().join("new")).unwrap();
    scene.tells(&[("new/inner/a", ELF)]);
    scene.write("new/inner/deeper/b", b"\x7fELF b");
    scene.tells(&[("new/inner/a", ELF), ("new/inner/deeper/b", b"\x7fELF b")]);
    fs::remove_dir_all(scene.root().join("new")).unwrap();
    scene.tells(&[]);
}

#[test]
fn a_second_look_at_an_unchanged_tree_writes_nothing() {
    let mut scene = Scene::new();
    (0..50).for_each(|n| scene.write(&format!("{n}"), ELF));
    scene.write("note", b"text");
    scene.start();
    scene.stop();
    let cache = scene.folder.path().join("cache");
    let records = |path: &Path| {
        let mut records = Vec::new();
        let cache = Cache::open(path).unwrap();
        cache
            .for_each(b"", |path, record| {
                records.push((path.to_vec(), record));
                true
            })
            .unwrap();
        records
    };
    let (before, last_seq) = (records(&cache), scene.outbox.last_seq());
    scene.start();
    let order = |scene: &Scene| scene.thread.as_ref().unwrap().order(Order::Rescan);
    order(&scene);
    thread::sleep(Duration::from_millis(500));
    scene.stop();
    assert_eq!(scene.outbox.last_seq(), last_seq);
    assert_eq!(records(&cache), before);
}

#[test]
fn what_changed_while_the_agent_was_off_is_told_at_the_next_start() {
    let mut scene = Scene::new();
    scene.write("a", b"\x7fELF one");
    scene.write("b", ELF);
    scene.start();
    scene.stop();
    scene.write("a", b"\x7fELF two");
    fs::remove_file(scene.root().join("b")).unwrap();
    scene.start();
    scene.tells(&[("a", b"\x7fELF two")]);
}

#[test]
fn a_kill_between_outbox_and_cache_tells_nothing_twice_and_what_went_since() {
    let mut scene = Scene::new();
    scene.write("a", b"\x7fELF one");
    scene.start();
    scene.stop();
    let cache = scene.folder.path().join("cache");
    let kept = fs::read(&cache).unwrap();
    scene.write("a", b"\x7fELF two");
    scene.write("b", b"\x7fELF new");
    scene.start();
    scene.stop();
    let told = scene.outbox.last_seq();
    // The outbox is as it was after its write, the cache as it was before its own.
    fs::write(&cache, &kept).unwrap();
    scene.start();
    scene.stop();
    assert_eq!(scene.outbox.last_seq(), told);
    fs::write(&cache, kept).unwrap();
    fs::remove_file(scene.root().join("b")).unwrap();
    scene.start();
    scene.tells(&[("a", b"\x7fELF two")]);
}

#[test]
fn a_new_stream_tells_everything_again() {
    let scene = Scene::new();
    scene.write("a", ELF);
    let scene = scene.started();
    scene.outbox.restart(StreamId([2; 16]), StreamReason::StateRolledBack).unwrap();
    assert_eq!(scene.told().len(), 0);
    scene.thread.as_ref().unwrap().order(Order::StartOver);
    scene.tells(&[("a", ELF)]);
    eventually("the inventory is complete", || {
        scene.count(|body| matches!(body, Body::InventoryComplete { files: 1 })) == 1
    });
}
