//! On real files, as far as the file system of the test has what Windows has.

use super::*;
use std::fs;
use std::io::Read;

#[test]
fn a_file_is_told_alike_by_its_path_and_by_its_handle() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("máy.exe");
    fs::write(&path, b"MZ one").unwrap();
    let facts = facts_at(&path).unwrap().unwrap();
    assert_eq!(facts_of(&open(&path).unwrap()).unwrap(), Some(facts.clone()));
    assert_eq!((facts.size, facts.mode, facts.away), (6, None, None));
    fs::write(&path, b"MZ two!").unwrap();
    assert_ne!(facts_at(&path).unwrap(), Some(facts));
    assert_eq!(facts_at(folder.path()).unwrap(), None);
    fs::remove_file(&path).unwrap();
    assert!(is_gone(&facts_at(&path).unwrap_err()) && is_gone(&open(&path).unwrap_err()));
}

#[test]
fn a_file_that_another_program_holds_is_in_use_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("held.exe");
    fs::write(&path, b"MZ").unwrap();
    let held = OpenOptions::new().write(true).share_mode(0).open(&path).unwrap();
    assert!(is_in_use(&open(&path).unwrap_err()));
    // What it is can be asked all the same.
    assert_eq!(facts_at(&path).unwrap().unwrap().size, 2);
    drop(held);
    open(&path).unwrap();
}

#[test]
fn reading_does_not_keep_others_from_replacing_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, newer) = (folder.path().join("a.exe"), folder.path().join("b.exe"));
    fs::write(&path, b"MZ old").unwrap();
    fs::write(&newer, b"MZ new").unwrap();
    let mut file = open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let mut content = Vec::new();
    file.read_to_end(&mut content).unwrap();
    assert_eq!(content, b"MZ old");
}

#[test]
fn what_lies_elsewhere_is_told_without_being_opened() {
    let listed = WIN32_FIND_DATAW {
        dwFileAttributes: FILE_ATTRIBUTE_RECALL_ON_OPEN,
        nFileSizeHigh: 1,
        nFileSizeLow: 2,
        ..WIN32_FIND_DATAW::default()
    };
    let facts = away(&listed);
    assert_eq!((facts.size, facts.away), ((1 << 32) + 2, Some(AWAY_REASON)));
    for attribute in [FILE_ATTRIBUTE_OFFLINE, FILE_ATTRIBUTE_RECALL_ON_DATA_ACCESS] {
        assert_ne!(attribute & AWAY, 0);
    }
}
