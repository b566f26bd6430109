use std::fs;
use std::os::unix::fs::symlink;

use super::*;

fn place() -> (tempfile::TempDir, Place) {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::open(folder.path()).unwrap();
    (folder, place)
}

#[test]
fn a_link_is_followed_within_the_root_only() {
    let (folder, place) = place();
    fs::write(folder.path().join("inside"), "in").unwrap();
    symlink("/inside", folder.path().join("absolute")).unwrap();
    symlink("../../../inside", folder.path().join("upwards")).unwrap();
    symlink("/etc/passwd", folder.path().join("passwd")).unwrap();
    symlink("../../../../../../etc/passwd", folder.path().join("passwd2")).unwrap();
    assert_eq!(place.text(b"/absolute").unwrap().as_deref(), Some("in"));
    assert_eq!(place.text(b"/upwards").unwrap().as_deref(), Some("in"));
    assert_eq!(place.text(b"/passwd").unwrap(), None);
    assert_eq!(place.text(b"/passwd2").unwrap(), None);
    assert_eq!(place.text(b"/../../etc/passwd").unwrap(), None);
}

#[test]
fn links_in_a_circle_are_unreadable_not_endless() {
    let (folder, place) = place();
    symlink("b", folder.path().join("a")).unwrap();
    symlink("a", folder.path().join("b")).unwrap();
    assert!(place.text(b"/a").unwrap_err().0.contains("links"));
}

#[test]
fn a_fifo_is_never_opened() {
    let (folder, place) = place();
    let fifo = folder.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
    assert!(place.text(b"/fifo").unwrap_err().0.contains("not a regular file"));
    assert!(place.stat(b"/fifo").unwrap().is_some());
}

#[test]
fn a_file_over_the_limit_is_unreadable_with_its_reason() {
    let (folder, place) = place();
    fs::write(folder.path().join("large"), vec![b'x'; MAX_FILE_BYTES as usize + 1]).unwrap();
    assert!(place.text(b"/large").unwrap_err().0.contains("more than 1048576 bytes"));
}

#[test]
fn the_kernels_files_are_not_read_as_if_someone_had_written_them() {
    let place = Place::open(Path::new("/")).unwrap();
    assert!(place.text(b"/proc/self/status").unwrap_err().0.contains("kernel"));
    assert!(place.kernel_text(b"/proc/self/status").unwrap().is_some());
}

#[test]
fn a_pattern_matches_in_every_name_of_a_path() {
    let (folder, place) = place();
    for name in ["rc2.d/S01a", "rc3.d/S02b", "rc3.d/K01c", "x/S01d"] {
        let path = folder.path().join("etc").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "").unwrap();
    }
    let found = place.expand(&PathPattern::parse("/etc/rc*.d/S*").unwrap()).unwrap();
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found, ["/etc/rc2.d/S01a", "/etc/rc3.d/S02b"]);
}
