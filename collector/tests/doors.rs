//! The collector's doors with real parts: the broker over mutual TLS, enrolment and programs over HTTPS.

#[path = "doors/broker.rs"]
mod broker;
#[path = "doors/enrolment.rs"]
mod enrolment;
#[path = "doors/programs.rs"]
mod programs;
#[path = "doors/refusals.rs"]
mod refusals;
#[path = "doors/setup.rs"]
mod setup;
