//! Forms: read whole within a bound, and only if they carry the session's token.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Form, RequestExt};
use subtle::ConstantTimeEq;
use wardwatch_incidents::change::Actor;

use super::Web;
use super::error::Fault;
use super::language::Key;
use super::session::{Newcomer, SignedIn};
use crate::bodies::{self, Pace};

/// The fields of a form, in the order they came. A field that is missing reads as empty.
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    #[must_use]
    pub(super) const fn new(fields: Vec<(String, String)>) -> Self {
        Self(fields)
    }

    /// As typed: for passwords.
    #[must_use]
    pub(super) fn raw(&self, name: &str) -> &str {
        self.0.iter().find_map(|(key, value)| (key == name).then_some(value.as_str())).unwrap_or("")
    }

    /// Without spaces at either end.
    #[must_use]
    pub(super) fn trimmed(&self, name: &str) -> &str {
        self.raw(name).trim()
    }

    /// All values under one name, as check boxes send them.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A form from one of this visitor's own pages.
pub(super) struct SignedForm {
    pub(super) visitor: SignedIn,
    pub(super) fields: Fields,
}

impl SignedForm {
    /// Who acts, where only administrators may.
    ///
    /// # Errors
    /// The visitor is none.
    pub(super) fn administrator(&self) -> Result<Actor, Fault> {
        if self.visitor.role.is_admin() {
            Ok(Actor::User(self.visitor.user.clone()))
        } else {
            Err(Fault::Forbidden)
        }
    }
}

/// As [`SignedForm`], and allowed with the one-time password.
pub(super) struct NewcomersForm(pub(super) SignedForm);

/// A form of someone who is not signed in.
pub(super) struct OpenForm(pub(super) Fields);

async fn fields(request: Request) -> Result<Fields, Fault> {
    // Read first, so that a form that is too large is told apart from one that makes no sense.
    let (parts, body) = request.with_limited_body().into_parts();
    let bytes = axum::body::to_bytes(body, MAX_FORM_BYTES).await.map_err(|_| Fault::TooLarge)?;
    let request = Request::from_parts(parts, Bytes::into(bytes));
    let Form(fields) = Form::<Vec<(String, String)>>::from_request(request, &())
        .await
        .map_err(|_| Fault::BadRequest(Key("fault-bad-request")))?;
    Ok(Fields::new(fields))
}

/// No form without files needs more, in bytes.
pub(super) const MAX_FORM_BYTES: usize = 64 * 1024;

/// # Errors
/// The token is not the session's.
pub(super) fn check_token(visitor: &SignedIn, token: &str) -> Result<(), Fault> {
    if bool::from(visitor.csrf.as_bytes().ct_eq(token.as_bytes())) {
        Ok(())
    } else {
        refuse("token");
        Err(Fault::ForeignForm)
    }
}

fn refuse(reason: &'static str) {
    metrics::counter!("wardwatch_refused_total", "door" => "page", "reason" => reason).increment(1);
    tracing::warn!(reason, "a form was refused: it does not come from the visitor's own page");
}

impl FromRequest<Web> for SignedForm {
    type Rejection = Fault;

    async fn from_request(mut request: Request, web: &Web) -> Result<Self, Fault> {
        let visitor = request.extract_parts_with_state::<SignedIn, _>(web).await?;
        let fields = fields(request).await?;
        check_token(&visitor, fields.raw("csrf"))?;
        Ok(Self { visitor, fields })
    }
}

impl FromRequest<Web> for NewcomersForm {
    type Rejection = Fault;

    async fn from_request(mut request: Request, web: &Web) -> Result<Self, Fault> {
        let Newcomer(visitor) = request.extract_parts_with_state::<Newcomer, _>(web).await?;
        let fields = fields(request).await?;
        check_token(&visitor, fields.raw("csrf"))?;
        Ok(Self(SignedForm { visitor, fields }))
    }
}

impl FromRequest<Web> for OpenForm {
    type Rejection = Fault;

    async fn from_request(request: Request, _: &Web) -> Result<Self, Fault> {
        fields(request).await.map(Self)
    }
}

/// Refuses a form that begins and does not end.
pub(super) async fn refuse_slow_bodies(request: Request, next: Next) -> Response {
    bodies::hurry(Pace::default(), "page", request, next, || Fault::TooSlow).await
}

/// Refuses what a browser says was sent from another site, before anything looks at it. This also covers
/// the forms that have no session to hold a token.
pub(super) async fn refuse_foreign_sites(request: Request, next: Next) -> Response {
    if request.method() != Method::GET && is_foreign(request.headers()) {
        refuse("other-site");
        return Fault::ForeignForm.into_response();
    }
    next.run(request).await
}

fn is_foreign(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text(header::HeaderName::from_static("sec-fetch-site")) {
        return !matches!(site, "same-origin" | "none");
    }
    match (text(header::ORIGIN), text(header::HOST)) {
        (Some(origin), Some(host)) => origin.split_once("://").is_none_or(|(_, from)| from != host),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn another_site_is_told_by_what_the_browser_says() {
        assert!(is_foreign(&headers(&[("sec-fetch-site", "cross-site")])));
        assert!(is_foreign(&headers(&[("sec-fetch-site", "same-site")])));
        assert!(!is_foreign(&headers(&[("sec-fetch-site", "same-origin")])));
        assert!(is_foreign(&headers(&[("origin", "https://evil.example"), ("host", "trung-tam.example")])));
        assert!(is_foreign(&headers(&[("origin", "null"), ("host", "trung-tam.example")])));
        assert!(!is_foreign(&headers(&[("origin", "http://10.0.0.5:8080"), ("host", "10.0.0.5:8080")])));
        assert!(!is_foreign(&headers(&[("host", "10.0.0.5:8080")])));
    }

    #[test]
    fn a_missing_field_reads_as_empty() {
        let form = Fields::new(vec![("a".into(), " x ".into())]);
        assert_eq!(form.trimmed("a"), "x");
        assert_eq!(form.raw("a"), " x ");
        assert_eq!(form.trimmed("none"), "");
    }
}
