//! From findings and people's commands to changes in the record: the one place where the pure incident
//! procedure meets the store.
//!
//! Every change is appended to the hash-chained log, and what it means for alerts and incidents is kept in the
//! same transaction. Neighbours: ingest and the fleet watch bring findings, page and command line bring
//! commands; all of them hear of changes through [`Workflow::subscribe`].

mod recording;

use sqlx::AnyConnection;
use tokio::sync::broadcast;
use wardwatch_incidents::alert::Alert;
use wardwatch_incidents::change::{Actor, AlertId, Change, IncidentId};
use wardwatch_incidents::operate::{self, Command, Raise, Refused};
use wardwatch_policies::detection::{self, Detection};
use wardwatch_policies::ids::{AgentId, ProcedureId};
use wardwatch_policies::procedure::{self, Procedure};
use wardwatch_policies::time::UnixMillis;

use crate::store::{Store, alerts, incidents};

pub use self::recording::Recording;

/// Events kept for a listener that is slow; one that is slower still is told that it missed some.
const EVENTS: usize = 1024;

/// Something that a list or a page shows has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Alert(AlertId),
    Incident(IncidentId),
    Endpoint(AgentId),
    /// An endpoint told what came of an upgrade, and it counts for a roll-out.
    Upgrade(AgentId),
    Rollout(u64),
}

/// Makes changes. Cheap to clone.
#[derive(Clone)]
pub struct Workflow {
    store: Store,
    detection: &'static Detection,
    procedure: &'static Procedure,
    events: broadcast::Sender<Event>,
}

/// What was asked for did not happen.
#[derive(Debug, thiserror::Error)]
pub enum WorkflowError {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error("there is no alert {0}; `alerts list` names those that there are")]
    NoSuchAlert(AlertId),
    #[error("there is no incident {0}; `incidents list` names those that there are")]
    NoSuchIncident(IncidentId),
    #[error("the procedure {0} is not known to this version; use the version that raised the incident")]
    NoSuchProcedure(ProcedureId),
    #[error("the database failed")]
    Store(#[from] sqlx::Error),
}

