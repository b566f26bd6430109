//! The page on a real server and a real store.

#[path = "page/alerts.rs"]
mod alerts;
#[path = "page/endpoints.rs"]
mod endpoints;
#[path = "page/incidents.rs"]
mod incidents;
#[path = "page/record.rs"]
mod record;
#[path = "page/releases.rs"]
mod releases;
#[path = "page/signing_in.rs"]
mod signing_in;
#[path = "page/site.rs"]
mod site;
#[path = "page/slow.rs"]
mod slow;
