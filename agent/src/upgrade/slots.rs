//! Which program runs next. Pure: a value that `folder` keeps on disk, and what may happen to it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::release::{UpgradeOutcome, Version};
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::downlink::CommandId;
use wardwatch_wire::release::{Release, SealedRelease};

mod starts;

use starts::{QUICK_DEATHS, Starts};

/// How often a new program is started before it is given up.
pub const ATTEMPTS: u8 = 3;
/// Outcomes that wait to be told at most; the oldest go first.
const UNTOLD: usize = 8;

/// A place for a program beside the installed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Slot {
    A,
    B,
}

impl Slot {
    pub const ALL: [Self; 2] = [Self::A, Self::B];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// A program in a slot, as its release says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Occupant {
    pub slot: Slot,
    pub version: Version,
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// That brought it here.
    pub command: CommandId,
}

/// A program that has not shown itself healthy yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    pub program: Occupant,
    pub attempts_left: u8,
    /// How the last attempt ended.
    pub last: Option<String>,
    /// The last attempt ran for all its time and was not answered. The program before runs until it is answered
    /// itself: until then nobody knows whose fault that was.
    #[serde(default)]
    pub unanswered: bool,
}

/// A release that is believed and still has to be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    pub command: CommandId,
    pub release: SealedRelease,
    /// In proved time. What has not come by then is not waited for any more.
    pub until: UnixMillis,
}

/// What the collector is to be told of an upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub command: CommandId,
    pub version: Option<Version>,
    #[serde(flatten)]
    pub outcome: UpgradeOutcome,
}

/// What is known of both slots.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Slots {
    /// The highest version that was ever tried here.
    pub highest: Option<Version>,
    pub key_serial: u64,
    /// Runs in place of the installed program.
    pub current: Option<Occupant>,
    /// Ran before it, and lies in the other slot until something is put there.
    pub before: Option<Occupant>,
    /// Of `current`.
    pub starts: Starts,
    pub trial: Option<Trial>,
    pub order: Option<Order>,
    /// Of the last command that was dealt with.
    pub done: Option<CommandId>,
    pub untold: Vec<Told>,
}

/// The program to run next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    Installed,
    Current(Occupant),
    Trial(Occupant),
}

impl Slots {
    /// Chooses what the installed program, of version `installed`, hands over to, `uptime` after the start of the
    /// machine that the system names `boot`. Each start is counted here, before it is made, so that no crash can be
    /// tried for ever.
    pub fn choose(&mut self, installed: Version, uptime: Duration, boot: Option<&str>) -> Choice {
        self.highest = self.highest.max(Some(installed));
        if self.trial.as_ref().is_some_and(|trial| trial.program.version <= installed) {
            self.trial = None;
        }
        if let Some(trial) = &mut self.trial
            && !trial.unanswered
        {
            if trial.attempts_left > 0 {
                trial.attempts_left -= 1;
                return Choice::Trial(trial.program.clone());
            }
            let last = trial.last.take().unwrap_or_else(|| "the machine or the agent went down".into());
            self.give_up(format!("none of {ATTEMPTS} attempts showed it healthy; the last: {last}"));
        }
        loop {
            match &self.current {
                None => return Choice::Installed,
                // A package brought what is as new as the slots, or newer.
                Some(current) if current.version <= installed => self.current = None,
                Some(current) if self.starts.begin(uptime, boot) => return Choice::Current(current.clone()),
                Some(_) => self.drop_current(format!("it ended soon after {QUICK_DEATHS} starts in a row")),
            }
        }
    }

    /// The slot that the next program goes to, not that of the current one. During a trial it is taken.
    #[must_use]
    pub fn free(&self) -> Slot {
        self.current.as_ref().map_or(Slot::A, |current| current.slot.other())
    }

    /// A release is believed and is to be fetched.
    pub fn accept(&mut self, order: Order, key_serial: u64) {
        self.key_serial = key_serial;
        self.order = Some(order);
    }

