//! Bodies of requests: each must arrive, not only begin. Who sends one byte and then nothing would hold a connection
//! that others need. What is not read is not waited for; how many bytes a body may have is decided where it is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Error;
use axum::body::{Body, BodyDataStream, Bytes, HttpBody};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, timeout_at};

/// How fast a body must come.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// A body as large as a form has this long as a whole.
    pub form: Duration,
    /// No form without files has more bytes.
    pub form_bytes: u64,
    /// A larger one has the time of a form once more, and then as long as it keeps this pace.
    pub bytes_per_second: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self { form: Duration::from_secs(15), form_bytes: 64 * 1024, bytes_per_second: 1024 }
    }
}

impl Pace {
    /// How long a body may take that has come as far as this.
    fn time(self, received: u64) -> Duration {
        match received.checked_sub(self.form_bytes) {
            None | Some(0) => self.form,
            Some(further) => {
                let seconds = further / u64::from(self.bytes_per_second.max(1));
                self.form.saturating_mul(2).saturating_add(Duration::from_secs(seconds))
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the body came too slowly")]
struct TooSlow;

/// A body on its way.
struct Arriving {
    chunks: BodyDataStream,
    pace: Pace,
    begun: Instant,
    received: u64,
    late: Arc<AtomicBool>,
}

impl Arriving {
    async fn next(mut self) -> Option<(Result<Bytes, Error>, Option<Self>)> {
        let due = self.begun + self.pace.time(self.received);
        match timeout_at(due, self.chunks.next()).await {
            Ok(None) => None,
            Ok(Some(Ok(bytes))) => {
                self.received += bytes.len() as u64;
                Some((Ok(bytes), Some(self)))
            }
            Ok(Some(Err(error))) => Some((Err(error), None)),
            Err(_) => {
                self.late.store(true, Ordering::Relaxed);
                Some((Err(Error::new(TooSlow)), None))
            }
        }
    }
}

/// Answers `refusal` where the body of a request breaks off because it came too slowly.
pub async fn hurry<R: IntoResponse>(
    pace: Pace,
    door: &'static str,
    request: Request,
    next: Next,
    refusal: impl FnOnce() -> R,
) -> Response {
    let (parts, body) = request.into_parts();
    let late = Arc::new(AtomicBool::new(false));
    let body = arriving(body, pace, late.clone());
    let response = next.run(Request::from_parts(parts, body)).await;
    if !late.load(Ordering::Relaxed) {
        return response;
    }
    metrics::counter!("wardwatch_refused_total", "door" => door, "reason" => "slow").increment(1);
    tracing::debug!(door, "a request came too slowly; its connection is closed");
    refusal().into_response()
}

fn arriving(body: Body, pace: Pace, late: Arc<AtomicBool>) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let begun = Instant::now();
    let arriving = Arriving { chunks: body.into_data_stream(), pace, begun, received: 0, late };
    Body::from_stream(stream::unfold(Some(arriving), |arriving| async { arriving?.next().await }))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tokio::time::sleep;

    use super::*;

    const PACE: Pace = Pace { form: Duration::from_millis(300), form_bytes: 10, bytes_per_second: 1 };

    /// A body of so many bytes, one every so many milliseconds, read to its end or until it breaks off.
    async fn read(count: u32, every_ms: u64) -> (usize, bool) {
        let late = Arc::new(AtomicBool::new(false));
        let bytes = stream::unfold(0, move |sent| async move {
            sleep(Duration::from_millis(every_ms)).await;
            (sent < count).then_some((Ok::<_, Infallible>(Bytes::from_static(b"x")), sent + 1))
        });
        let body = arriving(Body::from_stream(bytes), PACE, late.clone());
        let received =
            body.into_data_stream().take_while(|chunk| std::future::ready(chunk.is_ok())).count().await;
        (received, late.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn a_body_that_begins_and_does_not_end_breaks_off() {
        let (received, late) = read(3, 200).await;
        assert!(received < 3 && late);
    }

    #[tokio::test]
    async fn a_form_has_its_time_as_a_whole_however_steadily_it_drips() {
        let (received, late) = read(9, 80).await;
        assert!((1..9).contains(&received) && late, "{received}");
    }

    #[tokio::test]
    async fn a_large_body_may_take_longer_than_a_form_while_it_comes() {
        assert_eq!(read(40, 20).await, (40, false));
    }

    #[test]
    fn time_grows_with_what_has_come() {
        let pace = Pace::default();
        assert_eq!(pace.time(0), Duration::from_secs(15));
        assert_eq!(pace.time(64 * 1024), Duration::from_secs(15));
        assert_eq!(pace.time(64 * 1024 + 1), Duration::from_secs(30));
        assert_eq!(pace.time(164 * 1024), Duration::from_secs(130));
        assert!(pace.time(u64::MAX) > Duration::from_secs(130));
    }

    #[tokio::test]
    async fn what_has_no_body_has_nothing_to_hurry() {
        let late = Arc::new(AtomicBool::new(false));
        assert!(arriving(Body::empty(), PACE, late).is_end_stream());
    }
}
