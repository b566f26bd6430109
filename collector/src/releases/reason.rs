//! Why a roll-out was stopped. The collector's own reasons are kept as codes, so that each reader is told in their
//! language; what a person wrote is kept as it came.

use std::fmt;

use wardwatch_policies::release::Version;

const CANARY_FAILED: &str = "canary-failed";
const TOO_MANY_FAILED: &str = "too-many-failed";
const SUPERSEDED: &str = "superseded";

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RolloutStop {
    /// Canaries did not take the version, or returned from it.
    CanaryFailed,
    /// After it was widened, too many endpoints did not take the version, or returned from it.
    TooManyFailed,
    /// A roll-out of a higher version to the same group took its place.
    Superseded { rollout: u64, version: Version },
    /// In a person's words.
    Said(String),
}

impl RolloutStop {
    /// Reads what [`fmt::Display`] wrote; all else is a person's words.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text {
            CANARY_FAILED => Self::CanaryFailed,
            TOO_MANY_FAILED => Self::TooManyFailed,
            _ => Self::superseded(text).unwrap_or_else(|| Self::Said(text.to_owned())),
        }
    }

    fn superseded(text: &str) -> Option<Self> {
        let (rollout, version) = text.strip_prefix(SUPERSEDED)?.strip_prefix(':')?.split_once(':')?;
        Some(Self::Superseded { rollout: rollout.parse().ok()?, version: version.parse().ok()? })
    }

    /// As the command line says it.
    #[must_use]
    pub fn english(&self) -> String {
        match self {
            Self::CanaryFailed => "canaries did not take the new version or did not run with it".to_owned(),
            Self::TooManyFailed => {
                "too many endpoints did not take the new version or did not run with it".to_owned()
            }
            Self::Superseded { rollout, version } => {
                format!("roll-out {rollout} to version {version} took its place")
            }
            Self::Said(words) => words.clone(),
        }
    }
}

impl fmt::Display for RolloutStop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CanaryFailed => f.write_str(CANARY_FAILED),
            Self::TooManyFailed => f.write_str(TOO_MANY_FAILED),
            Self::Superseded { rollout, version } => write!(f, "{SUPERSEDED}:{rollout}:{version}"),
            Self::Said(words) => f.write_str(words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_read_as_it_was_kept_and_other_words_are_a_persons() {
        let version = "0.3.0".parse().unwrap();
        for reason in [
            RolloutStop::CanaryFailed,
            RolloutStop::TooManyFailed,
            RolloutStop::Superseded { rollout: 7, version },
            RolloutStop::Said("sai bản".to_owned()),
        ] {
            assert_eq!(RolloutStop::parse(&reason.to_string()), reason);
        }
        for words in ["superseded", "superseded:7", "superseded:x:0.3.0", "superseded:7:new"] {
            assert_eq!(RolloutStop::parse(words), RolloutStop::Said(words.to_owned()));
        }
    }
}
