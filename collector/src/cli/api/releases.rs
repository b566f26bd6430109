//! `releases ...`

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde_json::{Value, json};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::ids::{EndpointKind, UnitId};
use wardwatch_policies::release::{Target, Version};
use wardwatch_wire::envelope::MAX_BYTES;
use wardwatch_wire::release::{MAX_PROGRAM_BYTES, Release, seal_release};

use super::super::Connection;
use super::Client;
use crate::authority::Authority;
use crate::releases::intake;
use crate::{clock, service};

#[derive(Debug, clap::Subcommand)]
pub(in crate::cli) enum Releases {
    /// Sign an agent program with the release key; needs no collector, and the result goes to standard output
    Sign(Sign),
    /// Make a new release key, in the place of one that was lost or became known; needs the root key
    NewKey {
        /// The root key, from where it is kept
        #[arg(long, value_name = "FILE")]
        root_key: PathBuf,
        /// The collector's data folder
        #[arg(long, env = "WARDWATCH_DATA_DIR", value_name = "DIR", default_value = "wardwatch-data")]
        data_dir: PathBuf,
        /// Where the private key goes, such as the medium on which it is kept; left out, into the data folder
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Give the collector a signed program
    Add {
        program: PathBuf,
        /// What `releases sign` printed for it
        release: PathBuf,
        #[command(flatten)]
        connection: Connection,
    },
    /// List the releases that the collector holds
    List {
        #[command(flatten)]
        connection: Connection,
    },
    /// List roll-outs with their progress
    Rollouts {
        #[command(flatten)]
        connection: Connection,
    },
    /// Let endpoints become a version: first a share of them, the others when you widen it
    RollOut {
        version: Version,
        /// Only endpoints of this unit
        #[arg(long)]
        unit: Option<UnitId>,
        /// Only office-pc, camera-recorder or server
        #[arg(long)]
        kind: Option<EndpointKind>,
        /// The share that comes first; 100 for all at once
        #[arg(long, default_value_t = 10, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
        canary: u8,
        #[command(flatten)]
        connection: Connection,
    },
    /// Let a roll-out go on from its canaries to the whole group
    Widen {
        /// The roll-out's number
        id: u64,
        #[command(flatten)]
        connection: Connection,
    },
    /// Stop a roll-out: nobody more is asked
    Stop {
        /// The roll-out's number
        id: u64,
        /// Why
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        connection: Connection,
    },
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Sign {
    program: PathBuf,
    /// The private release key
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The program's version, as in 1.12.0
    #[arg(long)]
    version: Version,
    /// What the program was built for, as in armv7-unknown-linux-musleabihf
    #[arg(long)]
    target: Target,
}

impl Releases {
    pub(in crate::cli) async fn run(self) -> Result<ExitCode> {
        match self {
            Self::Sign(sign) => sign.run(),
            Self::NewKey { root_key, data_dir, out: file } => {
                let keys = service::authority_dir(&data_dir);
                Authority::replace_release_key(&keys, &root_key, file.as_deref(), clock::now())
                    .context("no release key was made")?;
                let file = file.unwrap_or_else(|| keys.join("release.key"));
                let mut out = std::io::stdout().lock();
                writeln!(out, "The new release key is {}.", file.display())?;
                writeln!(out, "Take it offline, and start the collector anew; sign every release with it,")?;
                writeln!(
                    out,
                    "also those that are to be rolled out still, and give them with `releases add`."
                )?;
                Ok(ExitCode::SUCCESS)
            }
            Self::Add { program, release, connection } => {
                let sealed = read(&release, MAX_BYTES as u64)
                    .context("this is no release; give the program first, then what `releases sign` wrote")?;
                let program = read(&program, MAX_PROGRAM_BYTES)?;
                let client = Client::connect(connection)?;
                let request = client.request(Method::POST, "/releases");
                let request = request.query(&[("release", URL_SAFE_NO_PAD.encode(sealed))]).body(program);
                client.show(&client.answer(request).await?)
            }
            Self::List { connection } => {
                let client = Client::connect(connection)?;
                let mut answer = client.get("/releases", &[]).await?;
                let columns = [
                    ("VERSION", "/version"),
                    ("TARGET", "/target"),
                    ("SIZE", "/size"),
                    ("ADDED", "/added"),
                    ("BLAKE3", "/digest"),
                ];
                let empty = "No release yet; `releases sign` and `releases add` bring one.";
                client.list(&answer["rows"].take(), &columns, empty)
            }
            Self::Rollouts { connection } => {
                let client = Client::connect(connection)?;
                let mut answer = client.get("/rollouts", &[]).await?;
                let columns = [
                    ("ID", "/id"),
                    ("VERSION", "/version"),
                    ("UNIT", "/unit"),
                    ("KIND", "/kind"),
                    ("STATE", "/state"),
                    ("CANARIES", "/canaries"),
                    ("WAITING", "/waiting"),
                    ("HEALTHY", "/healthy"),
                    ("RETURNED", "/returned"),
                    ("REFUSED", "/refused"),
                    ("NOT ALLOWED", "/not_allowed"),
                    ("REASON", "/reason"),
                ];
                client.list(
                    &answer["rows"].take(),
                    &columns,
                    "No roll-out yet; `releases roll-out` begins one.",
                )
            }
            Self::RollOut { version, unit, kind, canary, connection } => {
                let body =
                    json!({ "version": version, "unit": unit, "kind": kind, "canary_percent": canary });
                let client = Client::connect(connection)?;
                let begun = client.post("/rollouts", &body).await?;
                if is_empty(&begun) {
                    writeln!(
                        std::io::stderr(),
                        "no endpoint is in this group now; those that enrol later will be asked"
                    )?;
                }
                client.show(&begun)
            }
            Self::Widen { id, connection } => {
                let client = Client::connect(connection)?;
                client.show(&client.post(&format!("/rollouts/{id}/widen"), &Value::Null).await?)
            }
            Self::Stop { id, reason, connection } => {
                let client = Client::connect(connection)?;
                client
                    .show(&client.post(&format!("/rollouts/{id}/stop"), &json!({ "reason": reason })).await?)
            }
        }
    }
}

/// Whether the group of a roll-out has no endpoint at all.
fn is_empty(rollout: &Value) -> bool {
    ["endpoints", "without_release", "unknown_target"].iter().all(|count| rollout[*count] == 0)
}

impl Sign {
    fn run(self) -> Result<ExitCode> {
        let key = Authority::read_release_key(&self.key)
            .context("nothing was signed; --key names the release.key of the collector's `init`")?;
        let program = read(&self.program, MAX_PROGRAM_BYTES)?;
        self.target.fits(&program[..program.len().min(Target::HEAD_BYTES)]).with_context(|| {
            format!("{} was not signed; give the target that it was built for", self.program.display())
        })?;
        intake::says(&program, self.version)
            .with_context(|| format!("{} was not signed", self.program.display()))?;
        let release = Release {
            version: self.version,
            target: self.target,
            digest: Digest::of(&program),
            size: program.len() as u64,
            made: clock::now(),
        };
        let sealed = seal_release(&key, &release)?;
        std::io::stdout().lock().write_all(sealed.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}

fn read(path: &Path, most: u64) -> Result<Vec<u8>> {
    let named = || format!("{} cannot be read", path.display());
    let size = std::fs::metadata(path).with_context(named)?.len();
    ensure!(size <= most, "{} has {size} bytes; at most {most} are taken", path.display());
    std::fs::read(path).with_context(named)
}
