//! Alerts and incidents as the whole log tells them, to hold against what the tables say. Pure.

use std::collections::{BTreeMap, BTreeSet};

use wardwatch_incidents::alert::{Alert, Inconsistent};
use wardwatch_incidents::chain::LogEntry;
use wardwatch_incidents::change::{AlertId, Change, IncidentId};
use wardwatch_incidents::incident::Incident;
use wardwatch_policies::procedure;

/// Everything that entries told so far.
#[derive(Default)]
pub(super) struct Replay {
    pub(super) alerts: BTreeMap<AlertId, Alert>,
    pub(super) incidents: BTreeMap<IncidentId, Incident>,
}

impl Replay {
    /// Takes the next entry.
    ///
    /// # Errors
    /// The entry cannot have happened after those before it.
    pub(super) fn take(&mut self, entry: &LogEntry) -> Result<(), Inconsistent> {
        let LogEntry { at, actor, change, .. } = entry;
        if let Some(alert) = Alert::raised(*at, change)
            && !self.alerts.contains_key(&alert.id)
        {
            self.alerts.insert(alert.id, alert);
        } else {
            for id in self.alerts_touched(change) {
                if let Some(alert) = self.alerts.remove(&id) {
                    self.alerts.insert(id, alert.apply(*at, actor, change)?);
                }
            }
        }
        let Some(id) = change.incident() else { return Ok(()) };
        let incident = match (self.incidents.remove(&id), change) {
            (Some(incident), _) => Some(incident.apply(*at, actor, change)?),
            (None, Change::IncidentRaised { procedure, .. }) => procedure::shipped(procedure)
                .and_then(|procedure| Incident::raised(procedure, *at, actor, change)),
            (None, _) => None,
        };
        self.incidents.extend(incident.map(|incident| (id, incident)));
        Ok(())
    }

    fn alerts_touched(&self, change: &Change) -> BTreeSet<AlertId> {
        match change {
            Change::IncidentRaised { alerts, .. } => alerts.iter().copied().collect(),
            Change::IncidentClosed { incident } => {
                self.incidents.get(incident).map(|incident| incident.alerts.clone()).unwrap_or_default()
            }
            _ => change.alert().into_iter().collect(),
        }
    }
}
