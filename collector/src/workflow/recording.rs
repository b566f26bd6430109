//! The changes of one transaction, folded in memory: what they touch is read once, and written once at the end.
//!
//! A batch of reports may hold thousands of findings about one incident; written one by one, each would cost
//! several round trips and the whole incident again.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::AnyConnection;
use wardwatch_incidents::alert::{Alert, Inconsistent};
use wardwatch_incidents::chain::{self, Head, LogEntry};
use wardwatch_incidents::change::{Actor, AlertId, Change, IncidentId};
use wardwatch_incidents::diagnose::{self, Context, Key, Next, Open};
use wardwatch_incidents::incident::Incident;
use wardwatch_policies::detection::{Detection, Group, Rule, Subject};
use wardwatch_policies::finding::Finding;
use wardwatch_policies::ids::AgentId;
use wardwatch_policies::procedure::{self, Procedure};
use wardwatch_policies::severity::Severity;
use wardwatch_policies::shipped;
use wardwatch_policies::time::UnixMillis;

use super::{Event, year};
use crate::store::endpoints::Endpoint;
use crate::store::{alerts, incidents, log};

/// What follows from findings and commands, not yet written. Dropped without [`Self::finish`], it never was.
pub struct Recording {
    detection: &'static Detection,
    procedure: &'static Procedure,
    now: UnixMillis,
    head: Head,
    entries: Vec<LogEntry>,
    /// Read when something is first found.
    next: Option<Next>,
    alerts: BTreeMap<AlertId, Alert>,
    by_fingerprint: BTreeMap<String, Vec<AlertId>>,
    /// Those of `alerts` that are no longer as they are stored.
    changed: BTreeSet<AlertId>,
    /// Endpoints and fingerprints whose open alerts, where there are any, stand in `alerts`.
    searched: BTreeSet<(AgentId, String)>,
    incidents: BTreeMap<IncidentId, Incident>,
    /// The open incidents that findings of these endpoints and groups join.
    joined: BTreeMap<(AgentId, Group), IncidentId>,
    endpoints: Vec<AgentId>,
}

impl Recording {
    pub(super) async fn begin(
        db: &mut AnyConnection,
        detection: &'static Detection,
        procedure: &'static Procedure,
        now: UnixMillis,
    ) -> Result<Self, sqlx::Error> {
        Ok(Self {
            detection,
            procedure,
            now,
            head: log::head(db).await?,
            entries: Vec::new(),
            next: None,
            alerts: BTreeMap::new(),
            by_fingerprint: BTreeMap::new(),
            changed: BTreeSet::new(),
            searched: BTreeSet::new(),
            incidents: BTreeMap::new(),
            joined: BTreeMap::new(),
            endpoints: Vec::new(),
        })
    }

