//! Tells open pages what has changed, as server-sent events. A page fetches what it shows again by itself;
//! no data is sent here.

use std::collections::BTreeSet;
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
    let told = Told { web, headers, receiver, pending: BTreeSet::new() };
    let stream = futures_util::stream::unfold(told, |mut told| async move {
        let name = told.next().await?;
        Some((Ok(ServerEvent::default().event(name).data("")), told))
    });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(Duration::from_secs(20)))
}

struct Told {
    web: Web,
    headers: HeaderMap,
    receiver: Receiver<Event>,
    pending: BTreeSet<String>,
}

impl Told {
    /// The name of the next event; `None` when the visitor is no longer signed in or the program stops.
    async fn next(&mut self) -> Option<String> {
        while self.pending.is_empty() {
            match tokio::time::timeout(RECHECK, self.receiver.recv()).await {
                Ok(received) => self.take(received)?,
                Err(_) => {
                    if !matches!(self.web.visitor(&self.headers).await, Ok(Some(_))) {
                        return None;
                    }
                    continue;
                }
            }
            let end = Instant::now() + GATHER;
            while let Ok(received) = timeout_at(end, self.receiver.recv()).await {
                self.take(received)?;
            }
        }
        self.pending.pop_first()
    }

    fn take(&mut self, received: Result<Event, RecvError>) -> Option<()> {
        match received {
            Ok(Event::Alert(_)) => self.tell(&["alerts", "changed"]),
            Ok(Event::Incident(id)) => self.tell(&["incidents", &format!("incident-{id}"), "changed"]),
            Ok(Event::Endpoint(_)) => self.tell(&["endpoints", "changed"]),
            Err(RecvError::Lagged(_)) => self.tell(&["alerts", "incidents", "endpoints", "changed"]),
            Err(RecvError::Closed) => return None,
        }
        Some(())
    }

    fn tell(&mut self, names: &[&str]) {
        self.pending.extend(names.iter().map(|name| (*name).to_owned()));
    }
}