    /// The release was fetched into the free slot: it is tried at the next start. From here on nothing that is
    /// not newer comes in, whatever becomes of it.
    pub fn begin_trial(&mut self, release: &Release, command: CommandId) {
        let program = Occupant {
            slot: self.free(),
            version: release.version,
            digest: release.digest,
            size: release.size,
            command,
        };
        self.order = None;
        // It was written over.
        self.before = None;
        self.done = Some(command);
        self.highest = self.highest.max(Some(release.version));
        self.trial = Some(Trial { program, attempts_left: ATTEMPTS, last: None, unanswered: false });
    }

    /// The command came to nothing before anything was tried.
    pub fn end(&mut self, command: CommandId, version: Option<Version>, outcome: UpgradeOutcome) {
        if self.order.as_ref().is_some_and(|order| order.command == command) {
            self.order = None;
        }
        self.done = Some(command);
        self.tell(Told { command, version, outcome });
    }

    /// Local settings forbid upgrades: what is not confirmed is not tried any more.
    pub fn forbid(&mut self) {
        if let Some(Trial { program, .. }) = self.trial.take() {
            let outcome = UpgradeOutcome::NotAllowed;
            self.tell(Told { command: program.command, version: Some(program.version), outcome });
        }
    }

    /// The program on trial has shown itself healthy.
    pub fn confirm(&mut self) {
        if let Some(Trial { program, .. }) = self.trial.take() {
            let healthy = UpgradeOutcome::Healthy;
            self.tell(Told { command: program.command, version: Some(program.version), outcome: healthy });
            self.before = self.current.replace(program);
            self.starts = Starts::default();
        }
    }

    /// The current program has run long enough for its starts to count as good.
    pub fn note_life(&mut self) {
        self.starts = Starts::default();
    }

    /// The current program ends because somebody wants it to.
    pub fn excuse_start(&mut self) {
        self.starts.excuse();
    }

    /// How an attempt ended that did not show the program healthy.
    pub fn note_attempt(&mut self, ended: String) {
        if let Some(trial) = &mut self.trial {
            trial.last = Some(ended);
        }
    }

    /// An attempt ran for all its time, and the collector did not answer it.
    pub fn note_silence(&mut self, ended: String) {
        self.note_attempt(ended);
        if let Some(trial) = &mut self.trial {
            trial.unanswered = true;
        }
    }

    /// After an attempt that was not answered the collector answers the program before: `soon`, within the time
    /// of a trial, shows that the attempt could have been answered. Else it does not count.
    pub fn judge_silence(&mut self, soon: bool) {
        if let Some(trial) = &mut self.trial {
            trial.unanswered = false;
        }
        if !soon {
            self.excuse_attempt();
        }
    }

    /// The attempt was cut short by whoever stops the machine or the agent: it does not count.
    pub fn excuse_attempt(&mut self) {
        if let Some(trial) = &mut self.trial {
            trial.attempts_left = (trial.attempts_left + 1).min(ATTEMPTS);
        }
    }

    /// The program on trial is not run any more; the one before is.
    pub fn give_up(&mut self, reason: String) {
        if let Some(Trial { program, .. }) = self.trial.take() {
            let outcome = UpgradeOutcome::Returned { reason };
            self.tell(Told { command: program.command, version: Some(program.version), outcome });
        }
    }

    /// The current program is not run any more; the one before or the installed one is.
    pub fn drop_current(&mut self, reason: String) {
        self.starts = Starts::default();
        if let Some(program) = std::mem::replace(&mut self.current, self.before.take()) {
            let outcome = UpgradeOutcome::Returned { reason };
            self.tell(Told { command: program.command, version: Some(program.version), outcome });
        }
    }

    pub fn tell(&mut self, mut told: Told) {
        told.outcome = told.outcome.bounded();
        if self.untold.len() >= UNTOLD {
            self.untold.remove(0);
        }
        self.untold.push(told);
    }
}

#[cfg(test)]
mod tests;
