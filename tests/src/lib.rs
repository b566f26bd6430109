//! The harness of the tests: real programs, real databases, a link that can be cut.
//!
//! Only tests depend on this crate, and it depends on none of the programs: it runs them, and shares the wire's
//! words with them.

pub mod browser;
pub mod database;
pub mod link;
pub mod program;
pub mod reporter;
pub mod site;
