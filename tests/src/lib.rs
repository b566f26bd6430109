//! The harness of the tests: real programs, real databases, a link that can be cut.
//!
//! Only tests depend on this crate, and it depends on none of the programs: it runs them, and shares the wire's
//! words with them. Later versions of the agent, for upgrades, are in `stand-ins`.

pub mod browser;
pub mod chance;
pub mod database;
pub mod disk;
pub mod link;
pub mod machine;
pub mod memory_limit;
pub mod namespace;
pub mod program;
pub mod recorder;
pub mod release;
pub mod reporter;
pub mod site;
pub mod truth;
pub mod usage;
pub mod windows;
