//! Reports that came before their predecessors wait here, within bounds. Pure; nothing parked is
//! acknowledged, so what does not fit is sent again by its agent.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use wardwatch_policies::ids::AgentId;
use wardwatch_wire::report::StreamId;

use super::verify::SignedReport;

/// Reports that may wait for one agent.
const REPORTS_PER_AGENT: usize = 64;
/// Bytes that may wait for all agents together.
const BYTES: usize = 64 * 1024 * 1024;

/// The waiting reports.
#[derive(Default)]
pub(super) struct Parking {
    agents: HashMap<AgentId, BTreeMap<(StreamId, u64), Arc<SignedReport>>>,
    bytes: usize,
}

impl Parking {
    /// Lets a report wait. Returns whether there was room.
    pub(super) fn park(&mut self, agent: &AgentId, report: Arc<SignedReport>) -> bool {
        let waiting = self.agents.entry(agent.clone()).or_default();
        let key = (report.report.position.stream, report.report.position.seq);
        if waiting.contains_key(&key) {
            return true;
        }
        if waiting.len() >= REPORTS_PER_AGENT || self.bytes + report.size > BYTES {
            return false;
        }
        self.bytes += report.size;
        waiting.insert(key, report);
        true
    }

    /// Takes out the report that is next in its stream, if it waits. Whatever waits before it or in another
    /// stream is let go.
    pub(super) fn take_next(
        &mut self,
        agent: &AgentId,
        stream: StreamId,
        seq: u64,
    ) -> Option<Arc<SignedReport>> {
        let waiting = self.agents.get_mut(agent)?;
        let before: usize = waiting.values().map(|report| report.size).sum();
        waiting.retain(|(waits_in, number), _| *waits_in == stream && *number >= seq);
        let next = waiting.remove(&(stream, seq));
        self.bytes -= before - waiting.values().map(|report| report.size).sum::<usize>();
        if waiting.is_empty() {
            self.agents.remove(agent);
        }
        next
    }

    /// Whether any report of this agent waits.
    pub(super) fn has_waiting(&self, agent: &AgentId) -> bool {
        self.agents.contains_key(agent)
    }
}