impl Workflow {
    /// Works by the shipped detection rules and the default procedure.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self {
            store,
            detection: detection::city(),
            procedure: procedure::city(),
            events: broadcast::Sender::new(EVENTS),
        }
    }

    /// Hears of every change from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// Tells listeners of changes that are committed.
    pub fn announce(&self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            // Nobody listening is no fault.
            let _ = self.events.send(event);
        }
    }

    /// Begins to record what one transaction changes.
    ///
    /// # Errors
    /// The database fails, or holds what this program did not write.
    pub async fn begin(&self, db: &mut AnyConnection, now: UnixMillis) -> Result<Recording, sqlx::Error> {
        Recording::begin(db, self.detection, self.procedure, now).await
    }

    /// Appends changes to the log and keeps what they mean, within a transaction. The caller commits, and
    /// announces what is returned.
    ///
    /// # Errors
    /// The database fails, or the log contradicts itself.
    pub async fn record(
        &self,
        db: &mut AnyConnection,
        actor: &Actor,
        changes: Vec<Change>,
        now: UnixMillis,
    ) -> Result<Vec<Event>, sqlx::Error> {
        let mut recording = self.begin(db, now).await?;
        for change in changes {
            recording.record(db, actor.clone(), change).await?;
        }
        recording.finish(db).await
    }

    /// Raises an incident by hand, from alerts or from what someone was told.
    ///
    /// # Errors
    /// Refused, an alert does not exist, or the database fails.
    pub async fn raise(
        &self,
        actor: &Actor,
        raise: Raise,
        of: &[AlertId],
        now: UnixMillis,
    ) -> Result<IncidentId, WorkflowError> {
        let mut tx = self.store.write().await?;
        let mut found = Vec::with_capacity(of.len());
        for id in of {
            found.push(alerts::find(&mut tx, *id).await?.ok_or(WorkflowError::NoSuchAlert(*id))?);
        }
        let id = incidents::next_id(&mut tx, year(now)).await?;
        let changes = operate::raise(self.procedure, id, raise, &found.iter().collect::<Vec<_>>())?;
        let events = self.record(&mut tx, actor, changes, now).await?;
        tx.commit().await?;
        self.announce(events);
        Ok(id)
    }

    /// Adds an alert to an open incident.
    ///
    /// # Errors
    /// Refused, either does not exist, or the database fails.
    pub async fn attach(
        &self,
        actor: &Actor,
        incident: IncidentId,
        alert: AlertId,
        now: UnixMillis,
    ) -> Result<(), WorkflowError> {
        let mut tx = self.store.write().await?;
        let incident =
            incidents::find(&mut tx, incident).await?.ok_or(WorkflowError::NoSuchIncident(incident))?;
        let alert = alerts::find(&mut tx, alert).await?.ok_or(WorkflowError::NoSuchAlert(alert))?;
        let changes = operate::attach(&incident, &alert)?;
        let events = self.record(&mut tx, actor, changes, now).await?;
        tx.commit().await?;
        self.announce(events);
        Ok(())
    }

    /// Carries out a command in an incident.
    ///
    /// # Errors
    /// Refused, there is no such incident, or the database fails.
    pub async fn operate(
        &self,
        actor: &Actor,
        incident: IncidentId,
        command: Command,
        now: UnixMillis,
    ) -> Result<(), WorkflowError> {
        let mut tx = self.store.write().await?;
        let incident =
            incidents::find(&mut tx, incident).await?.ok_or(WorkflowError::NoSuchIncident(incident))?;
        let procedure = procedure::shipped(&incident.procedure)
            .ok_or_else(|| WorkflowError::NoSuchProcedure(incident.procedure.clone()))?;
        let changes = operate::operate(procedure, &incident, command)?;
        let events = self.record(&mut tx, actor, changes, now).await?;
        tx.commit().await?;
        self.announce(events);
        Ok(())
    }

    /// Closes an alert that needs no more attention.
    ///
    /// # Errors
    /// Refused, there is no such alert, or the database fails.
    pub async fn close_alert(
        &self,
        actor: &Actor,
        alert: AlertId,
        reason: &str,
        now: UnixMillis,
    ) -> Result<(), WorkflowError> {
        self.change_alert(actor, alert, now, |alert| operate::close_alert(alert, reason)).await
    }

    /// Keeps an alert from bothering anyone before `until`.
    ///
    /// # Errors
    /// Refused, there is no such alert, or the database fails.
    pub async fn silence_alert(
        &self,
        actor: &Actor,
        alert: AlertId,
        until: UnixMillis,
        reason: &str,
        now: UnixMillis,
    ) -> Result<(), WorkflowError> {
        self.change_alert(actor, alert, now, |alert| operate::silence_alert(alert, until, reason, now)).await
    }

    async fn change_alert(
        &self,
        actor: &Actor,
        alert: AlertId,
        now: UnixMillis,
        decide: impl FnOnce(&Alert) -> Result<Vec<Change>, Refused>,
    ) -> Result<(), WorkflowError> {
        let mut tx = self.store.write().await?;
        let alert = alerts::find(&mut tx, alert).await?.ok_or(WorkflowError::NoSuchAlert(alert))?;
        let events = self.record(&mut tx, actor, decide(&alert)?, now).await?;
        tx.commit().await?;
        self.announce(events);
        Ok(())
    }
}

/// The year in which offices in Vietnam (UTC+7) number an incident raised at this time.
fn year(at: UnixMillis) -> i16 {
    jiff::Timestamp::from_millisecond(at.0)
        .map(|at| jiff::tz::Offset::constant(7).to_datetime(at).year())
        .unwrap_or(1970)
}
