//! The running agent's part of an upgrade: takes the command, has the program fetched, tells what came of it,
//! and shows itself healthy if it is the new one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use rustls::ClientConfig;
use tokio::time::Instant;
use wardwatch_policies::digest::Digest;
use wardwatch_policies::release::{UpgradeOutcome, Version};
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::downlink::CommandId;
use wardwatch_wire::release::{Release, SealedRelease};
use wardwatch_wire::report::Body;

use crate::config::Config;
use crate::outbox::Outbox;
use crate::state::{Identity, StateDir};
use crate::upgrade::fetch::Source;
use crate::upgrade::folder::Folder;
use crate::upgrade::judge::{self, Ground, Refused};
use crate::upgrade::slots::{Order, Slot, Slots, Told};
use crate::upgrade::{self, Program};

const MARK_UPGRADE: &str = "upgrade";
/// How long after its command has expired an order still holds, for slow links. A collector that still wants it
/// asks again.
const GRACE_MS: i64 = 2 * 24 * 60 * 60 * 1000;

mod fetching;

use fetching::{Fetched, Fetching};

/// What the running agent knows of upgrades.
pub(super) struct Upgrading {
    folder: Folder,
    slots: Slots,
    program: Program,
    root: Digest,
    /// Or why no program can come here.
    source: Result<Source, String>,
    /// The slots on disk cannot be read, and are not written over.
    unreadable: Option<String>,
    fetching: Fetching,
    /// When this process took it up.
    begun: Instant,
    /// The time of a trial.
    trial: Duration,
}

impl Upgrading {
    /// Reads what is known, and goes on with what was under way.
    pub(super) fn begin(
        state: &StateDir,
        identity: &Identity,
        program: &Program,
        tls: Arc<ClientConfig>,
        config: &Config,
    ) -> Self {
        let folder = Folder::of(state);
        let source = identity.enrol_port.map(|port| Source {
            hosts: identity.hosts.clone(),
            port,
            tls,
            bytes_per_second: config.upgrade.bytes_per_second,
        });
        let source = source.ok_or_else(|| {
            "this agent was enrolled by a version that did not keep where programs come from; enrol it anew".into()
        });
        let (slots, unreadable) = match folder.load() {
            Ok(slots) => (slots, None),
            Err(error) => {
                tracing::error!("no upgrade is possible: {error}");
                (Slots::default(), Some(error.to_string()))
            }
        };
        let root = identity.root;
        let mut upgrading = Self {
            folder,
            slots,
            program: program.clone(),
            root,
            source,
            unreadable,
            fetching: Fetching::default(),
            begun: Instant::now(),
            trial: config.upgrade.trial,
        };
        if !config.allows_upgrades() {
            upgrading.forbid();
        }
        // During a trial it waits: the slot is taken.
        if upgrading.slots.trial.is_none()
            && let Some(order) = upgrading.slots.order.take()
        {
            upgrading.take(order);
        }
        upgrading
    }

    /// Ends what was ordered before local settings forbade it.
    fn forbid(&mut self) {
        let version = self.ordered().map(|release| release.version);
        if let Some(order) = self.slots.order.take() {
            self.folder.discard(self.slots.free());
            self.slots.end(order.command, version, UpgradeOutcome::NotAllowed);
            self.save();
        }
    }

    /// The files that make the agent's program, whichever runs.
    pub(super) fn own_files(&self) -> Vec<PathBuf> {
        let slots = Slot::ALL.map(|slot| self.folder.program(slot));
        slots.into_iter().chain([self.program.installed.clone()]).collect()
    }

    pub(super) fn is_trial(&self) -> bool {
        let tried = self.slots.trial.as_ref().map(|trial| trial.program.version);
        self.program.in_slot && tried == Some(self.program.version)
    }

