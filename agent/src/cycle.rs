//! The running agent: the one place where sensors, outbox and uplink are put together.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep_until, timeout};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::finding::StreamReason;
use wardwatch_policies::host::HostFacts;
use wardwatch_policies::verdict::PolicyResults;
use wardwatch_wire::downlink::Action;
use wardwatch_wire::report::{Body, InstanceId, StopReason, StreamId};

use crate::cache::Cache;
use crate::clock::Clock;
use crate::config::Config;
use crate::outbox::{Outbox, OutboxError, Sealer};
use crate::platform;
use crate::random;
use crate::respond;
use crate::sensor::host;
use crate::state::{Identity, Keys, StateDir};
use crate::status::{self, Board};
use crate::tls;
use crate::uplink::{Event, LinkState, Uplink};

mod checks;
mod files;
mod teller;

use files::{FilesThread, Order, Parts};

const MARK_HOST: &str = "host";
/// After verdicts could not be written down.
const CHECK_RETRY: Duration = Duration::from_secs(60);
const HOST_EVERY: Duration = Duration::from_secs(3600);
/// How long a stopping agent waits for its last reports to arrive.
const FAREWELL: Duration = Duration::from_millis(1500);
const STATUS_EVERY: Duration = Duration::from_secs(5);

/// Runs the agent until it is told to stop.
///
/// # Errors
/// Not enrolled, another machine's state, another agent running, or a state folder that cannot be used.
pub async fn run(config: Config) -> Result<()> {
    let state = StateDir::new(config.state_dir.clone());
    let identity = state.identity(&platform::machine())?;
    let _lock = state.lock()?;
    let keys = state.keys()?;
    let clock = Clock::new();
    let sealer = Sealer { agent: identity.agent.clone(), key: keys.report.clone(), clock: clock.clone() };
    let outbox = Arc::new(open_outbox(&state, sealer, config.outbox_bytes)?);
    let cache = open_cache(&state, &outbox)?;
    let board = Board::new(status::begin(identity.agent.clone(), identity.unit.clone(), identity.kind));
    let parts = Parts {
        settings: config.files.clone(),
        outbox: Arc::clone(&outbox),
        cache,
        clock: clock.clone(),
        board: board.clone(),
    };
    let files = FilesThread::start(parts).context("the system gives no thread for the files")?;
    Agent { config, identity, outbox, clock, board, files }.run(&state, &keys).await
}

/// The outbox, or a new one in its place if it cannot be read: the collector is told that reports were lost.
fn open_outbox(state: &StateDir, sealer: Sealer, capacity_bytes: u64) -> Result<Outbox> {
    let path = state.outbox();
    let copy = Sealer { agent: sealer.agent.clone(), key: sealer.key.clone(), clock: sealer.clock.clone() };
    match Outbox::open(&path, sealer, capacity_bytes) {
        Ok(outbox) => return Ok(outbox),
        Err(error @ OutboxError::Storage(_)) if !error.is_damage() => {
            return Err(error).with_context(|| {
                format!("{} cannot be opened; check the folder's owner and the free space", path.display())
            });
        }
        Err(error) => tracing::error!("{error}; reports may be lost; a new stream begins"),
    }
    if path.exists() {
        std::fs::rename(&path, path.with_extension("damaged"))
            .context("the damaged outbox cannot be put aside")?;
    }
    let stream = StreamId(random::bytes()?);
    Outbox::create(&path, stream, StreamReason::StateLost).context("no new outbox can be made")?;
    Outbox::open(&path, copy, capacity_bytes).context("the new outbox cannot be opened")
}

