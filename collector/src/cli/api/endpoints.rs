//! `endpoints ...`, `token ...`, `units ...`

use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Value, json};
use wardwatch_policies::ids::{EndpointKind, UnitId};
use wardwatch_wire::downlink::ActionKind;

use super::super::{Connection, Output};
use super::Client;

#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum Endpoints {
    /// List all endpoints with their last contact
    List {
        #[command(flatten)]
        connection: Connection,
    },
    /// Show one endpoint: host, what is watched, every check
    Show {
        id: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// List the files of an endpoint
    Files {
        id: String,
        /// Part of a path, or a whole digest
        #[arg(long, value_name = "TEXT")]
        search: Option<String>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Let a pending endpoint report
    Approve {
        id: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Ask an endpoint to look at all its files again, trusting nothing it remembers
    Rescan {
        id: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Ask an endpoint to evaluate its policies again
    Recheck {
        id: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Remove an endpoint: its connection is cut, and it is refused from now on
    Remove {
        id: String,
        /// Why
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        connection: Connection,
    },
}

#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum Token {
    /// Make one enrolment string; it is a secret and is shown this once
    Create {
        /// The unit that the endpoint belongs to; `units list` names them
        #[arg(long)]
        unit: UnitId,
        /// office-pc, camera-recorder or server
        #[arg(long)]
        kind: EndpointKind,
        /// How many endpoints may enrol with it; above one, each waits for approval
        #[arg(long, default_value_t = 1, value_name = "N")]
        uses: u64,
        /// Days until it expires
        #[arg(long, default_value_t = 7, value_name = "D", value_parser = clap::value_parser!(u32).range(1..=366))]
        expires: u32,
        #[command(flatten)]
        connection: Connection,
    },
    /// List tokens; their secrets are not kept
    List {
        #[command(flatten)]
        connection: Connection,
    },
    /// Make a token useless; endpoints that it enrolled stay
    Revoke {
        id: u64,
        #[command(flatten)]
        connection: Connection,
    },
}

#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum Units {
    /// List the units that endpoints can belong to
    List {
        #[command(flatten)]
        connection: Connection,
    },
}

impl Endpoints {
    pub(in crate::cli) async fn run(self) -> Result<ExitCode> {
        match self {
            Self::List { connection } => {
                let client = Client::connect(connection)?;
                let rows = client.all("/endpoints", &[]).await?;
                let columns = [
                    ("ID", "/id"),
                    ("HOST", "/hostname"),
                    ("UNIT", "/unit"),
                    ("KIND", "/kind"),
                    ("STATE", "/state"),
                    ("LINK", "/link"),
                    ("LAST SEEN", "/last_seen"),
                    ("FAILED", "/checks_failed"),
                    ("ALERTS", "/open_alerts"),
                ];
                client.list(
                    &rows,
                    &columns,
                    "No endpoint has enrolled yet; `token create` makes a string for one.",
                )
            }
            Self::Show { id, connection } => {
                let client = Client::connect(connection)?;
                client.show(&client.get(&path(&id, ""), &[]).await?)
            }
            Self::Files { id, search, connection } => {
                let client = Client::connect(connection)?;
                let query: Vec<_> = search.into_iter().map(|text| ("search", text)).collect();
                let rows = client.all(&path(&id, "/files"), &query).await?;
                let columns = [
                    ("PATH", "/path"),
                    ("SEEN", "/sighting"),
                    ("KIND", "/kind"),
                    ("SIZE", "/size"),
                    ("BLAKE3", "/digest"),
                ];
                client.list(&rows, &columns, "No such files.")
            }
            Self::Approve { id, connection } => {
                let client = Client::connect(connection)?;
                client.show(&client.post(&path(&id, "/approve"), &Value::Null).await?)
            }
            Self::Rescan { id, connection } => order(&id, ActionKind::Rescan, connection).await,
            Self::Recheck { id, connection } => order(&id, ActionKind::Recheck, connection).await,
            Self::Remove { id, reason, connection } => {
                let client = Client::connect(connection)?;
                client.show(&client.post(&path(&id, "/remove"), &json!({ "reason": reason })).await?)
            }
        }
    }
}

async fn order(id: &str, action: ActionKind, connection: Connection) -> Result<ExitCode> {
    let client = Client::connect(connection)?;
    client.show(&client.post(&path(id, "/commands"), &json!({ "action": action })).await?)
}

/// The path of an endpoint's call. Whatever cannot stand in an id cannot leave its segment of the path either.
fn path(id: &str, call: &str) -> String {
    let id: String =
        id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '.' }).collect();
    format!("/endpoints/{id}{call}")
}

impl Token {
    pub(in crate::cli) async fn run(self) -> Result<ExitCode> {
        match self {
            Self::Create { unit, kind, uses, expires, connection } => {
                let client = Client::connect(connection)?;
                let body =
                    json!({ "unit": unit, "kind": kind, "uses": uses, "expires_in_hours": expires * 24 });
                let made = client.post("/tokens", &body).await?;
                match (client.output, made["string"].as_str()) {
                    // The string alone, so that it can go straight into a file.
                    (Output::Table, Some(string)) => {
                        use std::io::Write;
                        writeln!(std::io::stdout(), "{string}")?;
                        Ok(ExitCode::SUCCESS)
                    }
                    _ => client.show(&made),
                }
            }
            Self::List { connection } => {
                let client = Client::connect(connection)?;
                let mut answer = client.get("/tokens", &[]).await?;
                let columns = [
                    ("ID", "/id"),
                    ("UNIT", "/unit"),
                    ("KIND", "/kind"),
                    ("USES", "/uses"),
                    ("LEFT", "/uses_left"),
                    ("EXPIRES", "/expires"),
                    ("REVOKED", "/revoked"),
                ];
                client.list(&answer["rows"].take(), &columns, "No tokens.")
            }
            Self::Revoke { id, connection } => {
                let client = Client::connect(connection)?;
                client.show(&client.post(&format!("/tokens/{id}/revoke"), &Value::Null).await?)
            }
        }
    }
}

impl Units {
    pub(in crate::cli) async fn run(self) -> Result<ExitCode> {
        let Self::List { connection } = self;
        let client = Client::connect(connection)?;
        let rows = client.get("/units", &[]).await?;
        client.list(&rows, &[("ID", "/id"), ("TÊN", "/name/vi"), ("NAME", "/name/en")], "No units.")
    }
}
