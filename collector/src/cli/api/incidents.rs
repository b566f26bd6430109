//! `incidents ...`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use wardwatch_incidents::change::IncidentId;
use wardwatch_policies::ids::StepId;

use super::super::{Connection, Output, show};
use super::Client;
use crate::store::evidence::MAX_BYTES;

#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum Incidents {
    /// List incidents, open ones first
    List {
        /// Only those that are not closed
        #[arg(long)]
        open: bool,
        #[command(flatten)]
        connection: Connection,
    },
    /// Show one incident with all its steps
    Show {
        id: IncidentId,
        #[command(flatten)]
        connection: Connection,
    },
    /// Raise an incident from what somebody told
    Raise {
        #[arg(long)]
        title: String,
        /// low, medium, high or critical
        #[arg(long, default_value = "medium")]
        severity: String,
        /// What was told, by whom
        #[arg(long)]
        reason: String,
        /// An alert that belongs to it; may be given more than once
        #[arg(long = "alert", value_name = "ID")]
        alerts: Vec<u64>,
        #[command(flatten)]
        connection: Connection,
    },
    /// Add an alert to an open incident
    Attach {
        id: IncidentId,
        /// The alert's number
        alert: u64,
        #[command(flatten)]
        connection: Connection,
    },
    /// Record whether the incident is serious in the plan's sense
    Assess {
        id: IncidentId,
        #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(["yes", "no"]), value_name = "yes|no")]
        serious: String,
        /// By which criteria
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// Complete a step, mark it as not applicable, or take that back
    Step(Step),
}

#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(in crate::cli) struct Step {
    id: IncidentId,
    /// As in III.3
    step: StepId,
    /// The step is done
    #[arg(long, group = "what")]
    done: bool,
    /// The step does not apply; the note says why
    #[arg(long, group = "what")]
    not_applicable: bool,
    /// Take back that the step was done or not applicable; the note says why
    #[arg(long, group = "what")]
    reopen: bool,
    /// What was done, or why not
    #[arg(long, default_value = "", value_name = "T")]
    note: String,
    /// A file to keep as evidence; may be given more than once
    #[arg(long, value_name = "FILE")]
    evidence: Vec<PathBuf>,
    /// An alert of this incident whose finding is the evidence; may be given more than once
    #[arg(long = "finding", value_name = "ALERT")]
    findings: Vec<u64>,
    /// How an examination came out
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(["pass", "fail"]), value_name = "pass|fail")]
    result: Option<String>,
    /// After a failed examination: a step of the new round; all that the plan names if none is given
    #[arg(long, value_name = "STEP")]
    repeat: Vec<StepId>,
    #[command(flatten)]
    connection: Connection,
}

const STEP_COLUMNS: [(&str, &str); 8] = [
    ("STEP", "/step"),
    ("STATE", "/state"),
    ("ROUND", "/round"),
    ("RESULT", "/outcome"),
    ("NEXT", "/next"),
    ("NAME", "/name/vi"),
    ("LEAD", "/lead"),
    ("SUPPORT", "/support"),
];

impl Incidents {
    pub(in crate::cli) async fn run(self) -> Result<ExitCode> {
        match self {
            Self::List { open, connection } => {
                let client = Client::connect(connection)?;
                let rows = client.all("/incidents", &[("open", open.to_string())]).await?;
                let columns = [
                    ("ID", "/id"),
                    ("SEVERITY", "/severity"),
                    ("OPEN", "/open"),
                    ("ROUND", "/round"),
                    ("RAISED", "/raised"),
                    ("TITLE", "/title/vi"),
                ];
                client.list(&rows, &columns, "No incidents.")
            }
            Self::Show { id, connection } => {
                let client = Client::connect(connection)?;
                let incident = client.get(&format!("/incidents/{id}"), &[]).await?;
                print(&client, incident)
            }
            Self::Raise { title, severity, reason, alerts, connection } => {
                let client = Client::connect(connection)?;
                let body =
                    json!({ "title": title, "severity": severity, "reason": reason, "alerts": alerts });
                let incident = client.post("/incidents", &body).await?;
                print(&client, incident)
            }
            Self::Attach { id, alert, connection } => {
                let client = Client::connect(connection)?;
                let incident = client.post(&format!("/incidents/{id}/alerts/{alert}"), &Value::Null).await?;
                print(&client, incident)
            }
            Self::Assess { id, serious, reason, connection } => {
                let client = Client::connect(connection)?;
                let body = json!({ "serious": serious == "yes", "reason": reason });
                let incident = client.post(&format!("/incidents/{id}/seriousness"), &body).await?;
                print(&client, incident)
            }
            Self::Step(step) => step.run().await,
        }
    }
}

impl Step {
    async fn run(self) -> Result<ExitCode> {
        let client = Client::connect(self.connection)?;
        let body = if self.done {
            let mut evidence = Vec::with_capacity(self.evidence.len());
            for file in &self.evidence {
                evidence.push(keep_evidence(&client, file).await?);
            }
            json!({
                "state": "done",
                "note": self.note,
                "evidence": evidence,
                "findings": self.findings,
                "outcome": self.result,
                "repeat": self.repeat,
            })
        } else if self.not_applicable {
            json!({ "state": "not-applicable", "note": self.note })
        } else {
            json!({ "state": "pending", "note": self.note })
        };
        let incident = client.post(&format!("/incidents/{}/steps/{}", self.id, self.step), &body).await?;
        print(&client, incident)
    }
}

async fn keep_evidence(client: &Client, file: &Path) -> Result<Value> {
    let named = || format!("the evidence {} cannot be read", file.display());
    let size = std::fs::metadata(file).with_context(named)?.len();
    ensure!(
        size <= MAX_BYTES,
        "{} has {size} bytes; a piece of evidence has at most {MAX_BYTES}",
        file.display()
    );
    let bytes = tokio::fs::read(file).await.with_context(named)?;
    let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
    client.answer(client.request(Method::POST, "/evidence").query(&[("name", name)]).body(bytes)).await
}

/// As a table: the head, then one line a step.
fn print(client: &Client, mut incident: Value) -> Result<ExitCode> {
    if client.output == Output::Json {
        return client.show(&incident);
    }
    let steps = incident["steps"].take();
    if let Value::Object(fields) = &mut incident {
        fields.remove("rounds");
        fields.remove("steps");
    }
    client.show(&incident)?;
    show::list(client.output, &steps, &STEP_COLUMNS, "")?;
    Ok(ExitCode::SUCCESS)
}
