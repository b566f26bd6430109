//! Fetches the program of a release, part by part, into a file that outlives a cut link and a restart. Slow
//! on purpose: a ward's link has other work to do.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{CONTENT_RANGE, HOST, RANGE};
use hyper::{Request, Response, StatusCode};
use rustls::ClientConfig;
use tokio::fs::{self, File, OpenOptions};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use wardwatch_wire::release::{BLOBS, MAX_PART_BYTES, Release};

use super::folder::digest_of;
use crate::https::Connection;
use crate::platform;
use crate::random;

/// How long it is asked for without a byte of it coming.
const STALLED: Duration = Duration::from_secs(24 * 60 * 60);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(120);
/// How long the collector may say nothing.
const PATIENCE: Duration = Duration::from_secs(30);
/// Stays free on the disk beside the program.
const MARGIN_BYTES: u64 = 4 * 1024 * 1024;

/// Where programs come from.
#[derive(Clone)]
pub struct Source {
    /// Tried in turn.
    pub hosts: Vec<String>,
    pub port: u16,
    pub tls: Arc<ClientConfig>,
    pub bytes_per_second: u64,
}

/// The program does not come, however often it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum Unfetchable {
    #[error("the collector does not hold its program")]
    Missing,
    #[error("the collector does not give it any more")]
    Withdrawn,
    #[error("no byte of its program has come for a day; the last problem: {0}")]
    Stalled(String),
    #[error(
        "the collector's copy of the program is cut off or of another size: it has {found} bytes, not {size}"
    )]
    Size { found: u64, size: u64 },
    #[error("the program that came is not the one that was signed: its digest is another")]
    Digest,
    #[error("{needed} bytes are needed on the disk of the state folder, {free} are free")]
    NoSpace { needed: u64, free: u64 },
    #[error("the program cannot be written down: {0}")]
    Disk(#[from] io::Error),
}

enum Trouble {
    /// May be over next time.
    Passing(anyhow::Error),
    Lasting(Unfetchable),
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Self::Passing(error)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Lasting(error.into())
    }
}

/// Fetches until all of it is there and is what was signed. What an earlier call left at `part` is gone on
/// from; `part` is removed when the program is not to be had.
///
/// # Errors
/// It is not to be had. A collector that cannot be reached is none for a day: it is asked again.
pub async fn fetch(source: &Source, release: &Release, part: &Path) -> Result<(), Unfetchable> {
    let fetched = try_fetch(source, release, part).await;
    if fetched.is_err() {
        // It is of no use, and the next attempt empties it anyway.
        let _ = fs::remove_file(part).await;
    }
    fetched
}

async fn try_fetch(source: &Source, release: &Release, part: &Path) -> Result<(), Unfetchable> {
    let resumed = length(part).await? > 0;
    fetch_rest(source, release, part).await?;
    if is_signed(release, part).await? {
        return Ok(());
    }
    if !resumed {
        return Err(Unfetchable::Digest);
    }
    tracing::warn!(
        "what an earlier run had fetched was damaged; the program is fetched again from its beginning"
    );
    fs::remove_file(part).await?;
    fetch_rest(source, release, part).await?;
    if is_signed(release, part).await? { Ok(()) } else { Err(Unfetchable::Digest) }
}

async fn is_signed(release: &Release, part: &Path) -> io::Result<bool> {
    let (path, size, signed) = (part.to_owned(), release.size, release.digest);
    let found = tokio::task::spawn_blocking(move || digest_of(&path, size)).await;
    Ok(found.map_err(io::Error::other)?? == Some(signed))
}

async fn length(part: &Path) -> io::Result<u64> {
    match fs::metadata(part).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        metadata => metadata.map(|metadata| metadata.len()),
    }
}

