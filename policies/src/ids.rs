//! Every identifier its own type, parsed once at the edge.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The text does not have the form of the identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not {what}; use {remedy}")]
pub struct InvalidId {
    what: &'static str,
    remedy: &'static str,
    text: String,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $remedy:literal, $accepts:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let accepts: fn(&str) -> bool = $accepts;
                if accepts(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(InvalidId { what: $what, remedy: $remedy, text: text.chars().take(80).collect() })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn is_slug(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

text_id!(
    /// One agent, and the endpoint it runs on. Also the certificate's common name and the MQTT client id.
    AgentId, "an agent id", "1 to 64 of A-Z, a-z, 0-9, _ and -",
    |text| (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
);
text_id!(
    /// An office, ward or commune of the unit directory.
    UnitId, "a unit id", "1 to 64 of a-z, 0-9 and -, without - at either end", is_slug
);
text_id!(
    /// A policy: one file of checks.
    PolicyId, "a policy id", "1 to 64 of a-z, 0-9 and -, without - at either end", is_slug
);
text_id!(
    /// One check within its policy.
    CheckId, "a check id", "1 to 64 of a-z, 0-9 and -, without - at either end", is_slug
);
text_id!(
    /// A detection rule.
    RuleId, "a rule id", "1 to 64 of a-z, 0-9 and -, without - at either end", is_slug
);
text_id!(
    /// A response procedure.
    ProcedureId, "a procedure id", "1 to 64 of a-z, 0-9 and -, without - at either end", is_slug
);
text_id!(
    /// A step of a response procedure: its phase in Roman numerals and its number, as in `III.3`.
    StepId, "a step id", "a phase in Roman numerals, a dot and a number, as in III.3",
    |text| text.split_once('.').is_some_and(|(phase, number)| {
        (1..=8).contains(&phase.len())
            && phase.bytes().all(|b| b"IVX".contains(&b))
            && (1..=3).contains(&number.len())
            && number.bytes().all(|b| b.is_ascii_digit())
    })
);

/// What kind of machine an endpoint is; it decides which shipped policy it runs and when its silence alarms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndpointKind {
    OfficePc,
    CameraRecorder,
    Server,
}

impl EndpointKind {
    pub const ALL: [Self; 3] = [Self::OfficePc, Self::CameraRecorder, Self::Server];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OfficePc => "office-pc",
            Self::CameraRecorder => "camera-recorder",
            Self::Server => "server",
        }
    }
}

impl fmt::Display for EndpointKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EndpointKind {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(|| InvalidId {
            what: "a kind of endpoint",
            remedy: "office-pc, camera-recorder or server",
            text: text.chars().take(80).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agent_ids_hold_to_the_characters_a_topic_and_a_common_name_allow() {
        assert!("ward_3-PC01".parse::<AgentId>().is_ok());
        for text in ["", "a/b", "+", "#", "máy", "a b", &"a".repeat(65)] {
            assert!(text.parse::<AgentId>().is_err(), "{text}");
        }
    }

    #[test]
    fn step_ids_name_a_phase_and_a_number() {
        assert!("III.3".parse::<StepId>().is_ok());
        for text in ["", "3.3", "III", "III.", ".3", "III.3.1", "iii.3"] {
            assert!(text.parse::<StepId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_refusal_names_the_text_and_the_remedy() {
        assert_eq!(
            "Phường 1".parse::<UnitId>().unwrap_err().to_string(),
            "\"Phường 1\" is not a unit id; use 1 to 64 of a-z, 0-9 and -, without - at either end"
        );
    }
}
