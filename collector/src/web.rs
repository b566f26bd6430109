//! The page: what people see of the collector. Scripts have [`crate::api`], which reads by the same [`rows`].
//!
//! Every route of the page stands here; each endpoint has a file of its own below. Reads go to the store
//! directly; everything that changes an alert, an incident or an endpoint goes through the workflow or the
//! fleet, which write the change log.

pub mod accounts;
mod address;
mod alerts;
mod assets;
mod catalogue;
mod chronicle;
mod endpoints;
mod error;
mod evidence;
mod form;
mod incidents;
pub mod language;
mod live;
mod log;
mod overview;
mod page;
mod password;
mod phrases;
mod refusal;
mod releases;
pub mod rows;
mod serve;
mod session;
mod settings;
mod sign_in;
pub(crate) mod times;
mod upload;
mod words;

use std::io;
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::from_fn;
use axum::response::Response;
use axum::routing::{get, post};
use sqlx::AnyPool;
use wardwatch_policies::time::UnixMillis;

use crate::clock;
use crate::fleet::Fleet;
use crate::releases::Releases;
use crate::store::Store;
use crate::store::evidence::EvidenceDir;
use crate::workflow::Workflow;

pub use serve::{renew, serve, tls};

/// What the page's endpoints share. Cheap to clone.
#[derive(Clone)]
pub struct Web {
    pub fleet: Fleet,
    pub releases: Releases,
    /// Cookies are only for HTTPS.
    pub secure: bool,
    pub clock: Arc<dyn Fn() -> UnixMillis + Send + Sync>,
    pub evidence: EvidenceDir,
}

impl Web {
    /// A page over this fleet, with evidence below the data folder. `secure`: it is served over HTTPS.
    ///
    /// # Errors
    /// The evidence folder cannot be made.
    pub fn new(fleet: Fleet, releases: Releases, data_dir: &Path, secure: bool) -> io::Result<Self> {
        Ok(Self {
            fleet,
            releases,
            secure,
            clock: Arc::new(clock::now),
            evidence: EvidenceDir::open(data_dir)?,
        })
    }

    const fn store(&self) -> &Store {
        &self.fleet.store
    }

    fn db(&self) -> &AnyPool {
        self.fleet.store.reader()
    }

    const fn workflow(&self) -> &Workflow {
        &self.fleet.workflow
    }

    fn now(&self) -> UnixMillis {
        (self.clock)()
    }
}

/// Every route of the page.
pub fn router(web: Web) -> Router {
    let secure = web.secure;
    let pages = Router::new()
        .route("/", get(overview::show))
        .route("/sign-in", get(sign_in::show).post(sign_in::submit))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/password", get(settings::show_password).post(settings::change_password))
        .route("/language", post(settings::choose_language))
        .route("/alerts", get(alerts::list))
        .route("/alerts/{id}", get(alerts::show))
        .route("/alerts/{id}/close", post(alerts::act::close))
        .route("/alerts/{id}/silence", post(alerts::act::silence))
        .route("/alerts/{id}/raise", post(alerts::act::raise))
        .route("/alerts/{id}/attach", post(alerts::act::attach))
        .route("/incidents", get(incidents::list).post(incidents::raise))
        .route("/incidents/{id}", get(incidents::show::show))
        .route("/incidents/{id}/seriousness", post(incidents::act::assess))
        .route(
            "/incidents/{id}/steps/{step}/complete",
            post(incidents::act::complete).layer(DefaultBodyLimit::max(upload::MAX_UPLOAD_BYTES)),
        )
        .route("/incidents/{id}/steps/{step}/not-applicable", post(incidents::act::mark_not_applicable))
        .route("/incidents/{id}/steps/{step}/reopen", post(incidents::act::reopen))
        .route("/evidence/{digest}", get(evidence::download))
        .route("/log", get(log::list))
        .route("/endpoints", get(endpoints::list))
        .route("/endpoints/{id}", get(endpoints::show))
        .route("/endpoints/{id}/approve", post(endpoints::act::approve))
        .route("/endpoints/{id}/command", post(endpoints::act::command))
        .route("/endpoints/{id}/remove", get(endpoints::act::ask_remove).post(endpoints::act::remove))
        .route("/releases", get(releases::list))
        .route("/releases/{id}/widen", get(releases::ask_widen).post(releases::widen))
        .route("/releases/{id}/stop", post(releases::stop))
        .route("/live", get(live::stream))
        .fallback(error::no_such_page)
        .layer(from_fn(form::refuse_foreign_sites))
        .layer(from_fn(form::refuse_slow_bodies))
        .layer(from_fn(error::in_visitors_language));
    Router::new()
        .merge(pages)
        .route("/assets/{name}", get(assets::show))
        .route("/healthz", get(assets::healthy))
        .layer(axum::middleware::map_response(move |response| with_headers(response, secure)))
        .with_state(web)
}

/// No script, style or frame from anywhere else, and none inside a page.
const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

async fn with_headers(mut response: Response, secure: bool) -> Response {
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::REFERRER_POLICY, "same-origin");
    set(header::CACHE_CONTROL, "no-store");
    if secure {
        set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    response
}

/// A text as the value of a query parameter.
fn query_value(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// An address to come back to: a path of this page, never another site.
fn local_path(text: &str) -> &str {
    let is_local = text.starts_with('/')
        && !text.starts_with("//")
        && !text.contains('\\')
        && !text.contains(|c: char| c.is_control());
    if is_local { text } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coming_back_never_leads_to_another_site() {
        assert_eq!(local_path("/alerts?state=open"), "/alerts?state=open");
        for text in ["", "https://evil.example", "//evil.example", "/\\evil.example", "/\t/evil.example"] {
            assert_eq!(local_path(text), "/", "{text}");
        }
    }

    #[test]
    fn a_query_value_keeps_no_sign_with_a_meaning() {
        assert_eq!(query_value("/alerts?a=1&b=é"), "/alerts%3Fa%3D1%26b%3D%C3%A9");
    }
}
