//! `users ...`

use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Value, json};

use super::super::Connection;
use super::Client;

#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum Users {
    /// Make a user; prints the password for the first sign-in
    Create {
        /// 2 to 64 of a-z, 0-9, dot, - and _
        name: String,
        /// As the page shows it
        #[arg(long, default_value = "")]
        display_name: String,
        /// admin or staff
        #[arg(long, default_value = "staff")]
        role: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Give a user a new password for the next sign-in, and end all sessions
    Reset {
        name: String,
        #[command(flatten)]
        connection: Connection,
    },
}

impl Users {
    pub(in crate::cli) async fn run(self) -> Result<ExitCode> {
        match self {
            Self::Create { name, display_name, role, connection } => {
                let client = Client::connect(connection)?;
                let body = json!({ "name": name, "display_name": display_name, "role": role });
                client.show(&client.post("/users", &body).await?)
            }
            Self::Reset { name, connection } => {
                let client = Client::connect(connection)?;
                let name: String = name
                    .chars()
                    .map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' })
                    .collect();
                client.show(&client.post(&format!("/users/{name}/reset"), &Value::Null).await?)
            }
        }
    }
}
