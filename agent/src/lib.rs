//! The agent: sees files and settings of one machine and reports what changes to its collector.
//!
//! Sensors return values, `cycle` turns them into reports, the outbox keeps them on disk and the uplink moves
//! them. Nothing here decides whether a change is good or bad: that is the collector's work. `platform` is the
//! only module that knows which system it runs on.

pub mod cache;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod cycle;
mod database;
pub mod enrol;
pub mod form;
pub mod handover;
pub mod https;
pub mod outbox;
pub mod platform;
pub mod random;
pub mod respond;
pub mod scan;
pub mod sensor;
pub mod service;
pub mod state;
pub mod status;
pub mod tls;
pub mod upgrade;
pub mod uplink;
