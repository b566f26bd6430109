//! A release key that became known is replaced on a machine that may be in foreign hands.

use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use wardwatch_collector::authority::{Authority, AuthorityError};
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::release::open_release_key;

use crate::NOW;

struct Keys {
    dir: TempDir,
    root_key: PathBuf,
}

impl Keys {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Authority::create(&dir.path().join("authority"), NOW).unwrap();
        let root_key = dir.path().join("root.key");
        fs::rename(dir.path().join("authority/root.key"), &root_key).unwrap();
        Self { dir, root_key }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("authority").join(name)
    }

    fn replace(&self, out: Option<&Path>, now: UnixMillis) -> Result<(), AuthorityError> {
        Authority::replace_release_key(&self.dir.path().join("authority"), &self.root_key, out, now)
    }

    fn serial(&self) -> u64 {
        let root = Authority::read_release_key(&self.root_key).unwrap().verifying_key();
        open_release_key(&fs::read(self.file("release.word")).unwrap(), &root).unwrap().1.serial
    }
}

#[test]
fn the_serial_rises_whatever_word_lies_in_the_folder() {
    let keys = Keys::new();
    let word = keys.file("release.word");
    let first = fs::read(&word).unwrap();
    assert_eq!(keys.serial(), 1);
    keys.replace(None, NOW).unwrap();
    let leaked = keys.serial();
    assert_eq!(leaked, NOW.0.unsigned_abs() / 1000);

    let tampered: [&dyn Fn(); 4] = [
        &|| fs::write(&word, &first).unwrap(),
        &|| fs::remove_file(&word).unwrap(),
        &|| fs::write(&word, b"no word at all").unwrap(),
        &|| {},
    ];
    let mut before = leaked;
    for (days, tamper) in (1..).zip(tampered) {
        tamper();
        keys.replace(None, NOW.plus(days * crate::DAY)).unwrap();
        assert!(keys.serial() > before, "{days}");
        before = keys.serial();
    }
    // A clock that stands still, or goes back, is no help to the old key either.
    keys.replace(None, UnixMillis(0)).unwrap();
    assert_eq!(keys.serial(), before + 1);
}

#[test]
fn a_draft_that_somebody_laid_there_gets_no_key() {
    let keys = Keys::new();
    let draft = keys.file("release.new");
    fs::write(&draft, b"").unwrap();
    fs::set_permissions(&draft, Permissions::from_mode(0o666)).unwrap();
    let mut held = File::open(&draft).unwrap();
    keys.replace(None, NOW).unwrap();
    let mut seen = Vec::new();
    held.read_to_end(&mut seen).unwrap();
    assert_eq!(seen, b"", "whoever holds the draft open reads nothing");
    assert_eq!(fs::metadata(keys.file("release.key")).unwrap().mode() & 0o777, 0o600);

    let victim = keys.dir.path().join("victim");
    fs::write(&victim, b"untouched").unwrap();
    symlink(&victim, &draft).unwrap();
    keys.replace(None, NOW).unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"untouched");
    assert!(fs::symlink_metadata(keys.file("release.key")).unwrap().is_file());
}

#[test]
fn the_private_key_goes_where_it_is_kept_and_over_nothing() {
    let keys = Keys::new();
    let (there, kept) = (keys.dir.path().join("there.key"), keys.dir.path().join("kept.key"));
    fs::write(&there, b"something else").unwrap();
    let word = fs::read(keys.file("release.word")).unwrap();
    let online = fs::read(keys.file("release.key")).unwrap();
    let refused = keys.replace(Some(&there), NOW);
    assert!(matches!(refused, Err(AuthorityError::Taken(_))), "{refused:?}");
    assert_eq!(fs::read(&there).unwrap(), b"something else");
    assert_eq!(fs::read(keys.file("release.word")).unwrap(), word, "nothing was changed");

    keys.replace(Some(&kept), NOW).unwrap();
    assert_eq!(fs::metadata(&kept).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::read(keys.file("release.key")).unwrap(), online, "the new key does not lie there");
    let known = Authority::open(&keys.dir.path().join("authority")).unwrap();
    let key = Authority::read_release_key(&kept).unwrap();
    assert_eq!(known.release().unwrap().key, key.verifying_key());
}

#[test]
fn a_key_without_its_word_is_not_left_behind() {
    let keys = Keys::new();
    let kept = keys.dir.path().join("kept.key");
    // A folder in the place of the draft keeps the word from being written.
    fs::create_dir(keys.file("release.new")).unwrap();
    assert!(keys.replace(Some(&kept), NOW).is_err());
    assert!(!kept.exists());
}

#[test]
fn what_root_writes_belongs_to_whom_the_folder_belongs_to() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let keys = Keys::new();
    let (owner, group) = (4711, 4712);
    std::os::unix::fs::chown(keys.dir.path().join("authority"), Some(owner), Some(group)).unwrap();
    keys.replace(None, NOW).unwrap();
    for name in ["release.key", "release.word"] {
        let written = fs::metadata(keys.file(name)).unwrap();
        assert_eq!((written.uid(), written.gid(), written.mode() & 0o777), (owner, group, 0o600), "{name}");
    }
}
