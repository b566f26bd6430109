//! The running agent: the one place where sensors, outbox and uplink are put together.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustls::ClientConfig;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, sleep_until, timeout};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::finding::StreamReason;
use wardwatch_policies::host::HostFacts;
use wardwatch_policies::release::Version;
use wardwatch_policies::verdict::PolicyResults;
use wardwatch_wire::downlink::{Action, ActionKind};
use wardwatch_wire::report::{Body, InstanceId, StopReason, StreamId};

use crate::clock::Clock;
use crate::config::Config;
use crate::outbox::{Outbox, Sealer};
use crate::random;
use crate::respond::{self, NotRun};
use crate::sensor::host;
use crate::state::{Identity, Keys, StateDir};
use crate::status::{self, Board};
use crate::tls;
use crate::upgrade::Program;
use crate::uplink::{Event, LinkState, Uplink};

mod checks;
mod files;
mod opening;
mod recall;
mod teller;
mod upgrading;
mod waiting;

use files::{FilesThread, Order, Parts};
use upgrading::Upgrading;

const MARK_HOST: &str = "host";
/// After verdicts could not be written down.
const CHECK_RETRY: Duration = Duration::from_secs(60);
const HOST_EVERY: Duration = Duration::from_secs(3600);
/// How long a stopping agent waits for its last reports to arrive.
const FAREWELL: Duration = Duration::from_millis(1500);
const STATUS_EVERY: Duration = Duration::from_secs(5);
/// How often a program on trial looks whether it was answered.
const TRIAL_EVERY: Duration = Duration::from_secs(1);

/// How a running agent ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    Stopped,
    /// Another program is to take the place of this one, or this one of the installed.
    Superseded,
}

/// Runs the agent until `stop` completes, with what the collector is told as the reason, or until another program
/// is to take its place. Waits first where this machine is not enrolled.
///
/// # Errors
/// Another agent running, or a state folder that cannot be used.
pub async fn run(config: Config, program: &Program, stop: impl Future<Output = StopReason>) -> Result<Ended> {
    let mut stop = pin!(stop);
    let state = StateDir::new(config.state_dir.clone());
    let Some((identity, _lock)) =
        waiting::until_enrolled(&state, &config.enrolment_file, program.version, stop.as_mut()).await?
    else {
        return Ok(Ended::Stopped);
    };
    let keys = state.keys()?;
    let clock = Clock::new();
    let sealer = Sealer { agent: identity.agent.clone(), key: keys.report.clone(), clock: clock.clone() };
    let outbox = Arc::new(opening::outbox(&state, sealer, config.outbox_bytes)?);
    let cache = opening::cache(&state, &outbox)?;
    let begun = status::begin(identity.agent.clone(), identity.unit.clone(), identity.kind, program.version);
    let board = Board::new(begun);
    let tls = Arc::new(tls::with_certificate(&identity.ca, &identity.chain, &keys.tls_pem, &clock)?);
    let mut upgrading = Upgrading::begin(&state, &identity, program, Arc::clone(&tls), &config);
    upgrading.tell(&outbox);
    let mut settings = config.files.clone();
    settings.always.extend(upgrading.own_files());
    let parts = Parts {
        settings,
        outbox: Arc::clone(&outbox),
        cache,
        clock: clock.clone(),
        board: board.clone(),
        own: state.path().to_owned(),
    };
    let files = FilesThread::start(parts).context("the system gives no thread for the files")?;
    let version = program.version;
    let agent = Agent { config, identity, outbox, clock, board, files, upgrading, version };
    agent.run(&state, &keys, tls, stop.as_mut()).await
}

struct Agent {
    config: Config,
    identity: Identity,
    outbox: Arc<Outbox>,
    clock: Clock,
    board: Board,
    files: FilesThread,
    upgrading: Upgrading,
    version: Version,
}

/// Why the agent leaves its loop.
enum End {
    Stop(StopReason),
    /// Another program goes on.
    Superseded,
}

