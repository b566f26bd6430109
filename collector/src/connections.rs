//! Connections of an HTTP listener: bounded in number from before the TLS handshake on, in all and from one
//! address, and where that is asked for in time, so that who opens many or reads slowly cannot hold what others
//! need.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum_server::accept::Accept;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use crate::places::{Bounds, Place, Places};

/// Lets in as many connections as there are places.
#[derive(Clone)]
pub struct Bounded<A> {
    pub inner: A,
    pub places: Places<IpAddr>,
    /// For a whole connection.
    pub life: Option<Duration>,
    /// The label of the metric.
    pub door: &'static str,
}

impl<A> Bounded<A> {
    #[must_use]
    pub fn new(inner: A, bounds: Bounds, life: Option<Duration>, door: &'static str) -> Self {
        Self { inner, places: Places::new(bounds), life, door }
    }

    fn place(&self, stream: &TcpStream) -> io::Result<Place<IpAddr>> {
        let address = stream.peer_addr()?.ip();
        self.places.take(origin(address)).map_err(|_| {
            metrics::counter!("wardwatch_refused_total", "door" => self.door, "reason" => "connections")
                .increment(1);
            tracing::debug!(%address, door = self.door, "too many connections; this one is closed");
            io::ErrorKind::ConnectionRefused.into()
        })
    }
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
        let (accepted, life) = (self.inner.accept(stream, service), self.life);
        Box::pin(async move {
            let place = place?;
            let (stream, service) = accepted.await?;
            let end = life.map(|life| Box::pin(sleep(life)));
            Ok((Held { stream, end, _place: place }, service))
        })
    }
}

/// A stream that holds its place, and breaks when its time is over.
pub struct Held<S> {
    stream: S,
    end: Option<Pin<Box<Sleep>>>,
    _place: Place<IpAddr>,
}

impl<S: Unpin> Held<S> {
    fn alive<T>(
        &mut self,
        context: &mut Context<'_>,
        act: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.end.as_mut().is_some_and(|end| end.as_mut().poll(context).is_ready()) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        act(Pin::new(&mut self.stream), context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Held<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.alive(context, |stream, context| stream.poll_read(context, buffer))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Held<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.alive(context, |stream, context| stream.poll_write(context, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.alive(context, |stream, context| stream.poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.alive(context, |stream, context| stream.poll_shutdown(context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_one_house_are_one_origin() {
        let of = |text: &str| origin(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::3"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::3"), of("2001:db8:1:3::3"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
