//! The collector: takes signed reports from agents, raises alerts and incidents from them, and leads people
//! through the city's response steps. The pure parts are `wardwatch-wire` and `wardwatch-incidents`; here is
//! the shell of network, store and page around them.

pub mod addresses;
pub mod admin;
pub mod api;
pub mod authority;
pub mod bodies;
pub mod broker;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connections;
pub mod decode;
pub mod enrol;
pub mod fleet;
pub mod ingest;
pub mod logging;
pub mod places;
pub mod registry;
pub mod releases;
pub mod service;
pub mod silence;
pub mod stopping;
pub mod store;
pub mod web;
pub mod witness;
pub mod workflow;
