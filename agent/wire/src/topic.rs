//! MQTT topics, built and parsed by one type.

use std::fmt;
use std::str::FromStr;

use wardwatch_policies::ids::AgentId;

const PREFIX: &str = "wardwatch/v1/agents/";

/// What a topic of an agent carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// Reports and heartbeats, agent to collector.
    Reports,
    /// Acks, assignments and commands, collector to agent.
    Downlink,
    /// `online` or `offline` as the broker saw it: a hint only, since it is not signed.
    Presence,
}

impl Channel {
    pub const ALL: [Self; 3] = [Self::Reports, Self::Downlink, Self::Presence];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Reports => "reports",
            Self::Downlink => "downlink",
            Self::Presence => "presence",
        }
    }
}

/// One channel of one agent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Topic {
    pub agent: AgentId,
    pub channel: Channel,
}

impl Topic {
    #[must_use]
    pub const fn new(agent: AgentId, channel: Channel) -> Self {
        Self { agent, channel }
    }

    /// Whether the agent itself may publish here.
    #[must_use]
    pub const fn is_published_by_agent(&self) -> bool {
        matches!(self.channel, Channel::Reports | Channel::Presence)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}/{}", self.agent, self.channel.as_str())
    }
}

/// Not a topic of this protocol: another prefix, a wildcard, a share group, or an unknown channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a topic of this protocol; the form is {PREFIX}AGENT/reports, /downlink or /presence")]
pub struct InvalidTopic(String);

impl FromStr for Topic {
    type Err = InvalidTopic;

    fn from_str(text: &str) -> Result<Self, InvalidTopic> {
        let parse = || {
            let (agent, channel) = text.strip_prefix(PREFIX)?.split_once('/')?;
            let channel = Channel::ALL.into_iter().find(|known| known.as_str() == channel)?;
            Some(Self { agent: agent.parse().ok()?, channel })
        };
        parse().ok_or_else(|| InvalidTopic(text.chars().take(120).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn topics_round_trip(agent in "[A-Za-z0-9_-]{1,64}", channel in 0usize..3) {
            let topic = Topic::new(agent.parse().unwrap(), Channel::ALL[channel]);
            prop_assert_eq!(topic.to_string().parse(), Ok(topic));
        }

        #[test]
        fn whatever_parses_prints_the_same(text in "(wardwatch/v1/agents/)?[a-z+#/$]{0,12}/(reports|downlink|#|\\+)") {
            if let Ok(topic) = text.parse::<Topic>() {
                prop_assert_eq!(topic.to_string(), text);
            }
        }
    }

    #[test]
    fn wildcards_share_groups_and_strange_channels_are_no_topics() {
        for text in [
            "#",
            "wardwatch/v1/agents/+/reports",
            "wardwatch/v1/agents/#",
            "$share/g/wardwatch/v1/agents/a/reports",
            "wardwatch/v1/agents/a/reports/",
            "wardwatch/v1/agents/a/other",
            "wardwatch/v1/agents/máy/reports",
            "wardwatch/v2/agents/a/reports",
        ] {
            assert!(text.parse::<Topic>().is_err(), "{text}");
        }
    }
}
