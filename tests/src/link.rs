//! A link between agent and collector that can be cut, mended, made deaf in one direction, and that counts what it
//! carries.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the link lets pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passes {
    Everything,
    /// Bytes to the collector only: what comes back is swallowed, as when acks are lost.
    UpOnly,
    /// Open connections are cut, new ones refused.
    Nothing,
}

/// A TCP forwarder on loopback.
pub struct Link {
    pub address: SocketAddr,
    passes: Arc<watch::Sender<Passes>>,
    carried: Arc<AtomicU64>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Link {
    /// Forwards connections to `target`.
    ///
    /// # Panics
    /// There is no free port.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let passes = Arc::new(watch::Sender::new(Passes::Everything));
        let state = passes.clone();
        let carried = Arc::new(AtomicU64::new(0));
        let count = carried.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((agent, _)) = listener.accept().await {
                if *state.borrow() == Passes::Nothing {
                    continue;
                }
                let Ok(collector) = TcpStream::connect(target).await else { continue };
                let (from_agent, to_agent) = agent.into_split();
                let (from_collector, to_collector) = collector.into_split();
                tokio::spawn(forward(from_agent, to_collector, state.subscribe(), count.clone(), false));
                tokio::spawn(forward(from_collector, to_agent, state.subscribe(), count.clone(), true));
            }
        });
        Self { address, passes, carried, accepting }
    }

    pub fn set(&self, passes: Passes) {
        self.passes.send_replace(passes);
    }

    /// Bytes that came in from both sides so far: TLS records, without the headers of TCP and IP.
    #[must_use]
    pub fn carried_bytes(&self) -> u64 {
        self.carried.load(Ordering::Relaxed)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.passes.send_replace(Passes::Nothing);
        self.accepting.abort();
    }
}

async fn forward(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut passes: watch::Receiver<Passes>,
    carried: Arc<AtomicU64>,
    is_down: bool,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            cut = passes.wait_for(|passes| *passes == Passes::Nothing) => {
                drop(cut);
                return;
            }
        };
        let Ok(length @ 1..) = read else { return };
        carried.fetch_add(length as u64, Ordering::Relaxed);
        let swallowed = is_down && *passes.borrow() == Passes::UpOnly;
        if !swallowed && to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
