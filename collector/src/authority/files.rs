//! Key files: written whole or not at all, for this user alone, and refused when others may read them.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use ed25519_dalek::SigningKey;
use rcgen::KeyPair;
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

/// Replaces the file in one step, so that a crash leaves the old one or the new one.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), AuthorityError> {
    let new = path.with_extension("new");
    let attempt = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    };
    attempt().map_err(failed(path, "written"))
}

pub(super) fn write_signing_key(path: &Path, key: &SigningKey) -> Result<(), AuthorityError> {
    write(path, Zeroizing::new(key.to_bytes()).as_ref())
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
