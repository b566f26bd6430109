//! Tells open pages what has changed, as server-sent events. A page fetches what it shows again by itself;
//! no data is sent here.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::{Event as ServerEvent, KeepAlive};
use futures_util::Stream;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout_at};

use super::Web;
use super::session::SignedIn;
use crate::workflow::Event;

/// Changes this close together are told as one.
const GATHER: Duration = Duration::from_millis(300);
/// Endpoints are heard all the time; no page fetches their list more often than this.
const GATHER_ENDPOINTS: Duration = Duration::from_secs(5);
const ENDPOINTS: &str = "endpoints";
const RELEASES: &str = "releases";
/// How often it is looked whether the visitor is still signed in.
const RECHECK: Duration = Duration::from_secs(60);

pub(super) async fn stream(
    State(web): State<Web>,
    mut headers: HeaderMap,
    _visitor: SignedIn,
) -> Sse<impl Stream<Item = Result<ServerEvent, Infallible>>> {
    // An open page is nobody's action: looking after the session must not prolong it.
    headers.insert("hx-request", axum::http::HeaderValue::from_static("true"));
    let receiver = web.workflow().subscribe();
    let told = Told { web, headers, receiver, pending: BTreeMap::new(), endpoints_told: None };
    let stream = futures_util::stream::unfold(told, |mut told| async move {
        let name = told.next().await?;
        // Browsers drop an event without data.
        Some((Ok(ServerEvent::default().event(name).data("changed")), told))
    });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(20)))
}

struct Told {
    web: Web,
    headers: HeaderMap,
    receiver: Receiver<Event>,
    /// What is to be told, and from when on.
    pending: BTreeMap<String, Instant>,
    /// When endpoints were last told of.
    endpoints_told: Option<Instant>,
}

impl Told {
    /// The name of the next event; `None` when the visitor is no longer signed in or the program stops.
    async fn next(&mut self) -> Option<String> {
        loop {
            let due =
                self.pending.iter().min_by_key(|(_, due)| **due).map(|(name, due)| (name.clone(), *due));
            let wake = due.as_ref().map_or_else(|| Instant::now() + RECHECK, |(_, due)| *due);
            match (timeout_at(wake, self.receiver.recv()).await, due) {
                (Ok(received), _) => self.take(received)?,
                (Err(_), Some((name, _))) => {
                    self.pending.remove(&name);
                    if name == ENDPOINTS {
                        self.endpoints_told = Some(Instant::now());
                    }
                    return Some(name);
                }
                (Err(_), None) => {
                    if !matches!(self.web.visitor(&self.headers).await, Ok(Some(_))) {
                        return None;
                    }
                }
            }
        }
    }

    fn take(&mut self, received: Result<Event, RecvError>) -> Option<()> {
        match received {
            Ok(Event::Alert(_)) => self.tell(&["alerts", "changed"]),
            Ok(Event::Incident(id)) => self.tell(&["incidents", &format!("incident-{id}"), "changed"]),
            Ok(Event::Endpoint(_)) => self.tell(&[ENDPOINTS]),
            Ok(Event::Upgrade(_) | Event::Rollout(_)) => self.tell(&[RELEASES]),
            Err(RecvError::Lagged(_)) => self.tell(&["alerts", "incidents", ENDPOINTS, RELEASES, "changed"]),
            Err(RecvError::Closed) => return None,
        }
        Some(())
    }

    fn tell(&mut self, names: &[&str]) {
        let soon = Instant::now() + GATHER;
        for name in names {
            let due = match self.endpoints_told {
                Some(told) if *name == ENDPOINTS => soon.max(told + GATHER_ENDPOINTS),
                _ => soon,
            };
            self.pending.entry((*name).to_owned()).or_insert(due);
        }
    }
}