    /// Takes a command to become another version.
    pub(super) async fn obey(&mut self, command: CommandId, release: SealedRelease, expires: UnixMillis) {
        let under_way = self.slots.order.as_ref().map(|order| order.command);
        if under_way == Some(command) || self.slots.done == Some(command) {
            tracing::debug!(command = command.0, "the command came again");
            return;
        }
        let asked = release.open(self.root).ok().map(|(release, _)| (release.version, release.digest));
        if let Some(trial) = &mut self.slots.trial
            && asked == Some((trial.program.version, trial.program.digest))
        {
            // A collector that was silent for long asks again, and is to hear of this command.
            trial.program.command = command;
            self.slots.done = Some(command);
            self.save();
            return;
        }
        let order = Order { command, release, until: expires.plus(GRACE_MS) };
        match self.ordered() {
            Some(known) if self.is_same(&known, &order.release) => {
                tracing::info!(command = command.0, "what is fetched is asked for again; it goes on");
                self.slots.order = Some(order);
                self.save();
            }
            Some(known) => {
                // Only what may come here takes the place of what comes.
                match judge::judge(&order.release, &self.ground(Some(known.version))) {
                    Ok(_) => {
                        tracing::info!(version = %known.version, "a newer version takes its place");
                        self.withdraw().await;
                        self.take(order);
                    }
                    Err(refused) => self.refuse_judged(&order, &refused),
                }
            }
            None => {
                // What is left of another program is of no use to this one.
                if self.slots.trial.is_none() {
                    self.folder.discard(self.slots.free());
                }
                self.take(order);
            }
        }
    }

    /// What was ordered and has not come.
    fn ordered(&self) -> Option<Release> {
        let order = self.slots.order.as_ref()?;
        Some(order.release.open(self.root).ok()?.0)
    }

    fn is_same(&self, known: &Release, asked: &SealedRelease) -> bool {
        asked.open(self.root).is_ok_and(|(release, _)| release == *known)
    }

    /// Ends what is under way, and deletes what came of it.
    async fn withdraw(&mut self) {
        self.fetching.stop().await;
        let version = self.ordered().map(|release| release.version);
        if self.slots.trial.is_none() {
            self.folder.discard(self.slots.free());
        }
        if let Some(order) = self.slots.order.take() {
            self.slots.end(order.command, version, UpgradeOutcome::Withdrawn);
        }
        self.save();
    }

    /// Ends an order that has grown old.
    pub(super) async fn expire(&mut self, now: UnixMillis) {
        if self.slots.order.as_ref().is_some_and(|order| order.until <= now) {
            tracing::warn!("the new program did not come in time; it is not waited for any more");
            self.withdraw().await;
        }
    }

    /// Says that local settings keep the command from being run.
    pub(super) fn not_allowed(&mut self, command: CommandId) {
        if self.slots.done != Some(command) {
            self.slots.end(command, None, UpgradeOutcome::NotAllowed);
            self.save();
        }
    }

    fn ground(&self, ordered: Option<Version>) -> Ground {
        let own = self.program.version;
        Ground {
            root: self.root,
            target: upgrade::target(),
            highest: self.slots.highest.max(ordered).max(Some(own)).unwrap_or(own),
            key_serial: self.slots.key_serial,
        }
    }

    fn refuse_judged(&mut self, order: &Order, refused: &Refused) {
        // Only what is believed can say which version it is.
        let version = order.release.open(self.root).ok().map(|(release, _)| release.version);
        if version == Some(self.program.version) && !self.is_trial() {
            return self.is_there_already(order.command);
        }
        self.refuse(order.command, version, refused.to_string());
    }

    fn take(&mut self, order: Order) {
        let (release, key_serial) = match judge::judge(&order.release, &self.ground(None)) {
            Ok(accepted) => accepted,
            Err(refused) => return self.refuse_judged(&order, &refused),
        };
        let command = order.command;
        let source = match &self.source {
            Ok(source) => source.clone(),
            Err(reason) => return self.refuse(command, Some(release.version), reason.clone()),
        };
        self.slots.accept(order, key_serial);
        // The part lies in this folder.
        if let Err(error) = self.write() {
            return self.refuse(command, Some(release.version), error.to_string());
        }
        if self.slots.trial.is_some() {
            tracing::info!(version = %release.version, "a new program waits until the trial has ended");
            return;
        }
        tracing::info!(version = %release.version, bytes = release.size, "fetching a new program");
        self.fetching.start(source, release, self.folder.clone(), self.slots.free());
    }

    fn is_there_already(&mut self, command: CommandId) {
        self.slots.done = Some(command);
        let version = Some(self.program.version);
        self.slots.tell(Told { command, version, outcome: UpgradeOutcome::Healthy });
        self.save();
    }

