//! What tells a machine from a copy of its disk.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wardwatch_policies::digest::Digest;

/// Digests of what the system and the hardware say of themselves, by where each was read. What could not be
/// read is left out: an ordinary user reads less of the hardware than root.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Machine(BTreeMap<String, Digest>);

impl Machine {
    #[must_use]
    pub fn new(read: impl IntoIterator<Item = (String, Digest)>) -> Self {
        Self(read.into_iter().collect())
    }

    /// Whether both are one machine: whatever was read both times says the same. Machines that say nothing at
    /// all cannot be told apart.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        if self.0.is_empty() && other.0.is_empty() {
            return true;
        }
        let mut both = self.0.iter().filter_map(|(source, digest)| Some((digest, other.0.get(source)?)));
        both.clone().next().is_some() && both.all(|(one, another)| one == another)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(read: &[(&str, &str)]) -> Machine {
        Machine::new(read.iter().map(|(source, text)| ((*source).to_owned(), Digest::of(text.as_bytes()))))
    }

    #[test]
    fn reading_less_as_an_ordinary_user_makes_no_other_machine() {
        let root = machine(&[("id", "a"), ("serial", "1")]);
        assert!(root.is(&machine(&[("id", "a")])) && machine(&[("id", "a")]).is(&root));
    }

    #[test]
    fn one_difference_makes_another_machine() {
        let one = machine(&[("id", "a"), ("serial", "1")]);
        assert!(!one.is(&machine(&[("id", "a"), ("serial", "2")])));
        assert!(!one.is(&machine(&[("id", "b")])));
    }

    #[test]
    fn nothing_in_common_is_not_the_same() {
        assert!(!machine(&[("id", "a")]).is(&machine(&[("serial", "1")])));
        assert!(!machine(&[("id", "a")]).is(&Machine::default()));
        assert!(Machine::default().is(&Machine::default()));
    }
}
