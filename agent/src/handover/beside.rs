//! One program beside another: the installed one starts a program of a slot and waits for it. The program's
//! standard input is a pipe. What comes through it is why to stop; when it ends without a word, so has the one
//! at its other end.

use std::future::Future;
use std::io::{self, Read};
use std::path::Path;
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use wardwatch_wire::report::StopReason;

use crate::platform;
use crate::upgrade::{BESIDE, INSTALLED};

const SHUTDOWN: &[u8] = b"shutdown";
/// How long a program that was told to stop may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How a program beside this one ended.
pub(super) enum Ended {
    ByItself(ExitStatus),
    /// Its time was over.
    TooLate,
    /// It was told to stop, as this one was.
    Stopped,
}

/// Runs a program until it ends, `stop` completes or the time is over.
///
/// # Errors
/// The system does not run it, or not stop it.
pub(super) async fn run(
    program: &Path,
    installed: &Path,
    limit: Option<Duration>,
    stop: Pin<&mut impl Future<Output = StopReason>>,
) -> io::Result<Ended> {
    if let Err(error) = platform::end_children_too() {
        tracing::warn!("if this program is killed, the one beside it may outlast it: {error}");
    }
    let mut child = Command::new(program)
        .args(std::env::args_os().skip(1))
        .env(INSTALLED, installed)
        .env(BESIDE, "1")
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    // Kept here: waiting for a child would close it.
    let pipe = child.stdin.take();
    let over = async {
        match limit {
            Some(limit) => sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = child.wait() => ended.map(Ended::ByItself),
        () = over => {
            child.kill().await?;
            Ok(Ended::TooLate)
        }
        reason = stop => {
            if let Some(mut pipe) = pipe
                && reason == StopReason::Shutdown
            {
                // Without a word it stops as well.
                let _ = pipe.write_all(SHUTDOWN).await;
            }
            end(child).await.map(|()| Ended::Stopped)
        }
    }
}

async fn end(mut child: Child) -> io::Result<()> {
    match timeout(PATIENCE, child.wait()).await {
        Ok(ended) => ended.map(drop),
        Err(_) => child.kill().await,
    }
}

/// Completes when the one that started this program tells it to stop, or has ended.
pub(super) async fn told_to_stop() -> StopReason {
    let (tell, told) = oneshot::channel();
    // A thread, since nothing else can wait for standard input on every system.
    let listening = std::thread::Builder::new().name("parent".into()).spawn(move || {
        let mut word = Vec::new();
        // An error ends it as the end does.
        let _ = io::stdin().lock().take(64).read_to_end(&mut word);
        let reason = if word == SHUTDOWN { StopReason::Shutdown } else { StopReason::Service };
        // Nobody listens when this program ends already.
        let _ = tell.send(reason);
    });
    if listening.is_err() {
        return std::future::pending().await;
    }
    told.await.unwrap_or(StopReason::Service)
}