    fn refuse(&mut self, command: CommandId, version: Option<Version>, reason: String) {
        tracing::warn!(command = command.0, "an upgrade is refused: {reason}");
        self.slots.end(command, version, UpgradeOutcome::Refused { reason });
        self.save();
    }

    fn save(&self) {
        if let Err(error) = self.write() {
            tracing::warn!("{error}");
        }
    }

    fn write(&self) -> anyhow::Result<()> {
        match &self.unreadable {
            None => Ok(self.folder.save(&self.slots)?),
            Some(problem) => bail!("{problem}"),
        }
    }

    /// The next release that was fetched or was not to be had; waits for ever while none is under way.
    pub(super) async fn fetched(&mut self) -> Fetched {
        self.fetching.next().await
    }

    /// Takes in what was fetched; says whether the program is to be chosen anew.
    pub(super) fn settle(&mut self, Fetched { release, outcome }: Fetched) -> bool {
        let Some(command) = self.slots.order.as_ref().map(|order| order.command) else { return false };
        let outcome = outcome.and_then(|()| {
            let before = self.slots.clone();
            self.slots.begin_trial(&release, command);
            self.write().map_err(|error| {
                self.slots = before;
                UpgradeOutcome::Refused { reason: error.to_string() }
            })
        });
        let Err(outcome) = outcome else {
            tracing::info!(version = %release.version, "a new program has come and is tried");
            return true;
        };
        tracing::warn!(command = command.0, version = %release.version, "no upgrade: {outcome:?}");
        self.slots.end(command, Some(release.version), outcome);
        self.save();
        false
    }

    /// Puts what is to be told into the outbox. A crash at any moment tells it once.
    pub(super) fn tell(&mut self, outbox: &Outbox) {
        if let Err(error) = self.try_tell(outbox) {
            tracing::warn!("what came of an upgrade is not told yet: {error:#}");
        }
    }

    fn try_tell(&mut self, outbox: &Outbox) -> anyhow::Result<()> {
        if self.slots.untold.is_empty() {
            return Ok(());
        }
        let digest = Digest::of(&serde_json::to_vec(&self.slots.untold)?);
        if outbox.mark(MARK_UPGRADE)? != Some(digest) {
            let bodies = self.slots.untold.iter().cloned().map(|told| Body::Upgrade {
                command: told.command,
                version: told.version,
                outcome: told.outcome,
            });
            outbox.append(outbox.stream(), bodies.collect(), &[(MARK_UPGRADE.to_owned(), digest)])?;
        }
        let told = std::mem::take(&mut self.slots.untold);
        self.write().inspect_err(|_| self.slots.untold = told)
    }

    /// Whether an answer of the collector decides something.
    pub(super) fn waits_for_answer(&self) -> bool {
        self.is_trial() || self.slots.trial.as_ref().is_some_and(|trial| trial.unanswered)
    }

    /// The collector has answered this program. If it is on trial, it is confirmed; else it judges one that was
    /// not answered. Says whether it could be written down.
    pub(super) fn note_answer(&mut self, outbox: &Outbox) -> bool {
        let before = self.slots.clone();
        let on_trial = self.is_trial();
        let done = if on_trial {
            self.slots.confirm();
            self.try_tell(outbox)
        } else {
            self.slots.judge_silence(self.begun.elapsed() <= self.trial);
            self.write()
        };
        if let Err(error) = done {
            tracing::warn!("the upgrade does not go on yet: {error:#}");
            self.slots = before;
            return false;
        }
        if on_trial {
            tracing::info!(version = %self.program.version, "the upgrade is confirmed");
        }
        true
    }

    fn is_current(&self) -> bool {
        let current = self.slots.current.as_ref().map(|current| current.version);
        self.program.in_slot && current == Some(self.program.version)
    }

    /// This program ends by no fault of its own: neither a trial nor a start is held against it.
    pub(super) fn excuse(&mut self) {
        if self.is_trial() {
            self.slots.excuse_attempt();
        } else if self.is_current() {
            self.slots.excuse_start();
        } else {
            return;
        }
        self.save();
    }

    /// This program has run for as long as a trial may take: its starts went well.
    pub(super) fn note_life(&mut self) {
        if self.is_current() {
            self.slots.note_life();
            self.save();
        }
    }
}
