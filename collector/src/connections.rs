//! Connections of an HTTP listener: bounded in number from before the TLS handshake on, in all and from one
//! address, and in time, so that who opens many or reads nothing cannot hold what others need. How long a request
//! may take to arrive is decided by the server and by [`crate::bodies`].

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::places::{Bounds, Full, Place, Places};

/// The log tells so often at most that a door is full, however many knock.
const TELL_EVERY: Duration = Duration::from_secs(10 * 60);

/// When a connection ends that does not end by itself.
#[derive(Debug, Clone, Copy)]
pub enum End {
    /// It has lasted so long.
    Life(Duration),
    /// The other side has taken nothing of an answer for so long.
    Stall(Duration),
}

/// Lets in as many connections as there are places.
#[derive(Clone)]
pub struct Bounded<A> {
    inner: A,
    places: Places<IpAddr>,
    end: End,
    /// The label of the metric.
    door: &'static str,
    /// When the log told last that the door is full, and that one address has all its places.
    told: Arc<[Mutex<Option<Instant>>; 2]>,
}

impl<A> Bounded<A> {
    #[must_use]
    pub fn new(inner: A, bounds: Bounds, end: End, door: &'static str) -> Self {
        Self { inner, places: Places::new(bounds), end, door, told: Arc::default() }
    }

    fn place(&self, stream: &TcpStream) -> io::Result<Place<IpAddr>> {
        let address = stream.peer_addr()?.ip();
        self.places.take(origin(address)).map_err(|full| {
            metrics::counter!("wardwatch_refused_total", "door" => self.door, "reason" => "connections")
                .increment(1);
            self.tell(full, address);
            io::ErrorKind::ConnectionRefused.into()
        })
    }

    fn tell(&self, full: Full, address: IpAddr) {
        let door = self.door;
        match full {
            Full::All if is_due(&self.told[0], Instant::now()) => tracing::warn!(
                door,
                "all places of this door are taken, so whoever else comes is turned away until one is free; see who \
                 holds them with `ss -tn`, and keep addresses that have no business here out with the firewall"
            ),
            Full::Each if is_due(&self.told[1], Instant::now()) => tracing::warn!(
                door,
                %address,
                "one address holds all places that one may have, so more of its connections are turned away; look at \
                 what runs there, or keep it out with the firewall"
            ),
            Full::All | Full::Each => {
                tracing::debug!(%address, door, "too many connections; this one is closed");
            }
        }
    }
}

/// Whether the log is to tell again. It is told then.
fn is_due(told: &Mutex<Option<Instant>>, now: Instant) -> bool {
    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
    let due = told.is_none_or(|told| now.saturating_duration_since(told) >= TELL_EVERY);
    if due {
        *told = Some(now);
    }
    due
}

/// What counts as one address: of IPv6 the network, since each house has as many addresses as it likes.
fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let network = u128::from(v6) & (u128::MAX << 64);
            Ipv6Addr::from(network).into()
        }
        v4 => v4,
    }
}

type Accepted<S, T> = Pin<Box<dyn Future<Output = io::Result<(S, T)>> + Send>>;

impl<A, S> Accept<TcpStream, S> for Bounded<A>
where
    A: Accept<TcpStream, S>,
    A::Future: Send + 'static,
{
    type Stream = Held<A::Stream>;
    type Service = A::Service;
    type Future = Accepted<Self::Stream, Self::Service>;

    fn accept(&self, stream: TcpStream, service: S) -> Self::Future {
        let place = self.place(&stream);
        let (accepted, end) = (self.inner.accept(stream, service), self.end);
        Box::pin(async move {
            let place = place?;
            let (stream, service) = accepted.await?;
            Ok((Held::new(stream, end, place), service))
        })
    }
}

/// A stream that holds its place, and breaks when its time is over.
pub struct Held<S> {
    stream: S,
    end: End,
    /// Runs from the beginning on, or while a write waits.
    timer: Option<Pin<Box<Sleep>>>,
    _place: Place<IpAddr>,
}

impl<S> Held<S> {
    fn new(stream: S, end: End, place: Place<IpAddr>) -> Self {
        let timer = match end {
            End::Life(life) => Some(Box::pin(sleep(life))),
            End::Stall(_) => None,
        };
        Self { stream, end, timer, _place: place }
    }
}

impl<S: Unpin> Held<S> {
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(context).is_ready())
    }

    fn write<T>(
        &mut self,
        context: &mut Context<'_>,
        act: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.is_over(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let written = act(Pin::new(&mut self.stream), context);
        if let End::Stall(most) = self.end {
            if written.is_ready() {
                self.timer = None;
            } else if self.timer.is_none() {
                self.timer = Some(Box::pin(sleep(most)));
                // Asked once, so that it wakes the task.
                self.is_over(context);
            }
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Held<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_over(context) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Held<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(context, |stream, context| stream.poll_write(context, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(context, |stream, context| stream.poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(context, |stream, context| stream.poll_shutdown(context))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn held(end: End) -> (Held<DuplexStream>, DuplexStream) {
        let places = Places::new(Bounds { all: 1, each: 1 });
        let (near, far) = duplex(8);
        (Held::new(near, end, places.take(LOCAL).ok().unwrap()), far)
    }

    #[tokio::test]
    async fn who_takes_nothing_of_an_answer_loses_the_connection() {
        let (mut near, _far) = held(End::Stall(Duration::from_millis(50)));
        let error = near.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn who_takes_an_answer_slowly_keeps_the_connection_and_so_does_one_that_waits_for_news() {
        let (mut near, mut far) = held(End::Stall(Duration::from_millis(250)));
        let reading = tokio::spawn(async move {
            let mut read = [0; 8];
            for _ in 0..8 {
                sleep(Duration::from_millis(50)).await;
                far.read_exact(&mut read).await.unwrap();
            }
            far
        });
        near.write_all(&[0; 64]).await.unwrap();
        let mut far = reading.await.unwrap();
        sleep(Duration::from_millis(300)).await;
        near.write_all(b"news").await.unwrap();
        far.read_exact(&mut [0; 4]).await.unwrap();
    }

    #[tokio::test]
    async fn a_life_ends_in_the_middle_of_an_answer() {
        let (mut near, mut far) = held(End::Life(Duration::from_millis(50)));
        let reading = tokio::spawn(async move { tokio::io::copy(&mut far, &mut tokio::io::sink()).await });
        while near.write_all(b"more").await.is_ok() {
            sleep(Duration::from_millis(5)).await;
        }
        drop(near);
        reading.await.unwrap().unwrap();
    }

    #[test]
    fn a_full_door_is_told_of_once_and_again_after_a_while() {
        let (told, now) = (Mutex::default(), Instant::now());
        assert!(is_due(&told, now));
        assert!(!is_due(&told, now + Duration::from_secs(1)));
        assert!(is_due(&told, now + TELL_EVERY));
        assert!(!is_due(&told, now + TELL_EVERY));
    }

    #[test]
    fn the_addresses_of_one_house_are_one_origin() {
        let of = |text: &str| origin(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::3"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::3"), of("2001:db8:1:3::3"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
