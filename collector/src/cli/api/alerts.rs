//! `alerts ...`

use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Value, json};

use super::super::Connection;
use super::Client;

#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum Alerts {
    /// List alerts, the gravest open ones first
    List {
        /// open, silenced, closed or all
        #[arg(long, default_value = "open", value_name = "STATE")]
        state: String,
        /// Only of this endpoint
        #[arg(long, value_name = "ID")]
        endpoint: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show one alert with what was found and why it matters
    Show {
        id: u64,
        #[command(flatten)]
        connection: Connection,
    },
    /// Close an alert that needs no more attention
    Close {
        id: u64,
        /// Why
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Keep an alert from bothering anyone for a while; it counts on
    Silence {
        id: u64,
        /// For how long
        #[arg(long, default_value_t = 24)]
        hours: u32,
        /// Why
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Make an incident of an alert
    Raise {
        id: u64,
        /// Instead of the alert's own
        #[arg(long)]
        title: Option<String>,
        /// Instead of the alert's own
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
}

impl Alerts {
    pub(in crate::cli) async fn run(self) -> Result<ExitCode> {
        match self {
            Self::List { state, endpoint, connection } => {
                let client = Client::connect(connection)?;
                let mut query = vec![("state", state)];
                query.extend(endpoint.map(|endpoint| ("endpoint", endpoint)));
                let mut rows = client.all("/alerts", &query).await?;
                rows.as_array_mut().into_iter().flatten().for_each(name_subject);
                let columns = [
                    ("ID", "/id"),
                    ("SEVERITY", "/severity"),
                    ("STATE", "/state"),
                    ("ENDPOINT", "/endpoint"),
                    ("HOST", "/hostname"),
                    ("RULE", "/rule"),
                    ("WHAT", "/subject"),
                    ("COUNT", "/count"),
                    ("LAST SEEN", "/last_seen"),
                    ("INCIDENT", "/incident"),
                ];
                client.list(&rows, &columns, "No alerts.")
            }
            Self::Show { id, connection } => {
                let client = Client::connect(connection)?;
                client.show(&client.get(&format!("/alerts/{id}"), &[]).await?)
            }
            Self::Close { id, reason, connection } => {
                let client = Client::connect(connection)?;
                client.show(&client.post(&format!("/alerts/{id}/close"), &json!({ "reason": reason })).await?)
            }
            Self::Silence { id, hours, reason, connection } => {
                let client = Client::connect(connection)?;
                let body = json!({ "reason": reason, "hours": hours });
                client.show(&client.post(&format!("/alerts/{id}/silence"), &body).await?)
            }
            Self::Raise { id, title, reason, connection } => {
                let client = Client::connect(connection)?;
                let body = json!({ "title": title, "reason": reason });
                client.show(&client.post(&format!("/alerts/{id}/raise"), &body).await?)
            }
        }
    }
}

/// What the newest finding is about, in one field: a path, a check, or nothing where the rule says it all.
fn name_subject(alert: &mut Value) {
    let finding = &alert["finding"];
    let subject = ["path", "check", "root", "version"].iter().find_map(|field| finding[field].as_str());
    alert["subject"] = json!(subject);
}