    /// Where the log ends with what is recorded so far.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.head
    }

    /// Judges what was found about one endpoint, in this order.
    ///
    /// # Errors
    /// The database fails, or the log contradicts itself.
    pub async fn observe(
        &mut self,
        db: &mut AnyConnection,
        endpoint: &Endpoint,
        findings: &[Finding],
    ) -> Result<(), sqlx::Error> {
        let detection = self.detection;
        let matched: Vec<(&Finding, Option<Severity>, &'static Rule)> = findings
            .iter()
            .filter_map(|finding| {
                let check_severity = check_severity(finding);
                let subject = Subject { finding, kind: endpoint.kind, check_severity };
                Some((finding, check_severity, detection.matching(subject)?))
            })
            .collect();
        self.search(db, endpoint, &matched).await?;
        for (finding, check_severity, rule) in matched {
            let context = Context {
                endpoint: &endpoint.id,
                hostname: &endpoint.hostname,
                unit: &endpoint.unit,
                now: self.now,
                check_severity,
                procedure: &self.procedure.id,
            };
            let key = diagnose::key(rule, &context, finding);
            let incident = self.open_incident(db, &endpoint.id, key.group).await?;
            let next = self.next(db).await?;
            let alert = self.open_alert(db, &key).await?;
            let open = Open { alert, incident };
            let changes = diagnose::diagnose(rule, &context, finding, open, next);
            for change in changes {
                if let (Change::IncidentRaised { incident, .. }, Some(group)) = (&change, key.group) {
                    self.joined.insert((endpoint.id.clone(), group.clone()), *incident);
                }
                self.record(db, Actor::Rule(rule.id.clone()), change).await?;
            }
        }
        Ok(())
    }

    /// Takes in a change.
    ///
    /// # Errors
    /// The database fails, or the log contradicts itself.
    pub async fn record(
        &mut self,
        db: &mut AnyConnection,
        actor: Actor,
        change: Change,
    ) -> Result<(), sqlx::Error> {
        let entry = chain::append(self.head, self.now, actor, change);
        self.head = entry.head();
        self.fold(db, &entry).await?;
        self.entries.push(entry);
        Ok(())
    }

    /// Writes everything. The caller commits, and announces what is returned.
    ///
    /// # Errors
    /// The database fails.
    pub async fn finish(self, db: &mut AnyConnection) -> Result<Vec<Event>, sqlx::Error> {
        if self.entries.is_empty() {
            return Ok(Vec::new());
        }
        log::append(db, &self.entries).await?;
        let changed: Vec<&Alert> = self.changed.iter().filter_map(|id| self.alerts.get(id)).collect();
        alerts::keep(db, &changed).await?;
        for incident in self.incidents.values() {
            incidents::keep(db, incident).await?;
        }
        let endpoints = self.endpoints.into_iter().map(Event::Endpoint);
        let alerts = self.changed.into_iter().map(Event::Alert);
        Ok(alerts.chain(self.incidents.into_keys().map(Event::Incident)).chain(endpoints).collect())
    }

    /// Reads the open alerts of all these findings at once.
    async fn search(
        &mut self,
        db: &mut AnyConnection,
        endpoint: &Endpoint,
        matched: &[(&Finding, Option<Severity>, &'static Rule)],
    ) -> Result<(), sqlx::Error> {
        let fingerprints: BTreeSet<String> = matched
            .iter()
            .map(|(finding, ..)| finding.fingerprint())
            .filter(|fingerprint| !self.searched.contains(&(endpoint.id.clone(), fingerprint.clone())))
            .collect();
        let asked: Vec<&str> = fingerprints.iter().map(String::as_str).collect();
        for alert in alerts::open_of_endpoint(db, &endpoint.id, &asked).await? {
            self.hold(alert);
        }
        self.searched.extend(fingerprints.into_iter().map(|text| (endpoint.id.clone(), text)));
        Ok(())
    }

    /// The alert that is not closed and counts findings of this key. What is held here is newer than what is
    /// stored.
    async fn open_alert(
        &mut self,
        db: &mut AnyConnection,
        key: &Key<'_>,
    ) -> Result<Option<&Alert>, sqlx::Error> {
        let held = |recording: &Self| {
            let ids = recording.by_fingerprint.get(&key.fingerprint)?;
            let fits = |alert: &&Alert| {
                !alert.is_closed()
                    && match key.endpoint {
                        Some(endpoint) => alert.endpoint == *endpoint,
                        None => alert.unit == *key.unit,
                    }
            };
            ids.iter().filter_map(|id| recording.alerts.get(id)).find(fits).map(|alert| alert.id)
        };
        let mut found = held(self);
        if found.is_none()
            && key.endpoint.is_none()
            && let Some(alert) = alerts::open_of_unit(db, key.unit, &key.fingerprint).await?
        {
            self.hold(alert);
            found = held(self);
        }
        Ok(found.and_then(|id| self.alerts.get(&id)))
    }

    async fn open_incident(
        &mut self,
        db: &mut AnyConnection,
        endpoint: &AgentId,
        group: Option<&Group>,
    ) -> Result<Option<IncidentId>, sqlx::Error> {
        let Some(group) = group else { return Ok(None) };
        let place = (endpoint.clone(), group.clone());
        if let Some(known) = self.joined.get(&place) {
            return Ok(Some(*known));
        }
        let rules: Vec<_> = self.detection.rules_of_group(group).collect();
        let found = incidents::open_of_endpoint(db, endpoint, &rules).await?;
        if let Some(id) = found {
            self.joined.insert(place, id);
        }
        Ok(found)
    }

    async fn next(&mut self, db: &mut AnyConnection) -> Result<Next, sqlx::Error> {
        if let Some(next) = self.next {
            return Ok(next);
        }
        let next = Next {
            alert: alerts::next_id(db).await?,
            incident: incidents::next_id(db, year(self.now)).await?,
        };
        self.next = Some(next);
        Ok(next)
    }

    fn hold(&mut self, alert: Alert) {
        if self.alerts.contains_key(&alert.id) {
            return;
        }
        self.by_fingerprint.entry(alert.fingerprint.clone()).or_default().push(alert.id);
        self.alerts.insert(alert.id, alert);
    }

    async fn fold(&mut self, db: &mut AnyConnection, entry: &LogEntry) -> Result<(), sqlx::Error> {
        let change = &entry.change;
        if let Some(alert) = Alert::raised(entry.at, change) {
            if let Some(next) = &mut self.next {
                next.alert = AlertId(alert.id.0 + 1);
            }
            self.changed.insert(alert.id);
            self.hold(alert);
        } else {
            for id in self.alerts_touched(db, change).await? {
                if let Some(alert) = self.alerts.remove(&id) {
                    let alert = alert.apply(entry.at, &entry.actor, change).map_err(contradiction)?;
                    self.alerts.insert(id, alert);
                    self.changed.insert(id);
                }
            }
        }
        if let Some(id) = change.incident() {
            self.fold_incident(db, id, entry).await?;
        }
        if let Change::EndpointEnrolled { endpoint, .. }
        | Change::EndpointApproved { endpoint }
        | Change::EndpointRemoved { endpoint, .. }
        | Change::CommandIssued { endpoint, .. } = change
        {
            self.endpoints.push(endpoint.clone());
        }
        Ok(())
    }

    async fn fold_incident(
        &mut self,
        db: &mut AnyConnection,
        id: IncidentId,
        entry: &LogEntry,
    ) -> Result<(), sqlx::Error> {
        let held = match self.incidents.remove(&id) {
            Some(incident) => Some(incident),
            None => incidents::find(db, id).await?,
        };
        let incident = match (held, &entry.change) {
            (Some(incident), change) => {
                Some(incident.apply(entry.at, &entry.actor, change).map_err(contradiction)?)
            }
            (None, change @ Change::IncidentRaised { procedure, .. }) => {
                if let Some(next) = &mut self.next {
                    next.incident.number = id.number + 1;
                }
                procedure::shipped(procedure)
                    .and_then(|procedure| Incident::raised(procedure, entry.at, &entry.actor, change))
            }
            (None, _) => None,
        };
        self.incidents.extend(incident.map(|incident| (id, incident)));
        Ok(())
    }

    /// Loads the alerts that a change concerns; returns their numbers.
    async fn alerts_touched(
        &mut self,
        db: &mut AnyConnection,
        change: &Change,
    ) -> Result<BTreeSet<AlertId>, sqlx::Error> {
        let ids: BTreeSet<AlertId> = match change {
            Change::IncidentRaised { alerts, .. } => alerts.iter().copied().collect(),
            Change::IncidentClosed { incident } => {
                let held = self.alerts.values().filter(|alert| alert.incident == Some(*incident));
                let mut ids: BTreeSet<_> = held.map(|alert| alert.id).collect();
                for alert in alerts::of_incident(db, *incident).await? {
                    ids.insert(alert.id);
                    self.hold(alert);
                }
                ids
            }
            _ => change.alert().into_iter().collect(),
        };
        for id in &ids {
            if !self.alerts.contains_key(id)
                && let Some(alert) = alerts::find(db, *id).await?
            {
                self.hold(alert);
            }
        }
        Ok(ids)
    }
}

fn contradiction(error: Inconsistent) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

/// The severity that a shipped policy gives the check of a finding.
fn check_severity(finding: &Finding) -> Option<Severity> {
    let Finding::Check { policy, check, .. } = finding else { return None };
    Some(shipped::named(policy.as_str())?.check(check)?.severity)
}
