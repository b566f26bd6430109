//! The policies that are part of the program.

use std::sync::LazyLock;

use crate::ids::EndpointKind;
use crate::parse;
use crate::policy::Policy;

/// Name and text of each shipped policy.
const TEXTS: [(&str, &str); 2] = [
    ("office-pc-linux", include_str!("../shipped/office-pc-linux.toml")),
    ("camera-recorder", include_str!("../shipped/camera-recorder.toml")),
];

/// All shipped policies, parsed once.
#[must_use]
pub fn all() -> &'static [Policy] {
    static POLICIES: LazyLock<Vec<Policy>> = LazyLock::new(|| {
        // A test parses every text, so none is left out here in a build that passed it.
        TEXTS.iter().filter_map(|(name, text)| parse::parse(name, text).ok()).collect()
    });
    &POLICIES
}

/// The shipped policy of this id.
#[must_use]
pub fn named(id: &str) -> Option<&'static Policy> {
    all().iter().find(|policy| policy.id.as_str() == id)
}

/// The shipped policies that are written for this kind of endpoint.
pub fn for_kind(kind: EndpointKind) -> impl Iterator<Item = &'static Policy> {
    all().iter().filter(move |policy| policy.kinds.contains(&kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_policy_is_valid_and_has_the_id_of_its_file() {
        for (name, text) in TEXTS {
            let policy =
                parse::parse(&format!("{name}.toml"), text).unwrap_or_else(|errors| panic!("{errors}"));
            assert_eq!(policy.id.as_str(), name);
        }
        assert_eq!(all().len(), TEXTS.len());
    }

    #[test]
    fn every_kind_of_endpoint_has_a_policy() {
        for kind in EndpointKind::ALL {
            assert!(for_kind(kind).next().is_some(), "{kind}");
        }
    }
}
