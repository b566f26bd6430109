//! Which of an endpoint's agent processes is heard: tells a restart from a replayed heartbeat, and both from
//! a second machine with the same identity. Pure.

use wardwatch_wire::report::InstanceId;

/// Processes remembered for each endpoint.
const REMEMBERED: usize = 8;

/// What a heartbeat tells by the process that sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contact {
    /// The process heard last, further on.
    Same,
    /// A process not heard before: the agent was started again.
    Started,
    /// A process that another had replaced is running still: two machines use one identity.
    Returned,
    /// Not further on than when it was last heard: an old message, sent again by someone.
    Replayed,
}

/// Judges a heartbeat of `instance` at `uptime_ms`, and notes it in `heard` (oldest first) unless it is a
/// replay.
///
/// A replay is told from a second machine by the uptime, which within one process only rises.
pub(super) fn note(heard: &mut Vec<(InstanceId, u64)>, instance: InstanceId, uptime_ms: u64) -> Contact {
    let contact = match heard.iter().position(|(known, _)| *known == instance) {
        Some(at) if heard[at].1 >= uptime_ms => return Contact::Replayed,
        Some(at) => {
            let contact = if at + 1 == heard.len() { Contact::Same } else { Contact::Returned };
            heard.remove(at);
            contact
        }
        None => Contact::Started,
    };
    heard.push((instance, uptime_ms));
    if heard.len() > REMEMBERED {
        heard.remove(0);
    }
    contact
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: InstanceId = InstanceId([1; 16]);
    const B: InstanceId = InstanceId([2; 16]);

    #[test]
    fn a_restart_is_no_clone() {
        let mut heard = Vec::new();
        assert_eq!(note(&mut heard, A, 10), Contact::Started);
        assert_eq!(note(&mut heard, A, 20), Contact::Same);
        assert_eq!(note(&mut heard, B, 5), Contact::Started);
        assert_eq!(note(&mut heard, B, 6), Contact::Same);
    }

    #[test]
    fn two_processes_in_turn_are_a_clone() {
        let mut heard = vec![(A, 10), (B, 5)];
        assert_eq!(note(&mut heard, A, 30), Contact::Returned);
        assert_eq!(note(&mut heard, B, 6), Contact::Returned);
    }

    #[test]
    fn an_old_heartbeat_sent_again_is_no_sign_of_life() {
        let mut heard = vec![(A, 10), (B, 5)];
        assert_eq!(note(&mut heard, A, 10), Contact::Replayed);
        assert_eq!(note(&mut heard, B, 4), Contact::Replayed);
        assert_eq!(heard, [(A, 10), (B, 5)]);
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut heard = Vec::new();
        for n in 0..50 {
            note(&mut heard, InstanceId([n; 16]), 1);
        }
        assert_eq!(heard.len(), REMEMBERED);
    }
}
