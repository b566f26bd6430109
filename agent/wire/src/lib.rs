//! The reporting protocol: all that agent and collector share on the wire.
//!
//! This crate is pure: topics, messages and the signed envelope they travel in, with the rules that decide
//! what a stream of reports and a downlink accept. It opens no connection and reads no clock. Neighbours:
//! the agent's uplink and the collector's ingest move these bytes; `wardwatch-policies` gives the words.

pub mod downlink;
pub mod enrolment;
pub mod envelope;
pub mod release;
pub mod report;
pub mod stream;
pub mod topic;