async fn fetch_rest(source: &Source, release: &Release, part: &Path) -> Result<(), Unfetchable> {
    let mut have = length(part).await?;
    if have > release.size {
        fs::remove_file(part).await?;
        have = 0;
    }
    let needed = release.size - have + MARGIN_BYTES;
    let free = platform::free_bytes(part.parent().unwrap_or(part))?;
    if free < needed {
        return Err(Unfetchable::NoSpace { needed, free });
    }
    let mut file = OpenOptions::new().create(true).append(true).open(part).await?;
    let mut pause = FIRST_PAUSE;
    let mut progress = Instant::now();
    while have < release.size {
        for host in &source.hosts {
            let before = have;
            let asked = fetch_part(source, host, release, &mut file, &mut have).await;
            // What is counted must be in the file, however the connection ended.
            file.flush().await?;
            if have > before {
                pause = FIRST_PAUSE;
                progress = Instant::now();
            }
            match asked {
                Ok(()) => break,
                Err(Trouble::Lasting(error)) => return Err(error),
                Err(Trouble::Passing(error)) => {
                    tracing::info!(%host, have, size = release.size, "the program does not come now: {error:#}");
                    if progress.elapsed() >= STALLED {
                        return Err(Unfetchable::Stalled(format!("{error:#}")));
                    }
                    sleep(random::jittered(pause)).await;
                }
            }
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    Ok(file.sync_all().await?)
}

/// Asks for the next part and appends what comes of it.
async fn fetch_part(
    source: &Source,
    host: &str,
    release: &Release,
    file: &mut File,
    have: &mut u64,
) -> Result<(), Trouble> {
    let begun = Instant::now();
    let last = (*have + MAX_PART_BYTES).min(release.size) - 1;
    let asked = timeout(PATIENCE, ask(source, host, release, *have, last)).await;
    let (_connection, response) = asked.map_err(|_| anyhow!("no answer in time"))??;
    match response.status() {
        StatusCode::PARTIAL_CONTENT => check_size(&response, release)?,
        StatusCode::RANGE_NOT_SATISFIABLE => {
            check_size(&response, release)?;
            return Err(anyhow!("it refuses the part").into());
        }
        StatusCode::GONE => return Err(Trouble::Lasting(Unfetchable::Withdrawn)),
        StatusCode::NOT_FOUND => return Err(Trouble::Lasting(Unfetchable::Missing)),
        status => return Err(anyhow!("it answers with HTTP status {status}").into()),
    }
    let mut body = response.into_body();
    let mut came = 0;
    loop {
        let frame = timeout(PATIENCE, body.frame()).await.map_err(|_| anyhow!("the answer stopped"))?;
        let Some(frame) = frame else { break };
        let frame = frame.context("the answer was cut off")?;
        let Some(bytes) = frame.data_ref() else { continue };
        came += bytes.len() as u64;
        if *have + bytes.len() as u64 > last + 1 {
            return Err(anyhow!("it sends more than was asked for").into());
        }
        file.write_all(bytes).await?;
        *have += bytes.len() as u64;
        let pace = Duration::from_millis(came * 1000 / source.bytes_per_second.max(1));
        sleep_until(begun + pace).await;
    }
    if came == 0 {
        return Err(anyhow!("it sends nothing").into());
    }
    Ok(())
}

async fn ask(
    source: &Source,
    host: &str,
    release: &Release,
    first: u64,
    last: u64,
) -> anyhow::Result<(Connection, Response<hyper::body::Incoming>)> {
    let mut connection = Connection::open(&source.tls, host, source.port).await?;
    let request = Request::get(format!("{BLOBS}/{}", release.digest))
        .header(HOST, host)
        .header(RANGE, format!("bytes={first}-{last}"))
        .body(Full::new(Bytes::new()))
        .context("no request could be made")?;
    let response = connection.send(request).await?;
    Ok((connection, response))
}

/// `Content-Range: bytes 0-9/10`, or `bytes */10` with a refusal (RFC 9110, 14.4).
fn check_size(response: &Response<hyper::body::Incoming>, release: &Release) -> Result<(), Trouble> {
    let found = response
        .headers()
        .get(CONTENT_RANGE)
        .and_then(|value| value.to_str().ok()?.rsplit_once('/')?.1.parse::<u64>().ok())
        .context("it does not say how large the program is")?;
    if found == release.size {
        return Ok(());
    }
    Err(Trouble::Lasting(Unfetchable::Size { found, size: release.size }))
}