/// The file cache of the outbox's stream. A cache of another stream is cleared: its files were not told in
/// this one. If it was lost while the stream went on, a new stream tells everything again.
fn open_cache(state: &StateDir, outbox: &Outbox) -> Result<Cache> {
    let path = state.cache();
    let known = path.exists();
    let cache = match Cache::open(&path) {
        Ok(cache) => cache,
        Err(error) => {
            tracing::error!("{error}; it is put aside");
            std::fs::rename(&path, path.with_extension("damaged"))
                .context("the damaged file cache cannot be put aside")?;
            Cache::open(&path)?
        }
    };
    if cache.is_of(outbox.stream())? {
        return Ok(cache);
    }
    let told_nothing_yet = outbox.last_seq() <= 1;
    if !told_nothing_yet {
        tracing::warn!(known, "the file cache is not of this stream; a new stream begins");
        outbox.restart(StreamId(random::bytes()?), StreamReason::StateLost)?;
    }
    cache.begin_stream(outbox.stream())?;
    Ok(cache)
}

struct Agent {
    config: Config,
    identity: Identity,
    outbox: Arc<Outbox>,
    clock: Clock,
    board: Board,
    files: FilesThread,
}

impl Agent {
    async fn run(mut self, state: &StateDir, keys: &Keys) -> Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (events_in, mut events) = mpsc::channel(16);
        let (link_in, mut link) = watch::channel(LinkState::Connecting);
        let uplink = self.uplink(keys, link_in, events_in)?;
        let uplink = tokio::spawn(uplink.run());
        let clock = self.clock.clone();
        let writer = tokio::spawn(self.board.clone().write_to(state.status(), move || clock.wall()));
        tracing::info!(agent = %self.identity.agent, unit = %self.identity.unit, "the agent runs");
        let mut refresh = interval(STATUS_EVERY);
        let mut host_due = Instant::now();
        let mut check_due = Instant::now();
        let mut checking = JoinSet::new();
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                Some(event) = events.recv() => if self.obey(event) {
                    check_due = Instant::now();
                },
                Ok(()) = link.changed() => self.note_status(&link.borrow_and_update().clone()),
                _ = refresh.tick() => {
                    // An agent that goes on without this thread would look well and see nothing.
                    if self.files.has_ended() {
                        break;
                    }
                    self.note_status(&link.borrow().clone());
                }
                () = sleep_until(host_due) => {
                    self.tell_host();
                    host_due = Instant::now() + HOST_EVERY;
                }
                () = sleep_until(check_due), if checking.is_empty() => {
                    let kind = self.identity.kind;
                    checking.spawn_blocking(move || checks::evaluate(kind));
                    check_due = Instant::now() + random::jittered(self.config.check_every);
                }
                Some(checked) = checking.join_next() => {
                    let told = match checked {
                        Ok(results) => self.tell_checks(&results),
                        Err(error) => {
                            tracing::error!("the policies were not evaluated: {error}; they are tried again");
                            false
                        }
                    };
                    if !told {
                        check_due = Instant::now() + CHECK_RETRY;
                    }
                }
            }
        }
        let connected = matches!(*link.borrow(), LinkState::Connected { .. });
        let blind = self.files.has_ended();
        self.stop(connected).await;
        self.note_status(&LinkState::Down { problem: "the agent was stopped".into() });
        uplink.abort();
        writer.abort();
        status::save(&state.status(), &self.board.read())?;
        ensure!(
            !blind,
            "the thread that watches files ended by a fault of its own, so the agent was stopped; start it again, \
             and pass the log on to whoever maintains Wardwatch"
        );
        Ok(())
    }

    fn uplink(
        &self,
        keys: &Keys,
        link: watch::Sender<LinkState>,
        events: mpsc::Sender<Event>,
    ) -> Result<Uplink> {
        let identity = &self.identity;
        let tls = tls::with_certificate(&identity.ca, &identity.chain, &keys.tls_pem, &self.clock)?;
        Ok(Uplink {
            agent: identity.agent.clone(),
            instance: InstanceId(random::bytes()?),
            key: keys.report.clone(),
            collector: identity
                .verifying_key()
                .map_err(|problem| anyhow::anyhow!("the collector's key cannot be used: {problem}"))?,
            hosts: identity.hosts.clone(),
            port: identity.mqtt_port,
            tls: Arc::new(tls),
            outbox: Arc::clone(&self.outbox),
            clock: self.clock.clone(),
            heartbeat: self.config.heartbeat,
            link,
            events,
        })
    }

    /// Does what the collector asks for; says whether the policies are to be evaluated.
    fn obey(&mut self, event: Event) -> bool {
        let command = match event {
            Event::Command(command) => command,
            Event::Disagreement { stream, problem } => {
                // Told again with every ack until the new stream has begun.
                let still = self.outbox.stream() == stream;
                if still {
                    self.begin_stream(problem.reason());
                }
                return still;
            }
        };
        match respond::judge(&command, &self.config.allowed, self.clock.proved()) {
            Ok(Action::Rescan) => {
                self.files.order(Order::Rescan);
                false
            }
            Ok(Action::Recheck) => true,
            Err(reason) => {
                tracing::warn!(command = command.id.0, "a command is not run: {reason}");
                false
            }
        }
    }

    /// Tells what differs; says whether it could.
    fn tell_checks(&self, results: &[PolicyResults]) -> bool {
        self.board.update(|status| status.policies = checks::count(results));
        let told = checks::tell(&self.outbox, results);
        if let Err(error) = &told {
            tracing::warn!("the verdicts are not told yet: {error}");
        }
        told.is_ok()
    }

    fn begin_stream(&mut self, reason: StreamReason) {
        let begun = random::bytes()
            .map_err(anyhow::Error::from)
            .and_then(|id| Ok(self.outbox.restart(StreamId(id), reason)?));
        match begun {
            Ok(()) => {
                self.files.order(Order::StartOver);
                self.tell_host();
            }
            Err(error) => tracing::error!("no new stream can begin: {error:#}"),
        }
    }

    /// Tells of the machine if it is not as it was told.
    fn tell_host(&self) {
        let facts = host::read(self.board.read().limits);
        let digest = digest_of(&facts);
        if self.outbox.mark(MARK_HOST).ok().flatten() == Some(digest) {
            return;
        }
        let stream = self.outbox.stream();
        if let Err(error) =
            self.outbox.append(stream, vec![Body::Host(facts)], &[(MARK_HOST.to_owned(), digest)])
        {
            tracing::warn!("the machine's facts are not told: {error}");
        }
    }

    fn note_status(&self, link: &LinkState) {
        let depth = self.outbox.depth();
        let (witness, proved) = (self.outbox.witness(), self.clock.proved());
        self.board.update(|status| {
            status.link = match link {
                LinkState::Connecting => "connecting".into(),
                LinkState::Connected { host } => format!("connected to {host}"),
                LinkState::Down { problem } => format!("down: {problem}"),
            };
            status.outbox_reports = depth.reports;
            status.outbox_bytes = depth.bytes;
            status.witness = witness;
            // Not every second: an unchanged status is not written again.
            if status.proved_time.is_some() != proved.is_some() {
                status.proved_time = proved;
            }
        });
    }

    /// Writes down what is known, says good-bye, and waits a moment for both to arrive.
    async fn stop(&mut self, connected: bool) {
        tracing::info!("the agent stops");
        self.files.stop();
        let reason =
            if platform::shutdown_is_under_way() { StopReason::Shutdown } else { StopReason::Service };
        let farewell = vec![Body::Stopping { reason }];
        if let Err(error) = self.outbox.append(self.outbox.stream(), farewell, &[]) {
            tracing::warn!("the stop is not told: {error}");
        }
        if connected {
            let arrived = async {
                while self.outbox.depth().reports > 0 {
                    self.outbox.committed.notified().await;
                }
            };
            // What does not arrive now is sent after the next start.
            let _ = timeout(FAREWELL, arrived).await;
        }
        if let Err(error) = self.outbox.save() {
            tracing::warn!("{error}");
        }
    }
}

fn digest_of(facts: &HostFacts) -> Digest {
    Digest::of(&serde_json::to_vec(&host::lasting(facts)).unwrap_or_default())
}
