//! Whether a file or folder is this user's alone. What decides which program runs and whom the agent obeys must be.

use std::fs::{File, Metadata};
use std::io;
use std::os::linux::fs::MetadataExt;
use std::path::{Path, absolute};

use rustix::fs::{FileType, Mode, OFlags, StatVfsMountFlags};
use rustix::io::Errno;

use super::is_superuser;

/// Entries of such a folder can be replaced only by their owner.
const STICKY: u32 = 0o1000;

/// Opens a file that holds a secret and decides whom this agent obeys: a regular file and no link, of this user
/// or root, with no rights for anybody else. `None` where there is no file.
///
/// # Errors
/// It may not be believed, or not be opened.
pub fn open_private(path: &Path) -> Result<Option<File>, String> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(Errno::LOOP) => return Err("it is a link; put the file itself there".into()),
        Err(error) => return Err(format!("it cannot be opened ({error})")),
    };
    let stat = rustix::fs::fstat(&file).map_err(|error| format!("it cannot be looked at ({error})"))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err("it is no regular file".into());
    }
    let own = rustix::process::geteuid().as_raw();
    if stat.st_uid != own && stat.st_uid != 0 {
        return Err(format!("it belongs to user {}; `chown root` it if it is right", stat.st_uid));
    }
    if stat.st_mode & 0o077 != 0 {
        return Err(format!(
            "others may read or write it (mode {:o}); whoever could read it can use the string, so revoke the token, \
             make a new one, and `chmod 600` the file",
            stat.st_mode & 0o7777
        ));
    }
    Ok(Some(file))
}

/// Why somebody other than this user or root could have filled a file or folder that decides what this agent runs,
/// or could put another in its place. `None` where nobody could.
///
/// # Errors
/// The system does not say whose it is.
pub fn distrust(path: &Path) -> io::Result<Option<String>> {
    let named = absolute(path)?;
    if let Some((link, there)) = look(&named)? {
        if let Some(user) = stranger(&link, &there) {
            return Ok(Some(format!("it belongs to user {user}; choose a place of your own, or `chown` it")));
        }
        let mode = there.st_mode() & 0o7777;
        if mode & others() != 0 {
            return Ok(Some(format!(
                "others may write it (mode {mode:o}); `chmod go-w` it, on FAT mount it with umask=077"
            )));
        }
    }
    for folder in named.ancestors().skip(1) {
        if let Some(reason) = distrust_above(folder)? {
            return Ok(Some(reason));
        }
        // Where a link leads elsewhere, what lies above that place decides too.
        if let Ok(real) = folder.canonicalize()
            && real != folder
        {
            for folder in real.ancestors() {
                if let Some(reason) = distrust_above(folder)? {
                    return Ok(Some(reason));
                }
            }
        }
    }
    Ok(None)
}

/// Why others could put another entry in the place of one of this folder's.
fn distrust_above(folder: &Path) -> io::Result<Option<String>> {
    let Some((link, there)) = look(folder)? else { return Ok(None) };
    if let Some(user) = stranger(&link, &there) {
        return Ok(Some(format!(
            "the folder {} above it belongs to user {user}; choose another place, or `chown` that folder",
            folder.display()
        )));
    }
    let mode = there.st_mode() & 0o7777;
    if mode & others() == 0 || mode & STICKY != 0 || is_read_only(folder) {
        return Ok(None);
    }
    Ok(Some(format!(
        "others may write the folder {} above it (mode {mode:o}); `chmod go-w` that folder, on FAT mount it with \
         umask=077, or choose another place",
        folder.display()
    )))
}

/// The entry itself and what it leads to; `None` where nothing is there.
fn look(path: &Path) -> io::Result<Option<(Metadata, Metadata)>> {
    match path.symlink_metadata().and_then(|link| Ok((link, path.metadata()?))) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        both => both.map(Some),
    }
}

/// Who owns the entry or what it leads to, and is neither root nor this user: whoever owns a link chooses where it
/// leads.
fn stranger(link: &Metadata, there: &Metadata) -> Option<u32> {
    let trusted = [0, rustix::process::geteuid().as_raw()];
    [link.st_uid(), there.st_uid()].into_iter().find(|user| !trusted.contains(user))
}

/// A person's own group is often allowed to write; root has none that could be meant.
fn others() -> u32 {
    if is_superuser() { 0o022 } else { 0o002 }
}

/// The root of many a recorder is, with every right for everybody.
fn is_read_only(folder: &Path) -> bool {
    rustix::fs::statvfs(folder).is_ok_and(|disk| disk.f_flag.contains(StatVfsMountFlags::RDONLY))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::create_private_folder;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn allow(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_others_may_write_is_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("state");
        assert_eq!(distrust(&folder).unwrap(), None, "nothing is there");
        create_private_folder(&folder).unwrap();
        assert_eq!(distrust(&folder).unwrap(), None);
        let link = dir.path().join("link");
        symlink(&folder, &link).unwrap();
        assert_eq!(distrust(&link).unwrap(), None);
        allow(&folder, 0o777);
        for path in [&folder, &link] {
            let reason = distrust(path).unwrap().unwrap();
            assert!(reason.contains("others may write it (mode 777)"), "{reason}");
        }
    }

    #[test]
    fn neither_is_what_lies_where_others_may_replace_it() {
        let dir = tempfile::tempdir().unwrap();
        let open = dir.path().join("recordings");
        let folder = open.join("deep/state");
        create_private_folder(&folder).unwrap();
        let link = dir.path().join("link");
        symlink(open.join("deep"), &link).unwrap();
        assert_eq!(distrust(&folder).unwrap(), None);
        allow(&open, 0o777);
        for path in [folder.clone(), open.join("not-there-yet"), link.join("state")] {
            let reason = distrust(&path).unwrap().unwrap();
            assert!(reason.contains(&format!("the folder {} above it", open.display())), "{reason}");
        }
        allow(&open, 0o1777);
        assert_eq!(distrust(&folder).unwrap(), None, "only its owner can replace it");
    }
}
