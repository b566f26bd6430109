//! Who may connect, publish and subscribe. Decisions only: [`super::hooks`] asks, logs and counts.

use wardwatch_policies::ids::AgentId;
use wardwatch_wire::topic::{Channel, Topic};

use crate::registry::{NotAdmitted, Registry};

/// Why the broker refuses. The text follows "refused: ".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the connection shows no certificate with a usable name and serial number")]
    NoCertificate,
    #[error("the client id is not the name in the certificate")]
    AnotherName,
    #[error("{0}")]
    NotAdmitted(#[from] NotAdmitted),
    #[error("the last will is not for one of the agent's own topics")]
    Will,
    #[error("the topic is another agent's")]
    AnotherAgent,
    #[error("an agent may not publish to its own downlink")]
    OwnDownlink,
    #[error("a share group would take messages away from their agent")]
    ShareGroup,
    #[error("an agent may not use wildcards")]
    Wildcard,
    #[error("the topic is not ASCII")]
    NotAscii,
    #[error("not a topic of this protocol")]
    UnknownTopic,
    #[error("an agent may subscribe to its own downlink only")]
    NotOwnDownlink,
    #[error("the queue to ingest is full; the agent sends again")]
    QueueFull,
    #[error("the packet is larger than any message of this protocol")]
    Oversize,
    #[error("the packet breaks the MQTT protocol")]
    Protocol,
}

impl Refusal {
    /// The label of the metric.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NoCertificate => "no-certificate",
            Self::AnotherName => "another-name",
            Self::NotAdmitted(NotAdmitted::UnknownAgent) => "unknown-agent",
            Self::NotAdmitted(NotAdmitted::UnknownSerial) => "unknown-serial",
            Self::NotAdmitted(NotAdmitted::Pending) => "pending",
            Self::NotAdmitted(NotAdmitted::Removed) => "removed",
            Self::Will => "will",
            Self::AnotherAgent => "another-agent",
            Self::OwnDownlink => "own-downlink",
            Self::ShareGroup => "share-group",
            Self::Wildcard => "wildcard",
            Self::NotAscii => "not-ascii",
            Self::UnknownTopic => "unknown-topic",
            Self::NotOwnDownlink => "not-own-downlink",
            Self::QueueFull => "queue-full",
            Self::Oversize => "oversize",
            Self::Protocol => "protocol",
        }
    }
}

/// What a connection shows of itself, all of it unproved but for the certificate's signature.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    pub client_id: &'a str,
    pub common_name: Option<&'a str>,
    pub serial: Option<&'a str>,
    pub will_topic: Option<&'a str>,
}

/// Whether the connection may be made, and for which agent.
///
/// # Errors
/// Why not.
pub fn connect(shown: Shown<'_>, registry: &Registry) -> Result<AgentId, Refusal> {
    let (Some(name), Some(serial)) = (shown.common_name, shown.serial) else {
        return Err(Refusal::NoCertificate);
    };
    let agent: AgentId = name.parse().map_err(|_| Refusal::NoCertificate)?;
    if shown.client_id != name {
        return Err(Refusal::AnotherName);
    }
    registry.admit(&agent, serial)?;
    // The broker publishes wills without asking again.
    if let Some(topic) = shown.will_topic {
        publish(&agent, topic).map_err(|_| Refusal::Will)?;
    }
    Ok(agent)
}

/// Whether the agent may publish to this topic, and what it carries.
///
/// # Errors
/// Why not.
pub fn publish(agent: &AgentId, topic: &str) -> Result<Channel, Refusal> {
    let topic = own(agent, topic)?;
    if topic.is_published_by_agent() { Ok(topic.channel) } else { Err(Refusal::OwnDownlink) }
}

/// Whether the agent may subscribe to this filter.
///
/// # Errors
/// Why not.
pub fn subscribe(agent: &AgentId, filter: &str) -> Result<(), Refusal> {
    match own(agent, filter)?.channel {
        Channel::Downlink => Ok(()),
        Channel::Reports | Channel::Presence => Err(Refusal::NotOwnDownlink),
    }
}

fn own(agent: &AgentId, text: &str) -> Result<Topic, Refusal> {
    if !text.is_ascii() {
        return Err(Refusal::NotAscii);
    }
    if text.starts_with("$share/") {
        return Err(Refusal::ShareGroup);
    }
    if text.contains(['#', '+']) {
        return Err(Refusal::Wildcard);
    }
    let topic: Topic = text.parse().map_err(|_| Refusal::UnknownTopic)?;
    if topic.agent == *agent { Ok(topic) } else { Err(Refusal::AnotherAgent) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent() -> AgentId {
        "a".parse().unwrap()
    }

    #[test]
    fn an_agent_publishes_only_its_own_reports_and_presence() {
        assert_eq!(publish(&agent(), "wardwatch/v1/agents/a/reports"), Ok(Channel::Reports));
        assert_eq!(publish(&agent(), "wardwatch/v1/agents/a/presence"), Ok(Channel::Presence));
        for (topic, refusal) in [
            ("wardwatch/v1/agents/a/downlink", Refusal::OwnDownlink),
            ("wardwatch/v1/agents/b/reports", Refusal::AnotherAgent),
            ("wardwatch/v1/agents/a/báo-cáo", Refusal::NotAscii),
            ("wardwatch/v1/agents/a/#", Refusal::Wildcard),
            ("$SYS/broker", Refusal::UnknownTopic),
            ("", Refusal::UnknownTopic),
        ] {
            assert_eq!(publish(&agent(), topic), Err(refusal), "{topic}");
        }
    }

    #[test]
    fn an_agent_subscribes_only_to_its_own_downlink() {
        assert_eq!(subscribe(&agent(), "wardwatch/v1/agents/a/downlink"), Ok(()));
        for (filter, refusal) in [
            ("wardwatch/v1/agents/b/downlink", Refusal::AnotherAgent),
            ("wardwatch/v1/agents/a/reports", Refusal::NotOwnDownlink),
            ("wardwatch/v1/agents/+/downlink", Refusal::Wildcard),
            ("#", Refusal::Wildcard),
            ("$share/g/wardwatch/v1/agents/a/downlink", Refusal::ShareGroup),
        ] {
            assert_eq!(subscribe(&agent(), filter), Err(refusal), "{filter}");
        }
    }

    #[test]
    fn a_connection_without_a_usable_certificate_name_is_refused() {
        let shown = Shown { client_id: "a", common_name: Some("a"), serial: Some("1"), will_topic: None };
        let registry = Registry::default();
        assert_eq!(connect(shown, &registry), Err(NotAdmitted::UnknownAgent.into()));
        for broken in [
            Shown { common_name: None, ..shown },
            Shown { serial: None, ..shown },
            Shown { common_name: Some("a/b"), client_id: "a/b", ..shown },
        ] {
            assert_eq!(connect(broken, &registry), Err(Refusal::NoCertificate));
        }
        assert_eq!(connect(Shown { client_id: "b", ..shown }, &registry), Err(Refusal::AnotherName));
    }
}
