//! From findings to incidents, and through the response procedure.
//!
//! This crate is pure: findings and operator commands go in, changes come out, and the state of an alert or
//! an incident is a fold over its changes. It stores nothing, sends nothing and reads no clock. Neighbours:
//! `wardwatch-policies` gives procedures and detection rules, the collector's workflow stores the changes.

pub mod alert;
pub mod chain;
pub mod change;

pub mod diagnose;
pub mod incident;
pub mod operate;
pub mod view;
