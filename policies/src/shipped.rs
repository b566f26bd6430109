//! The policies that are part of the program. Each is parsed when it is first asked for: a small machine runs one
//! of them and has no memory to spare for the others.

use std::sync::OnceLock;

use crate::ids::EndpointKind;
use crate::parse;
use crate::policy::Policy;
use crate::system::System;

struct Shipped {
    name: &'static str,
    text: &'static str,
    /// As in the text, so that it need not be parsed to be passed over.
    kinds: &'static [EndpointKind],
    system: System,
    parsed: OnceLock<Option<Policy>>,
}

impl Shipped {
    const fn new(
        name: &'static str,
        text: &'static str,
        kinds: &'static [EndpointKind],
        system: System,
    ) -> Self {
        Self { name, text, kinds, system, parsed: OnceLock::new() }
    }

    fn policy(&self) -> Option<&Policy> {
        // A test parses every text, so none is left out here in a build that passed it.
        self.parsed.get_or_init(|| parse::parse(self.name, self.text).ok()).as_ref()
    }
}

static POLICIES: [Shipped; 3] = [
    Shipped::new(
        "office-pc-linux",
        include_str!("../shipped/office-pc-linux.toml"),
        &[EndpointKind::OfficePc, EndpointKind::Server],
        System::Linux,
    ),
    Shipped::new(
        "office-pc-windows",
        include_str!("../shipped/office-pc-windows.toml"),
        &[EndpointKind::OfficePc, EndpointKind::Server],
        System::Windows,
    ),
    Shipped::new(
        "camera-recorder",
        include_str!("../shipped/camera-recorder.toml"),
        &[EndpointKind::CameraRecorder],
        System::Linux,
    ),
];

/// The ids of all shipped policies.
pub fn names() -> impl Iterator<Item = &'static str> {
    POLICIES.iter().map(|shipped| shipped.name)
}

/// All shipped policies.
pub fn all() -> impl Iterator<Item = &'static Policy> {
    POLICIES.iter().filter_map(Shipped::policy)
}

/// The shipped policy of this id.
#[must_use]
pub fn named(id: &str) -> Option<&'static Policy> {
    POLICIES.iter().find(|shipped| shipped.name == id)?.policy()
}

/// The shipped policies that are written for this kind of endpoint with this system.
pub fn for_endpoint(kind: EndpointKind, system: System) -> impl Iterator<Item = &'static Policy> {
    POLICIES
        .iter()
        .filter(move |shipped| shipped.system == system && shipped.kinds.contains(&kind))
        .filter_map(Shipped::policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_policy_is_valid_and_is_what_its_entry_says() {
        for shipped in &POLICIES {
            let policy = parse::parse(&format!("{}.toml", shipped.name), shipped.text)
                .unwrap_or_else(|errors| panic!("{errors}"));
            assert_eq!(policy.id.as_str(), shipped.name);
            assert_eq!(policy.kinds, shipped.kinds, "{}", shipped.name);
            assert_eq!(policy.system, Some(shipped.system), "{}", shipped.name);
        }
        assert_eq!(all().count(), POLICIES.len());
    }

    #[test]
    fn every_kind_of_endpoint_has_the_policy_of_its_system() {
        let names =
            |kind, system| for_endpoint(kind, system).map(|policy| policy.id.to_string()).collect::<Vec<_>>();
        for kind in [EndpointKind::OfficePc, EndpointKind::Server] {
            assert_eq!(names(kind, System::Linux), ["office-pc-linux"]);
            assert_eq!(names(kind, System::Windows), ["office-pc-windows"]);
        }
        assert_eq!(names(EndpointKind::CameraRecorder, System::Linux), ["camera-recorder"]);
    }
}
