//! `scan` on real trees: what it finds, what it passes over, and how it compares with a baseline.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde_json::Value;
use wardwatch_agent::form::Form;
use wardwatch_agent::scan::{Outcome, Request, run};

const ELF: &[u8] = b"\x7fELF and then some";

struct Tree(tempfile::TempDir);

impl Tree {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().canonicalize().unwrap()
    }

    fn write(&self, name: impl AsRef<Path>, content: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn request(&self) -> Request {
        Request {
            paths: vec![self.path()],
            save: None,
            baseline: None,
            all_files: false,
            full_speed: true,
            threads: 1,
            form: Form::Json,
        }
    }

    fn scan(&self) -> Value {
        scan(&self.request()).1
    }
}

fn scan(request: &Request) -> (Outcome, Value) {
    let mut out = Vec::new();
    let outcome = run(request, &mut out, &AtomicBool::new(false)).unwrap();
    (outcome, serde_json::from_slice(&out).unwrap())
}

fn names(listing: &Value, list: &str) -> Vec<String> {
    let mut names: Vec<_> = listing[list]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["path"].as_str().unwrap().rsplit('/').next().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn binaries_are_found_by_content_whatever_their_names() {
    let tree = Tree::new();
    let composed = "Ph\u{1b0}\u{1edd}ng";
    let decomposed = "Phu\u{31b}o\u{31b}\u{300}ng";
    tree.write(composed, ELF);
    tree.write(decomposed, ELF);
    tree.write("line\nfeed", b"#!/bin/sh\n");
    tree.write(OsStr::from_bytes(b"\xff\xfe"), b"MZ\x90\0");
    tree.write("notes.exe", b"only text");
    tree.write("empty", b"");
    assert_eq!(names(&tree.scan(), "files"), [composed, decomposed, "\\xff\\xfe", "line\\x0afeed"].sorted());
}

trait Sorted {
    fn sorted(self) -> Vec<String>;
}

impl<const N: usize> Sorted for [&str; N] {
    fn sorted(self) -> Vec<String> {
        let mut list: Vec<_> = self.iter().map(|text| (*text).to_owned()).collect();
        list.sort();
        list
    }
}

#[test]
fn the_digest_is_blake3_of_the_whole_content() {
    let tree = Tree::new();
    let content = [ELF, &vec![7; 1_000_000]].concat();
    tree.write("big", &content);
    let listing = tree.scan();
    let file = &listing["files"][0];
    assert_eq!(file["blake3"], blake3::hash(&content).to_hex().as_str());
    assert_eq!(file["size"], content.len());
    assert_eq!(file["kind"], "elf");
}

#[test]
fn links_and_special_files_are_passed_over_and_a_loop_ends() {
    let tree = Tree::new();
    tree.write("inner/a", ELF);
    symlink("..", tree.path().join("inner/up")).unwrap();
    symlink("a", tree.path().join("inner/b")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(tree.path().join("socket")).unwrap();
    let listing = tree.scan();
    assert_eq!(names(&listing, "files"), ["a"]);
    assert_eq!(names(&listing, "unreadable"), [""; 0]);
}

#[test]
fn overlapping_paths_are_looked_at_once() {
    let tree = Tree::new();
    tree.write("inner/a", ELF);
    symlink("inner", tree.path().join("alias")).unwrap();
    let mut request = tree.request();
    request.paths = vec![tree.path().join("inner"), tree.path(), tree.path().join("alias")];
    assert_eq!(names(&scan(&request).1, "files"), ["a"]);
}

#[test]
fn what_may_not_be_read_is_listed() {
    if wardwatch_agent::platform::is_superuser() {
        // Root may read everything.
        return;
    }
    let tree = Tree::new();
    let path = tree.write("secret", ELF);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    tree.write("closed/a", ELF);
    fs::set_permissions(tree.path().join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    let listing = tree.scan();
    fs::set_permissions(tree.path().join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(names(&listing, "unreadable"), ["closed", "secret"]);
    assert_eq!(listing["unreadable"][0]["reason"], "permission denied");
}

#[test]
fn many_threads_find_what_one_finds() {
    let tree = Tree::new();
    for n in 0..300 {
        tree.write(format!("{}/{n}", n % 7), &[ELF, n.to_string().as_bytes()].concat());
    }
    let one = names(&tree.scan(), "files");
    let mut request = tree.request();
    request.threads = 8;
    assert_eq!(names(&scan(&request).1, "files"), one);
    assert_eq!(one.len(), 300);
}

#[test]
fn a_baseline_shows_what_was_added_changed_and_removed() {
    let (tree, kept) = (Tree::new(), Tree::new());
    let baseline = kept.path().join("baseline");
    for name in ["same", "changed", "removed", "to-text"] {
        tree.write(name, &[ELF, name.as_bytes()].concat());
    }
    tree.write("note", b"text");
    assert_eq!(scan(&Request { save: Some(baseline.clone()), ..tree.request() }).0, Outcome::Done);

    let compare = Request { baseline: Some(baseline.clone()), ..tree.request() };
    let (outcome, listing) = scan(&compare);
    assert_eq!((outcome, names(&listing, "changes")), (Outcome::Done, vec![]));

    tree.write("changed", b"\x7fELF other");
    tree.write("to-text", b"no longer a program");
    tree.write("note", b"other text");
    tree.write("added", ELF);
    fs::remove_file(tree.path().join("removed")).unwrap();
    let (outcome, listing) = scan(&compare);
    assert_eq!(outcome, Outcome::Changed);
    let changes: Vec<_> = listing["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            let name = line["path"].as_str().unwrap().rsplit('/').next().unwrap();
            (name, line["change"].as_str().unwrap(), line["old"].is_string(), line["new"].is_string())
        })
        .collect();
    for expected in [
        ("added", "added", false, true),
        ("changed", "changed", true, true),
        ("removed", "removed", true, false),
        ("to-text", "changed", true, true),
    ] {
        assert!(changes.contains(&expected), "{expected:?} in {changes:?}");
    }
    assert_eq!(changes.len(), 4, "{changes:?}");
}

#[test]
fn a_change_that_keeps_size_and_time_is_found_by_the_time_of_the_inode() {
    let (tree, kept) = (Tree::new(), Tree::new());
    let baseline = kept.path().join("baseline");
    let path = tree.write("a", b"\x7fELF one");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    scan(&Request { save: Some(baseline.clone()), ..tree.request() });
    fs::write(&path, b"\x7fELF two").unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    let (outcome, _) = scan(&Request { baseline: Some(baseline), ..tree.request() });
    assert_eq!(outcome, Outcome::Changed);
}

#[test]
fn a_baseline_of_all_files_is_compared_with_all_files() {
    let (tree, kept) = (Tree::new(), Tree::new());
    let baseline = kept.path().join("baseline");
    tree.write("note", b"text");
    scan(&Request { save: Some(baseline.clone()), all_files: true, ..tree.request() });
    tree.write("note", b"other");
    let (outcome, listing) = scan(&Request { baseline: Some(baseline), ..tree.request() });
    assert_eq!((outcome, names(&listing, "changes")), (Outcome::Changed, vec!["note".to_owned()]));
}

#[test]
fn a_stopped_scan_prints_whole_json_and_keeps_no_baseline() {
    let (tree, kept) = (Tree::new(), Tree::new());
    tree.write("a", ELF);
    let save = kept.path().join("baseline");
    let request = Request { save: Some(save.clone()), ..tree.request() };
    let mut out = Vec::new();
    assert_eq!(run(&request, &mut out, &AtomicBool::new(true)).unwrap(), Outcome::Stopped);
    serde_json::from_slice::<Value>(&out).unwrap();
    assert!(!save.exists());
}

#[test]
fn a_path_that_is_not_there_and_a_file_that_is_no_baseline_are_refused_with_a_remedy() {
    let tree = Tree::new();
    let mut request = tree.request();
    request.paths.push("/not/there".into());
    let error = run(&request, &mut Vec::new(), &AtomicBool::new(false)).unwrap_err().to_string();
    assert!(error.contains("/not/there") && error.contains("check the path"), "{error}");
    let mut request = tree.request();
    request.baseline = Some(tree.write("text", b"no baseline"));
    let error = run(&request, &mut Vec::new(), &AtomicBool::new(false)).unwrap_err().to_string();
    assert!(error.contains("scan --save"), "{error}");
}
