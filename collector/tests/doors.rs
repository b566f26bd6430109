//! The collector's doors with real parts: the broker over mutual TLS, enrolment over HTTPS.

#[path = "doors/broker.rs"]
mod broker;
#[path = "doors/enrolment.rs"]
mod enrolment;
#[path = "doors/refusals.rs"]
mod refusals;
#[path = "doors/setup.rs"]
mod setup;
