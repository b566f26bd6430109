//! Hears that this process is asked to stop.

use std::future::Future;
use std::io;

use tokio::signal::windows::{ctrl_break, ctrl_c, ctrl_close, ctrl_shutdown};
use wardwatch_wire::report::StopReason;

/// Completes when a person closes or interrupts the console or the system goes down. Asked from now on, such a
/// request no longer kills the process at once. The service manager asks in a way of its own.
///
/// # Errors
/// The system gives no means to hear of it.
pub fn stop_requested() -> io::Result<impl Future<Output = StopReason> + Send> {
    let (mut interrupt, mut pause) = (ctrl_c()?, ctrl_break()?);
    let (mut close, mut shutdown) = (ctrl_close()?, ctrl_shutdown()?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => StopReason::Service,
            _ = pause.recv() => StopReason::Service,
            _ = close.recv() => StopReason::Service,
            _ = shutdown.recv() => StopReason::Shutdown,
        }
    })
}
