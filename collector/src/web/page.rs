//! What every page needs for its frame: language, who is signed in, where we are.

use std::borrow::Cow;

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::{Html, IntoResponse, Response};
use wardwatch_policies::text::Language;
use wardwatch_policies::time::UnixMillis;
use wardwatch_policies::verdict::Evidence;

use super::Web;
use super::error::Fault;
use super::language::{Key, Words as _};
use super::session::SignedIn;
use super::{phrases, times};

/// The frame around a page. Templates reach texts, times and the visitor through it.
pub(super) struct Page {
    pub(super) language: Language,
    pub(super) visitor: Option<SignedIn>,
    /// The path and query of this page: where the language switch comes back to.
    pub(super) here: String,
    pub(super) section: Section,
    pub(super) now: UnixMillis,
}

/// Which entry of the navigation is marked as current.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    None,
    Overview,
    Alerts,
    Incidents,
    Endpoints,
    Releases,
    Log,
}

impl Page {
    #[must_use]
    pub(super) const fn of(mut self, section: Section) -> Self {
        self.section = section;
        self
    }

    #[must_use]
    pub(super) fn tag(&self) -> &'static str {
        self.language.tag()
    }

    /// The text in the page's language.
    #[must_use]
    pub(super) fn pick<'a>(&self, vi: &'a str, en: &'a str) -> &'a str {
        match self.language {
            Language::Vi => vi,
            Language::En => en,
        }
    }

    #[must_use]
    pub(super) fn t(&self, key: &str) -> Cow<'static, str> {
        self.language.text(key)
    }

    #[must_use]
    pub(super) fn k(&self, key: impl Into<Key>) -> Cow<'static, str> {
        self.language.text(key.into().0)
    }

    #[must_use]
    pub(super) fn tn(&self, key: &str, n: &i64) -> String {
        self.language.count(key, *n)
    }

    /// A moment as people here read it: date and time in UTC+7.
    #[must_use]
    pub(super) fn at(&self, time: &UnixMillis) -> String {
        times::local(*time)
    }

    /// How long ago, in one rough unit.
    #[must_use]
    pub(super) fn ago(&self, time: &UnixMillis) -> String {
        times::ago(self.language, *time, self.now)
    }

    #[must_use]
    pub(super) fn evidence(&self, evidence: &Evidence) -> Evidence {
        phrases::evidence(self.language, evidence)
    }

    /// A reason or a limit that an agent wrote.
    #[must_use]
    pub(super) fn sentence(&self, text: &str) -> String {
        phrases::sentence(self.language, text)
    }

    #[must_use]
    pub(super) fn csrf(&self) -> &str {
        self.visitor.as_ref().map_or("", |visitor| &visitor.csrf)
    }

    #[must_use]
    pub(super) fn visitor_name(&self) -> &str {
        self.visitor.as_ref().map_or("", |visitor| &visitor.display_name)
    }

    #[must_use]
    pub(super) fn user_name(&self) -> &str {
        self.visitor.as_ref().map_or("", |visitor| &visitor.user)
    }

    #[must_use]
    pub(super) fn is_admin(&self) -> bool {
        self.visitor.as_ref().is_some_and(|visitor| visitor.role.is_admin())
    }

    #[must_use]
    pub(super) fn is(&self, section: Section) -> bool {
        self.section == section
    }
}

/// Renders a template into an answer.
pub(super) fn show(template: &impl Template) -> Result<Response, Fault> {
    Ok(Html(template.render().map_err(Fault::broken)?).into_response())
}

/// The frame of the page that a request asks for; refuses those who are not signed in.
impl FromRequestParts<Web> for Page {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, web: &Web) -> Result<Self, Fault> {
        let visitor = SignedIn::from_request_parts(parts, web).await?;
        Ok(Self {
            language: Language::chosen(&parts.headers),
            visitor: Some(visitor),
            here: parts.uri.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string),
            section: Section::None,
            now: web.now(),
        })
    }
}
