//! With the changes that this system announces: Wine announces none from deeper folders.

use super::*;

fn notices(watcher: &Watcher, wanted: &Notice) -> Vec<Notice> {
    let mut seen = Vec::new();
    let end = Instant::now() + Duration::from_secs(10);
    while !seen.contains(wanted) && Instant::now() < end {
        watcher.answered.wait(Duration::from_millis(100)).unwrap();
        watcher.read(&mut |notice| seen.push(notice)).unwrap();
    }
    seen
}

#[test]
fn files_and_folders_that_come_and_go_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let watcher = Watcher::with_reach(Reach::Folder, 10).unwrap();
    watcher.watch(folder.path()).unwrap();
    let (file, inner) = (folder.path().join("máy.exe"), folder.path().join("inner"));
    fs::write(&file, "x").unwrap();
    let came = Notice::File(file.clone());
    assert!(notices(&watcher, &came).contains(&came));
    fs::create_dir(&inner).unwrap();
    let came = Notice::FolderCame(inner.clone());
    assert!(notices(&watcher, &came).contains(&came));
    fs::write(&file, "xy").unwrap();
    let written = Notice::Writing(file.clone());
    assert!(notices(&watcher, &written).contains(&written));
    fs::remove_file(&file).unwrap();
    let went = Notice::File(file);
    assert!(notices(&watcher, &went).contains(&went));
    fs::remove_dir(&inner).unwrap();
    let went = Notice::FolderWent(inner);
    assert!(notices(&watcher, &went).contains(&went));
}

#[test]
fn a_trial_finds_how_far_the_system_tells() {
    let own = tempfile::tempdir().unwrap();
    let watcher = Watcher::new(10, own.path()).unwrap();
    assert!(watcher.is_empty());
    assert_eq!(fs::read_dir(own.path()).unwrap().count(), 0);
}

#[test]
fn a_forgotten_folder_is_silent() {
    let folder = tempfile::tempdir().unwrap();
    let watcher = Watcher::with_reach(Reach::Folder, 10).unwrap();
    watcher.watch(folder.path()).unwrap();
    watcher.forget(folder.path());
    fs::write(folder.path().join("a"), "x").unwrap();
    assert!(notices(&watcher, &Notice::Overflow).is_empty());
    assert!(watcher.is_empty());
}

#[test]
fn watches_are_bounded_and_the_reason_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let watcher = Watcher::with_reach(Reach::Folder, 1).unwrap();
    watcher.watch(folder.path()).unwrap();
    watcher.watch(folder.path()).unwrap();
    assert!(watcher.watch(&inner).unwrap_err().to_string().contains("files.max_watches"));
}

#[test]
fn one_request_for_a_tree_covers_all_below() {
    let folder = tempfile::tempdir().unwrap();
    let watcher = Watcher::with_reach(Reach::Tree, 10).unwrap();
    watcher.watch(folder.path()).unwrap();
    watcher.watch(&folder.path().join("deep").join("deeper")).unwrap();
    assert_eq!(watcher.len(), 1);
}

#[test]
fn the_entries_of_a_folder_alone_do_not_stand_for_its_tree() {
    let folder = tempfile::tempdir().unwrap();
    let watcher = Watcher::with_reach(Reach::Tree, 10).unwrap();
    watcher.watch_entries(folder.path()).unwrap();
    assert_eq!(watcher.requests()[folder.path()].reach(), Reach::Folder);
    watcher.watch(folder.path()).unwrap();
    assert_eq!(watcher.requests()[folder.path()].reach(), Reach::Tree);
    watcher.watch_entries(folder.path()).unwrap();
    assert_eq!(watcher.len(), 1);
}

#[test]
fn dropped_notices_are_told_and_the_watch_goes_on() {
    for dropped in [Ok(&[][..]), Err(ERROR_NOTIFY_ENUM_DIR), Ok(&[1, 2, 3][..])] {
        let mut seen = Vec::new();
        assert!(note(Path::new(r"C:\x"), dropped, &mut seen));
        assert_eq!(seen, [Notice::Overflow]);
    }
}
