//! Messages on their way into a transaction. Each agent has a share of it, so that one that floods delays
//! itself and not the others, and no transaction keeps the database long.

use std::collections::BTreeMap;

use tokio::sync::{mpsc, watch};
use wardwatch_policies::ids::AgentId;
use wardwatch_wire::envelope::MAX_BYTES;

use super::refused;
use crate::broker::Inbound;
use crate::stopping::until;

/// Messages of one transaction.
const BATCH: usize = 256;
/// Bytes of one agent in one transaction; a single message always fits.
const SHARE: usize = MAX_BYTES;
/// Messages of one agent that may wait. A true agent has at most 64 reports on their way, and sends again
/// whatever is let go here.
const PER_AGENT: usize = 192;
/// Messages that may wait altogether.
const ALL: usize = 1024;

#[derive(Default)]
pub(super) struct Waiting {
    messages: Vec<Inbound>,
    of_agent: BTreeMap<AgentId, usize>,
}

impl Waiting {
    /// Takes in what has come, and waits only if there is nothing at all; `false` when there is no more to do.
    pub(super) async fn fill(
        &mut self,
        inbound: &mut mpsc::Receiver<Inbound>,
        stopped: &watch::Receiver<bool>,
    ) -> bool {
        if self.messages.is_empty() {
            let first = tokio::select! {
                first = inbound.recv() => first,
                () = until(stopped.clone()) => None,
            };
            let Some(first) = first else { return false };
            self.add(first);
        }
        while self.messages.len() < ALL
            && let Ok(message) = inbound.try_recv()
        {
            self.add(message);
        }
        !*stopped.borrow()
    }

    fn add(&mut self, message: Inbound) {
        let waiting = self.of_agent.entry(message.agent.clone()).or_default();
        if *waiting >= PER_AGENT {
            refused(&message.agent, "flood", "the endpoint sends faster than its reports can be committed");
            return;
        }
        *waiting += 1;
        self.messages.push(message);
    }

    /// The messages of the next transaction, each agent's in the order they came.
    pub(super) fn take(&mut self) -> Vec<Inbound> {
        let mut bytes: BTreeMap<AgentId, usize> = BTreeMap::new();
        let mut count = 0;
        let (next, later) = std::mem::take(&mut self.messages).into_iter().partition(|message| {
            // Counted for those that wait too: none overtakes another of its agent.
            let taken = bytes.entry(message.agent.clone()).or_default();
            let fits = *taken == 0 || *taken + message.payload.len() <= SHARE;
            *taken += message.payload.len();
            count += usize::from(fits);
            fits && count <= BATCH
        });
        self.messages = later;
        self.of_agent.clear();
        for message in &self.messages {
            *self.of_agent.entry(message.agent.clone()).or_default() += 1;
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(agent: &str, bytes: usize) -> Inbound {
        Inbound { agent: agent.parse().unwrap(), payload: vec![0; bytes].into() }
    }

    #[test]
    fn one_that_floods_delays_itself_and_not_the_others() {
        let mut waiting = Waiting::default();
        (0..PER_AGENT + 9).for_each(|_| waiting.add(message("flood", SHARE - 1)));
        waiting.add(message("quiet", 500));
        assert_eq!(waiting.messages.len(), PER_AGENT + 1);
        let agents = |messages: Vec<Inbound>| -> Vec<String> {
            messages.into_iter().map(|message| message.agent.to_string()).collect()
        };
        assert_eq!(agents(waiting.take()), ["flood", "quiet"]);
        assert_eq!(agents(waiting.take()), ["flood"]);
    }

    #[test]
    fn messages_of_one_agent_keep_their_order() {
        let mut waiting = Waiting::default();
        let sizes = [100, SHARE, 1, 2];
        sizes.iter().for_each(|size| waiting.add(message("a", *size)));
        let mut order = Vec::new();
        while !waiting.messages.is_empty() {
            order.extend(waiting.take().iter().map(|message| message.payload.len()));
        }
        assert_eq!(order, sizes);
    }
}
