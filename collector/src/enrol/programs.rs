//! Hands the programs of releases to those who are enrolled, part by part. Each request reads a bounded part of
//! one file and nothing else; who asks is known by the certificate of the connection.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use axum::Extension;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::ids::AgentId;
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::release::MAX_PART_BYTES;

use super::rate::{Buckets, Rate};
use crate::places::{Bounds, Full, Place, Places};
use crate::registry::{NotAdmitted, Registry};
use crate::store::Store;
use crate::store::blobs::{BlobDir, Part};
use crate::store::rollouts::{self, Order};

/// Parts that are on their way at once: with their bytes in memory, some 16 MiB. An agent asks for one after the
/// other; the others of its places are for links that broke and are not known to.
const AT_ONCE: Bounds = Bounds { all: 64, each: 4 };
/// A part is 256 KiB; together with the pause of a refused agent this is more than a ward's link carries.
const RATE: Rate = Rate { burst: 300, refill_ms: 20 };

/// Who a connection has shown to be, by a certificate of our authority, and the place that it holds until it ends:
/// the bytes of an answer are in memory until they are sent, long after the handler is done.
#[derive(Clone)]
pub(super) struct Shown {
    holder: Option<Arc<(AgentId, String)>>,
    place: Arc<OnceLock<Place<AgentId>>>,
}

impl Shown {
    pub(super) fn new(holder: Option<Arc<(AgentId, String)>>) -> Self {
        Self { holder, place: Arc::new(OnceLock::new()) }
    }
}

/// What enrolled agents may fetch. Cheap to clone.
#[derive(Clone)]
pub struct Programs {
    registry: Registry,
    store: Store,
    blobs: BlobDir,
    clock: fn() -> UnixMillis,
    buckets: Arc<Mutex<Buckets<AgentId>>>,
    places: Places<AgentId>,
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("no certificate of this authority was shown")]
    NoCertificate,
    #[error(transparent)]
    NotAdmitted(#[from] NotAdmitted),
    #[error("too many requests come from this agent")]
    TooMany,
    #[error("too many agents ask at once")]
    Busy,
    #[error("it names no digest, or no range of bytes")]
    Malformed,
    #[error("no such program is held here")]
    Missing,
    #[error("no roll-out asks this endpoint to become this program any more; let go of it")]
    Withdrawn,
    #[error("the program ends before the range")]
    BeyondEnd { size: u64 },
    #[error("the program cannot be read: {0}")]
    Unreadable(std::io::Error),
    #[error("the database cannot be asked: {0}")]
    Store(#[from] sqlx::Error),
}

impl Programs {
    #[must_use]
    pub fn new(registry: Registry, store: Store, blobs: BlobDir, clock: fn() -> UnixMillis) -> Self {
        let buckets = Arc::new(Mutex::new(Buckets::new(RATE)));
        Self { registry, store, blobs, clock, buckets, places: Places::new(AT_ONCE) }
    }

    async fn part(&self, shown: &Shown, digest: &str, headers: &HeaderMap) -> Result<(u64, Part), Refused> {
        let (agent, serial) = shown.holder.as_deref().ok_or(Refused::NoCertificate)?;
        self.registry.admit(agent, serial)?;
        let now = (self.clock)();
        if !self.buckets.lock().unwrap_or_else(PoisonError::into_inner).take(agent.clone(), now) {
            return Err(Refused::TooMany);
        }
        let place = self.places.take(agent.clone()).map_err(|full| match full {
            Full::All => Refused::Busy,
            Full::Each => Refused::TooMany,
        })?;
        // A connection has one request.
        let _ = shown.place.set(place);
        let digest: Digest = digest.parse().map_err(|_| Refused::Malformed)?;
        let range = headers.get(header::RANGE).and_then(|value| value.to_str().ok());
        let (first, length) = range.and_then(parse_range).ok_or(Refused::Malformed)?;
        match rollouts::order(self.store.reader(), agent, digest).await? {
            Order::Live => {}
            Order::Withdrawn => return Err(Refused::Withdrawn),
            Order::Unknown => return Err(Refused::Missing),
        }
        let read = self.blobs.read(digest, first, length.min(MAX_PART_BYTES)).await;
        let part = read.map_err(Refused::Unreadable)?.ok_or(Refused::Missing)?;
        if part.bytes.is_empty() {
            return Err(Refused::BeyondEnd { size: part.size });
        }
        Ok((first, part))
    }
}

pub(super) async fn give(
    State(programs): State<Programs>,
    Extension(shown): Extension<Shown>,
    Path(digest): Path<String>,
    headers: HeaderMap,
) -> Response {
    match programs.part(&shown, &digest, &headers).await {
        Ok((first, Part { bytes, size })) => {
            let last = first + bytes.len() as u64 - 1;
            let range = format!("bytes {first}-{last}/{size}");
            let kind = "application/octet-stream".to_owned();
            let headers = [(header::CONTENT_RANGE, range), (header::CONTENT_TYPE, kind)];
            (StatusCode::PARTIAL_CONTENT, headers, bytes).into_response()
        }
        Err(refused) => {
            let reason = refused.reason();
            let agent = shown.holder.as_ref().map(|holder| holder.0.as_str());
            metrics::counter!("wardwatch_refused_total", "door" => "programs", "reason" => reason)
                .increment(1);
            tracing::warn!(agent, reason, "a program is refused: {refused}");
            if matches!(refused, Refused::Withdrawn) {
                return (StatusCode::GONE, format!("{refused}\n")).into_response();
            }
            let mut response = refused.status().into_response();
            if let Refused::BeyondEnd { size } = refused
                && let Ok(range) = format!("bytes */{size}").parse()
            {
                response.headers_mut().insert(header::CONTENT_RANGE, range);
            }
            response
        }
    }
}

impl Refused {
    /// The label of the metric.
    const fn reason(&self) -> &'static str {
        match self {
            Self::NoCertificate => "no-certificate",
            Self::NotAdmitted(_) => "not-admitted",
            Self::TooMany => "too-many",
            Self::Busy => "busy",
            Self::Malformed => "malformed",
            Self::Missing => "missing",
            Self::Withdrawn => "withdrawn",
            Self::BeyondEnd { .. } => "beyond-end",
            Self::Unreadable(_) | Self::Store(_) => "unreadable",
        }
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::NoCertificate | Self::NotAdmitted(_) => StatusCode::FORBIDDEN,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy | Self::Unreadable(_) | Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::Missing => StatusCode::NOT_FOUND,
            Self::Withdrawn => StatusCode::GONE,
            Self::BeyondEnd { .. } => StatusCode::RANGE_NOT_SATISFIABLE,
        }
    }
}

/// First byte and length of `bytes=0-99`. Lists of ranges and open ends are not taken.
fn parse_range(text: &str) -> Option<(u64, u64)> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    Some((first, last.checked_sub(first)?.checked_add(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_closed_range_is_taken_and_nothing_else() {
        assert_eq!(parse_range("bytes=0-99"), Some((0, 100)));
        assert_eq!(parse_range("bytes=100-100"), Some((100, 1)));
        let huge = format!("bytes=0-{}", u64::MAX);
        for wrong in ["", "0-99", "bytes=", "bytes=-5", "bytes=5-", "bytes=9-5", "bytes=0-1,5-6", &huge] {
            assert_eq!(parse_range(wrong), None, "{wrong}");
        }
    }
}
