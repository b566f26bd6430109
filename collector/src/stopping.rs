//! How tasks learn that the collector is to stop.

use tokio::sync::watch;

/// Completes when the collector is to stop.
pub async fn until(mut stopped: watch::Receiver<bool>) {
    // A vanished sender means the same.
    let _ = stopped.wait_for(|stop| *stop).await;
}
