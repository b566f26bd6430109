//! From findings and people's commands to changes in the record: the one place where the pure incident
//! procedure meets the store.
//!
//! Every change is appended to the hash-chained log, and what it means for alerts and incidents is kept in the
//! same transaction. Neighbours: ingest and the fleet watch bring findings, page and command line bring
//! commands; all of them hear of changes through [`Workflow::subscribe`].

use std::collections::BTreeMap;

use sqlx::AnyConnection;
use tokio::sync::broadcast;
use wardwatch_incidents::alert::{Alert, Inconsistent};
use wardwatch_incidents::chain::{self, LogEntry};
use wardwatch_incidents::change::{Actor, AlertId, Change, IncidentId};
use wardwatch_incidents::diagnose::{self, Context, Next, Open};
use wardwatch_incidents::incident::Incident;
use wardwatch_incidents::operate::{self, Command, Raise, Refused};
use wardwatch_policies::detection::{self, Detection, Subject};
use wardwatch_policies::finding::Finding;
use wardwatch_policies::ids::{AgentId, ProcedureId};
use wardwatch_policies::procedure::{self, Procedure};
use wardwatch_policies::severity::Severity;
use wardwatch_policies::time::UnixMillis;

use crate::store::endpoints::Endpoint;
use crate::store::{Store, alerts, incidents, log};

/// Events kept for a listener that is slow; one that is slower still is told that it missed some.
const EVENTS: usize = 1024;

/// Something that a list or a page shows has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Alert(AlertId),
    Incident(IncidentId),
    Endpoint(AgentId),
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

    /// Judges a finding within a transaction. The caller commits, and announces what is returned.
    ///
    /// # Errors
    /// The database fails, or holds what this program did not write.
    pub async fn observe(
        &self,
        db: &mut AnyConnection,
        endpoint: &Endpoint,
        finding: &Finding,
        now: UnixMillis,
    ) -> Result<Vec<Event>, sqlx::Error> {
        let check_severity = check_severity(finding);
        let subject = Subject { finding, kind: endpoint.kind, check_severity };
        let Some(rule) = self.detection.matching(subject) else { return Ok(Vec::new()) };
        let context = Context {
            endpoint: &endpoint.id,
            hostname: &endpoint.hostname,
            unit: &endpoint.unit,
            now,
            check_severity,
            procedure: &self.procedure.id,
        };
        let key = diagnose::key(rule, &context, finding);
        let alert = alerts::open(db, &key).await?;
        let incident = match key.group {
            Some(group) => {
                let rules: Vec<_> = self.detection.rules_of_group(group).collect();
                incidents::open_of_endpoint(db, &endpoint.id, &rules).await?
            }
            None => None,
        };
        let next =
            Next { alert: alerts::next_id(db).await?, incident: incidents::next_id(db, year(now)).await? };
        let open = Open { alert: alert.as_ref(), incident };
        let changes = diagnose::diagnose(rule, &context, finding, open, next);
        self.record(db, &Actor::Rule(rule.id.clone()), changes, now).await
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
        let mut head = log::head(db).await?;
        let mut standing = Standing::default();
        for change in changes {
            let entry = chain::append(head, now, actor.clone(), change);
            log::append(db, &entry).await?;
            head = entry.head();
            standing.take(db, &entry).await?;
        }
        standing.keep(db).await
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

/// Alerts and incidents that new entries touch, loaded once and written back once.
#[derive(Default)]
struct Standing {
    alerts: BTreeMap<AlertId, Alert>,
    incidents: BTreeMap<IncidentId, Incident>,
    endpoints: Vec<AgentId>,
}

impl Standing {
    async fn take(&mut self, db: &mut AnyConnection, entry: &LogEntry) -> Result<(), sqlx::Error> {
        let change = &entry.change;
        if let Some(alert) = Alert::raised(entry.at, change) {
            self.alerts.insert(alert.id, alert);
        } else {
            for id in self.alerts_touched(db, change).await? {
                if let Some(alert) = self.alerts.remove(&id) {
                    let alert = alert.apply(entry.at, &entry.actor, change).map_err(contradiction)?;
                    self.alerts.insert(id, alert);
                }
            }
        }
        if let Some(id) = change.incident() {
            let incident = match self.incidents.remove(&id) {
                Some(incident) => Some(incident),
                None => incidents::find(db, id).await?,
            };
            let incident = match (incident, change) {
                (Some(incident), _) => {
                    Some(incident.apply(entry.at, &entry.actor, change).map_err(contradiction)?)
                }
                (None, Change::IncidentRaised { procedure, .. }) => procedure::shipped(procedure)
                    .and_then(|procedure| Incident::raised(procedure, entry.at, &entry.actor, change)),
                (None, _) => None,
            };
            self.incidents.extend(incident.map(|incident| (id, incident)));
        }
        if let Change::EndpointEnrolled { endpoint, .. }
        | Change::EndpointApproved { endpoint }
        | Change::EndpointRemoved { endpoint, .. } = change
        {
            self.endpoints.push(endpoint.clone());
        }
        Ok(())
    }

    /// Loads the alerts that a change concerns; returns their numbers.
    async fn alerts_touched(
        &mut self,
        db: &mut AnyConnection,
        change: &Change,
    ) -> Result<Vec<AlertId>, sqlx::Error> {
        let ids = match change {
            Change::IncidentRaised { alerts, .. } => alerts.clone(),
            Change::IncidentClosed { incident } => {
                alerts::of_incident(db, *incident).await?.iter().map(|alert| alert.id).collect()
            }
            _ => change.alert().into_iter().collect(),
        };
        for id in &ids {
            if !self.alerts.contains_key(id)
                && let Some(alert) = alerts::find(db, *id).await?
            {
                self.alerts.insert(*id, alert);
            }
        }
        Ok(ids)
    }

    async fn keep(self, db: &mut AnyConnection) -> Result<Vec<Event>, sqlx::Error> {
        for alert in self.alerts.values() {
            alerts::keep(db, alert).await?;
        }
        for incident in self.incidents.values() {
            incidents::keep(db, incident).await?;
        }
        let endpoints = self.endpoints.into_iter().map(Event::Endpoint);
        let alerts = self.alerts.into_keys().map(Event::Alert);
        Ok(alerts.chain(self.incidents.into_keys().map(Event::Incident)).chain(endpoints).collect())
    }
}

fn contradiction(error: Inconsistent) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

/// The severity that a shipped policy gives the check of a finding.
fn check_severity(_finding: &Finding) -> Option<Severity> {
    None
}

/// The year in which offices in Vietnam (UTC+7) number an incident raised at this time.
fn year(at: UnixMillis) -> i16 {
    jiff::Timestamp::from_millisecond(at.0)
        .map(|at| jiff::tz::Offset::constant(7).to_datetime(at).year())
        .unwrap_or(1970)
}
