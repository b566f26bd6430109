//! `audit verify`: walks the change log as it lies in the database; the collector need not run.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde::Deserialize;
use wardwatch_incidents::chain::Head;
use wardwatch_policies::digest::Digest;

use super::{BAD, Output};
use crate::authority::Authority;
use crate::config::Settings;
use crate::service;
use crate::store::Store;
use crate::witness::{self, VerifyError};

/// The largest witness file that is read, in bytes.
const MAX_WITNESS_BYTES: u64 = 1024 * 1024;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Audit {
    /// Verify the whole change log; exit 1 and name the first bad entry if it is not what was written
    Verify(Verify),
}

#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// What an agent kept of the log: the JSON that `wardwatch-agent status --output json` prints there
    #[arg(long, value_name = "FILE")]
    witness: Vec<PathBuf>,
    /// Configuration file, as `init` writes it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// Show a sentence for people or JSON for programs
    #[arg(long, value_enum, default_value_t, value_name = "FORM")]
    output: Output,
}

impl Audit {
    pub(super) async fn run(self) -> Result<ExitCode> {
        let Self::Verify(args) = self;
        let config = super::settings(args.settings, args.config.as_deref())?.resolve()?;
        let witnesses = args.witness.iter().map(|file| read_witness(file)).collect::<Result<Vec<_>>>()?;
        let authority = Authority::open(&service::authority_dir(&config.data_dir))?;
        let store = Store::open(&config.database).await?;
        let mut db = store.reader().acquire().await?;
        let key = authority.collector_key().verifying_key();
        let verified = witness::verify(&mut db, &key, witnesses).await;
        let mut out = std::io::stdout().lock();
        let (problem, code) = match verified {
            Ok(head) => {
                match args.output {
                    Output::Table => writeln!(
                        out,
                        "The change log is what was written: {} entries, head {}, {} witnesses.",
                        head.length,
                        head.digest,
                        args.witness.len()
                    )?,
                    Output::Json => writeln!(
                        out,
                        "{}",
                        serde_json::json!({"intact": true, "length": head.length, "head": head.digest})
                    )?,
                }
                return Ok(ExitCode::SUCCESS);
            }
            Err(VerifyError::Store(error)) => return Err(error.into()),
            Err(error) => {
                let mut problem = serde_json::json!({"intact": false, "problem": error.to_string()});
                if let Some(entry) = error.entry() {
                    problem["entry"] = entry.into();
                }
                (problem, error.to_string())
            }
        };
        match args.output {
            Output::Table => writeln!(out, "The change log is NOT what was written. {code}")?,
            Output::Json => writeln!(out, "{problem}")?,
        }
        Ok(ExitCode::from(BAD))
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WitnessFile {
    Status { witness: Seen },
    Bare(Seen),
}

#[derive(Deserialize)]
struct Seen {
    length: u64,
    head: Digest,
}

fn read_witness(file: &Path) -> Result<Head> {
    let named = || format!("the witness file {} cannot be used", file.display());
    let size = std::fs::metadata(file).with_context(named)?.len();
    anyhow::ensure!(size <= MAX_WITNESS_BYTES, "{} has {size} bytes and is no witness file", file.display());
    let text = std::fs::read_to_string(file).with_context(named)?;
    let (WitnessFile::Status { witness } | WitnessFile::Bare(witness)) = serde_json::from_str(&text)
        .with_context(|| {
            format!(
                "{} holds no witness; it is the JSON that `wardwatch-agent status --output json` prints, or \
                 {{\"length\": N, \"head\": \"DIGEST\"}}",
                file.display()
            )
        })?;
    Ok(Head { length: witness.length, digest: witness.head })
}