impl Agent {
    async fn run(
        mut self,
        state: &StateDir,
        keys: &Keys,
        tls: Arc<ClientConfig>,
        stop: impl Future<Output = StopReason>,
    ) -> Result<Ended> {
        let mut stop = pin!(stop);
        let (events_in, mut events) = mpsc::channel(16);
        let (link_in, mut link) = watch::channel(LinkState::Connecting);
        let uplink = self.uplink(keys, tls, link_in, events_in)?;
        let uplink = tokio::spawn(uplink.run());
        let clock = self.clock.clone();
        let writer = tokio::spawn(self.board.clone().write_to(state.status(), move || clock.wall()));
        tracing::info!(agent = %self.identity.agent, unit = %self.identity.unit, "the agent runs");
        let mut refresh = every(STATUS_EVERY);
        let mut host_due = Instant::now();
        let mut check_due = Instant::now();
        let mut checking = JoinSet::new();
        let mut trial = every(TRIAL_EVERY);
        let mut alive = pin!(sleep(self.config.upgrade.trial));
        let mut lived = false;
        let end = loop {
            tokio::select! {
                reason = &mut stop => break End::Stop(reason),
                fetched = self.upgrading.fetched() => {
                    if self.upgrading.settle(fetched) {
                        break End::Superseded;
                    }
                    self.upgrading.tell(&self.outbox);
                }
                // An ack that answers a nonce of this process proves the time to it.
                _ = trial.tick(), if self.upgrading.waits_for_answer() && self.clock.proved().is_some() => {
                    if self.upgrading.note_answer(&self.outbox) {
                        break End::Superseded;
                    }
                }
                () = &mut alive, if !lived => {
                    lived = true;
                    self.upgrading.note_life();
                }
                Some(event) = events.recv() => if self.obey(event).await {
                    check_due = Instant::now();
                },
                Ok(()) = link.changed() => self.note_status(&link.borrow_and_update().clone()),
                _ = refresh.tick() => {
                    // An agent that goes on without this thread would look well and see nothing.
                    if self.files.has_ended() {
                        break End::Stop(StopReason::Service);
                    }
                    if let Some(now) = self.clock.proved() {
                        self.upgrading.expire(now).await;
                    }
                    self.upgrading.tell(&self.outbox);
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
        };
        let connected = matches!(*link.borrow(), LinkState::Connected { .. });
        let blind = self.files.has_ended();
        self.stop(&end, connected).await;
        self.note_status(&LinkState::Down { problem: "the agent was stopped".into() });
        uplink.abort();
        writer.abort();
        // Whoever goes on in this process must find the outbox closed.
        let _ = tokio::join!(uplink, writer);
        status::save(&state.status(), &self.board.read())?;
        ensure!(
            !blind,
            "the thread that watches files ended by a fault of its own, so the agent was stopped; start it again, \
             and pass the log on to whoever maintains Wardwatch"
        );
        Ok(match end {
            End::Stop(_) => Ended::Stopped,
            End::Superseded => Ended::Superseded,
        })
    }

    fn uplink(
        &self,
        keys: &Keys,
        tls: Arc<ClientConfig>,
        link: watch::Sender<LinkState>,
        events: mpsc::Sender<Event>,
    ) -> Result<Uplink> {
        let identity = &self.identity;
        Ok(Uplink {
            agent: identity.agent.clone(),
            instance: InstanceId(random::bytes()?),
            key: keys.report.clone(),
            collector: identity
                .verifying_key()
                .map_err(|problem| anyhow::anyhow!("the collector's key cannot be used: {problem}"))?,
            hosts: identity.hosts.clone(),
            port: identity.mqtt_port,
            tls,
            outbox: Arc::clone(&self.outbox),
            clock: self.clock.clone(),
            heartbeat: self.config.heartbeat,
            link,
            events,
        })
    }

    /// Does what the collector asks for; says whether the policies are to be evaluated.
    async fn obey(&mut self, event: Event) -> bool {
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
            Ok(Action::Upgrade(release)) => {
                self.upgrading.obey(command.id, release, command.expires).await;
                self.upgrading.tell(&self.outbox);
                false
            }
            Err(reason) => {
                tracing::warn!(command = command.id.0, "a command is not run: {reason}");
                if reason == NotRun::NotAllowed && command.action.kind() == ActionKind::Upgrade {
                    self.upgrading.not_allowed(command.id);
                    self.upgrading.tell(&self.outbox);
                }
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
        let facts = host::read(self.version, self.board.read().limits);
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

    /// Writes down what is known, says good-bye if nobody goes on here, and waits a moment for both to arrive.
    async fn stop(&mut self, end: &End, connected: bool) {
        tracing::info!("the agent stops");
        // The end of a program that lost a thread is its own fault.
        if !self.files.has_ended() {
            self.upgrading.excuse();
        }
        self.files.stop();
        if let End::Stop(reason) = end {
            let farewell = vec![Body::Stopping { reason: *reason }];
            if let Err(error) = self.outbox.append(self.outbox.stream(), farewell, &[]) {
                tracing::warn!("the stop is not told: {error}");
            }
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

/// Ticks that nobody waited for are not made up for.
fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

fn digest_of(facts: &HostFacts) -> Digest {
    Digest::of(&serde_json::to_vec(&host::lasting(facts)).unwrap_or_default())
}
