//! Sessions: a random cookie that the store knows by its digest only.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use wardwatch_policies::digest::Digest;
use wardwatch_policies::time::UnixMillis;

use super::Web;
use super::error::Fault;
use crate::store::users::{self, Role};
use crate::store::{Store, sessions};

/// Without a person's request for this long, a session ends.
pub(super) const IDLE_MS: i64 = 30 * 60 * 1000;
/// However busy, a session ends after one working day.
pub(super) const LIFE_MS: i64 = 12 * 60 * 60 * 1000;
/// A request this soon after the last one is not written down again.
const TOUCH_MS: i64 = 60 * 1000;

/// Someone who is signed in. As an extractor it refuses those who are not, and those who still use the
/// one-time password.
#[derive(Clone)]
pub(super) struct SignedIn {
    pub(super) user: String,
    pub(super) display_name: String,
    pub(super) role: Role,
    pub(super) csrf: String,
    pub(super) id: Digest,
}

/// Signed in, perhaps still with the one-time password.
pub(super) struct Newcomer(pub(super) SignedIn);

/// The value of a cookie of the request.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))
}

/// 32 random bytes as text.
///
/// # Errors
/// The system gives no random bytes.
pub(super) fn random_text() -> Result<String, Fault> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes).map_err(Fault::broken)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

impl Web {
    /// The `__Host-` prefix makes a browser refuse the cookie from anywhere but this host over HTTPS.
    const fn session_cookie(&self) -> &'static str {
        if self.secure { "__Host-wardwatch" } else { "wardwatch" }
    }

    /// Begins a session and returns the cookie that carries it.
    pub(super) async fn begin_session(&self, user: &str, now: UnixMillis) -> Result<HeaderValue, Fault> {
        let id = random_text()?;
        let csrf = random_text()?;
        let mut tx = self.store().write().await?;
        sessions::forget_expired(&mut tx, UnixMillis(now.0 - LIFE_MS), UnixMillis(now.0 - IDLE_MS)).await?;
        sessions::create(&mut tx, &Digest::of(id.as_bytes()), user, &csrf, now).await?;
        tx.commit().await?;
        self.set_cookie(self.session_cookie(), &id, "HttpOnly; ")
    }

    pub(super) fn end_session_cookie(&self) -> Result<HeaderValue, Fault> {
        self.set_cookie(self.session_cookie(), "", "HttpOnly; Max-Age=0; ")
    }

    pub(super) fn set_cookie(&self, name: &str, value: &str, attributes: &str) -> Result<HeaderValue, Fault> {
        let secure = if self.secure { "; Secure" } else { "" };
        let cookie = format!("{name}={value}; {attributes}Path=/; SameSite=Strict{secure}");
        HeaderValue::from_str(&cookie).map_err(Fault::broken)
    }

    /// Who the request's cookie belongs to, and whether a new password is due.
    pub(super) async fn visitor(&self, headers: &HeaderMap) -> Result<Option<(SignedIn, bool)>, Fault> {
        let Some(id) = cookie(headers, self.session_cookie()) else { return Ok(None) };
        let id = Digest::of(id.as_bytes());
        let now = self.now();
        let Some(session) = sessions::find(self.db(), &id).await? else { return Ok(None) };
        if now.since(session.seen) > IDLE_MS || now.since(session.created) > LIFE_MS {
            end(self.store(), &id).await?;
            return Ok(None);
        }
        let Some(user) = users::find(self.db(), &session.user).await? else { return Ok(None) };
        // The page refreshes itself; only what a person does keeps a session alive.
        if !headers.contains_key("hx-request") && now.since(session.seen) > TOUCH_MS {
            let mut tx = self.store().write().await?;
            sessions::touch(&mut tx, &id, now).await?;
            tx.commit().await?;
        }
        let visitor = SignedIn {
            user: user.name,
            display_name: user.display_name,
            role: user.role,
            csrf: session.csrf,
            id,
        };
        Ok(Some((visitor, user.must_change)))
    }
}

/// Ends a session.
pub(super) async fn end(store: &Store, id: &Digest) -> Result<(), Fault> {
    let mut tx = store.write().await?;
    sessions::end(&mut tx, id).await?;
    tx.commit().await?;
    Ok(())
}

impl FromRequestParts<Web> for SignedIn {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Fault> {
        match web.visitor(&parts.headers).await? {
            Some((visitor, false)) => Ok(visitor),
            Some((_, true)) => Err(Fault::MustChangePassword),
            None => Err(Fault::NotSignedIn),
        }
    }
}

impl FromRequestParts<Web> for Newcomer {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Fault> {
        web.visitor(&parts.headers).await?.map(|(visitor, _)| Self(visitor)).ok_or(Fault::NotSignedIn)
    }
}
