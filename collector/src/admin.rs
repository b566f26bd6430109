//! The local admin credential: a random token in a file that only the collector's own user can read. Whoever
//! can read it runs the collector's machine anyway.

use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The token's text.
#[derive(Clone)]
pub struct AdminToken(Zeroizing<String>);

impl AdminToken {
    /// Compares in constant time.
    #[must_use]
    pub fn is(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }

    /// The text, for the header of a request.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.0
    }
}

fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("admin.token")
}

/// Makes the token if there is none.
///
/// # Errors
/// The file cannot be written, or the system gives no random numbers.
pub fn ensure_token(data_dir: &Path) -> Result<()> {
    let file = file(data_dir);
    if file.exists() {
        return Ok(());
    }
    let mut secret = Zeroizing::new([0; 32]);
    getrandom::fill(secret.as_mut()).map_err(|e| anyhow::anyhow!("no random numbers: {e}"))?;
    let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(secret.as_ref()));
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&file)
        .and_then(|mut opened| opened.write_all(text.as_bytes()))
        .with_context(|| format!("{} cannot be written", file.display()))
}

/// Reads the token.
///
/// # Errors
/// The file is missing, cannot be read, or is open to others.
pub fn read_token(data_dir: &Path) -> Result<AdminToken> {
    let file = file(data_dir);
    let unreadable = || {
        format!(
            "the admin credential {} cannot be read; run this as the user that runs the collector, and name \
             its data folder with --data-dir",
            file.display()
        )
    };
    let mode = std::fs::metadata(&file).with_context(unreadable)?.permissions().mode();
    if mode & 0o077 != 0 {
        bail!("{} can be read by others; close it with `chmod 600`", file.display());
    }
    Ok(AdminToken(Zeroizing::new(std::fs::read_to_string(&file).with_context(unreadable)?)))
}
