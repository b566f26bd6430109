//! Key files: written whole or not at all, for this user alone, and refused when others may read them.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

use ed25519_dalek::SigningKey;
use rcgen::KeyPair;
use rustix::fs::{self, AtFlags, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;
use rustix::process::geteuid;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::AuthorityError;

/// No key file is longer.
const MAX_BYTES: u64 = 64 * 1024;

fn failed(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> AuthorityError {
    move |source| AuthorityError::File { path: path.to_owned(), action, source }
}

fn damaged(path: &Path) -> AuthorityError {
    AuthorityError::Damaged(path.to_owned())
}

pub(super) fn create_directory(path: &Path) -> Result<(), AuthorityError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed(path, "made"))?;
    // A directory that was there already keeps its mode.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
        .map_err(failed(path, "closed to others"))
}

/// Replaces the file in one step, so that a crash leaves the old one or the new one. Written by root, it belongs to
/// whom the folder belongs to, since that is who must read it.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), AuthorityError> {
    let attempt = || {
        let (folder, name) = place(path)?;
        let draft = Path::new(name).with_extension("new");
        // Left by an attempt that was cut short, or laid there by somebody else: it is never opened.
        match fs::unlinkat(&folder, &draft, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        let mut file = create(&folder, &draft)?;
        if geteuid().is_root() {
            let Stat { st_uid, st_gid, .. } = fs::fstat(&folder)?;
            fs::fchown(&file, Some(Uid::from_raw(st_uid)), Some(Gid::from_raw(st_gid)))?;
        }
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::renameat(&folder, &draft, &folder, name)?;
        folder.sync_all()
    };
    attempt().map_err(failed(path, "written"))
}

pub(super) fn write_signing_key(path: &Path, key: &SigningKey) -> Result<(), AuthorityError> {
    write(path, Zeroizing::new(key.to_bytes()).as_ref())
}

/// Writes a file that must not be there yet, for whoever runs this.
pub(super) fn write_new_signing_key(path: &Path, key: &SigningKey) -> Result<(), AuthorityError> {
    let (folder, name) = place(path).map_err(failed(path, "written"))?;
    let mut file = create(&folder, Path::new(name)).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => AuthorityError::Taken(path.to_owned()),
        _ => failed(path, "written")(error),
    })?;
    let bytes = Zeroizing::new(key.to_bytes());
    let written =
        file.write_all(bytes.as_ref()).and_then(|()| file.sync_all()).and_then(|()| folder.sync_all());
    written.map_err(|error| {
        // A part of a key is of no use, and would stand in the way of the next attempt.
        let _ = fs::unlinkat(&folder, name, AtFlags::empty());
        failed(path, "written")(error)
    })
}

/// The folder of a file, opened: whatever becomes of its name meanwhile, it stays the same one.
fn place(path: &Path) -> io::Result<(File, &OsStr)> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((File::open(folder)?, name))
}

/// A new file for this user alone; never one that is there, and never what a link of that name leads to.
fn create(folder: &File, name: &Path) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(fs::openat(folder, name, flags, Mode::RUSR | Mode::WUSR)?.into())
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, AuthorityError> {
    let file = File::open(path).map_err(failed(path, "opened"))?;
    let mode = file.metadata().map_err(failed(path, "read"))?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(AuthorityError::Exposed(path.to_owned()));
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(failed(path, "read"))?;
    Ok(bytes)
}

pub(super) fn read_array(path: &Path) -> Result<[u8; 32], AuthorityError> {
    read(path)?.try_into().map_err(|_| damaged(path))
}

pub(super) fn read_signing_key(path: &Path) -> Result<SigningKey, AuthorityError> {
    Ok(SigningKey::from_bytes(&Zeroizing::new(read_array(path)?)))
}

pub(super) fn read_certificate(path: &Path) -> Result<CertificateDer<'static>, AuthorityError> {
    CertificateDer::from_pem_slice(&read(path)?).map_err(|_| damaged(path))
}

pub(super) fn read_private_key(path: &Path) -> Result<PrivateKeyDer<'static>, AuthorityError> {
    PrivateKeyDer::from_pem_slice(&Zeroizing::new(read(path)?)).map_err(|_| damaged(path))
}

pub(super) fn read_key_pair(path: &Path) -> Result<KeyPair, AuthorityError> {
    let pem = Zeroizing::new(read(path)?);
    let pem = std::str::from_utf8(&pem).map_err(|_| damaged(path))?;
    KeyPair::from_pem(pem).map_err(|_| damaged(path))
}
