//! Passwords: what is long enough, hashing with argon2id, comparing without telling who exists.
//!
//! Hashing takes much memory and time on purpose, so it runs on few blocking threads at once.

use std::sync::{Arc, LazyLock};

use argon2::password_hash::{PasswordHash, SaltString};
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::error::Fault;
use super::language::Key;

/// TCVN 14423:2026 asks for 14 characters without a second factor.
pub(super) const MIN_CHARS: usize = 14;
/// Longer input is refused before it is hashed.
const MAX_BYTES: usize = 1024;

static SLOTS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(2)));
/// Stands in for the hash of a user who does not exist, so that both take the same time.
static NOBODY: LazyLock<String> = LazyLock::new(|| {
    hash_now(b"nobody has this password").expect("argon2 with its standard parameters hashes any input")
});

fn hash_now(password: &[u8]) -> Result<String, argon2::password_hash::Error> {
    let mut salt = [0u8; 16];
    getrandom::fill(&mut salt).map_err(|_| argon2::password_hash::Error::Crypto)?;
    let salt = SaltString::encode_b64(&salt)?;
    Ok(Argon2::default().hash_password(password, &salt)?.to_string())
}

/// Says what is wrong with a new password.
///
/// # Errors
/// Too short, too long, too few different characters, or the user's own name.
pub(super) fn judge(user: &str, password: &str) -> Result<(), Key> {
    let different = password.chars().collect::<std::collections::BTreeSet<_>>().len();
    if password.chars().count() < MIN_CHARS {
        Err(Key("password-too-short"))
    } else if password.len() > MAX_BYTES {
        Err(Key("password-too-long"))
    } else if different < 6 || password.to_lowercase().contains(&user.to_lowercase()) {
        Err(Key("password-too-simple"))
    } else {
        Ok(())
    }
}

/// # Errors
/// The system gives no random bytes.
pub(super) async fn hash(password: Zeroizing<String>) -> Result<String, Fault> {
    blocking(move || hash_now(password.as_bytes())).await?.map_err(Fault::broken)
}

/// Whether the password is the one that was hashed. `None` is a user who does not exist: never right, and
/// not faster.
///
/// # Errors
/// The hashing thread could not run.
pub(super) async fn verify(password: Zeroizing<String>, hash: Option<String>) -> Result<bool, Fault> {
    if password.len() > MAX_BYTES {
        return Ok(false);
    }
    blocking(move || {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| NOBODY.clone());
        PasswordHash::new(&hash)
            .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
            && known
    })
    .await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Fault> {
    let slot = SLOTS.clone().acquire_owned().await.map_err(Fault::broken)?;
    tokio::task::spawn_blocking(move || {
        let _slot = slot;
        work()
    })
    .await
    .map_err(Fault::broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_password_is_long_mixed_and_not_the_name() {
        assert_eq!(judge("lan", "ngắn quá"), Err(Key("password-too-short")));
        assert_eq!(judge("lan", "aaaaaaaaaaaaaaaaaa"), Err(Key("password-too-simple")));
        assert_eq!(judge("quantri", "QuanTri quan tri 1"), Err(Key("password-too-simple")));
        assert_eq!(judge("lan", &"dài ".repeat(400)), Err(Key("password-too-long")));
        assert_eq!(judge("lan", "biển Nha Trang xanh"), Ok(()));
    }

    #[tokio::test]
    async fn only_the_right_password_of_a_known_user_is_right() {
        let right = || Zeroizing::new("biển Nha Trang xanh".to_owned());
        let hash = hash(right()).await.unwrap();
        assert!(hash.starts_with("$argon2id$"));
        assert!(verify(right(), Some(hash.clone())).await.unwrap());
        assert!(!verify(Zeroizing::new("biển Nha Trang đen".to_owned()), Some(hash)).await.unwrap());
        assert!(!verify(right(), None).await.unwrap());
    }
}
