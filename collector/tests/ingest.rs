//! The way of a report with real parts: agents over mutual TLS, the broker, ingest, both databases.

#[path = "ingest/commands.rs"]
mod commands;
#[path = "ingest/contact.rs"]
mod contact;
#[path = "ingest/contents.rs"]
mod contents;
#[path = "ingest/failure.rs"]
mod failure;
#[path = "ingest/office.rs"]
mod office;
#[path = "ingest/refusals.rs"]
mod refusals;
#[path = "ingest/reporter.rs"]
mod reporter;
#[expect(dead_code, reason = "the doors' own tests use the rest")]
#[path = "doors/setup.rs"]
mod setup;
#[path = "ingest/streams.rs"]
mod streams;
#[path = "ingest/upgrades.rs"]
mod upgrades;
#[path = "ingest/words.rs"]
mod words;
