//! `decode FILE`.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use ed25519_dalek::VerifyingKey;
use wardwatch_wire::envelope::MAX_BYTES;

use super::BAD;
use crate::authority::Authority;
use crate::config::Settings;
use crate::decode::{self, Keys, SignatureState};
use crate::registry::Registry;
use crate::service;
use crate::store::Store;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The message as it was captured: one MQTT payload
    file: PathBuf,
    /// Configuration file, as `init` writes it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

pub(super) async fn run(args: Args) -> Result<ExitCode> {
    let named = || format!("{} cannot be read", args.file.display());
    let size = std::fs::metadata(&args.file).with_context(named)?.len();
    ensure!(
        size <= MAX_BYTES as u64,
        "{} has {size} bytes; a message has at most {MAX_BYTES}",
        args.file.display()
    );
    let bytes = std::fs::read(&args.file).with_context(named)?;
    let config = super::settings(args.settings, args.config.as_deref())?.resolve()?;
    let keys = service::authority_dir(&config.data_dir);
    // Without a collector's folder the content is still shown, and the signature is unknown.
    let (authority, registry) = if keys.exists() {
        let store = Store::open(&config.database).await?;
        let mut db = store.reader().acquire().await?;
        (Some(Authority::open(&keys)?), Registry::load(&mut db).await?)
    } else {
        (None, Registry::default())
    };
    let keys = Keys {
        report_key: |agent: &_| registry.get(agent).map(|endpoint| endpoint.report_key),
        collector: authority.as_ref().map(|authority| authority.collector_key().verifying_key()),
        root: authority.as_ref().and_then(|authority| VerifyingKey::from_bytes(&authority.root_key()).ok()),
        release: authority.as_ref().and_then(|authority| authority.release().map(|release| release.key)),
    };
    let decoded = decode::decode(&bytes, &keys)
        .with_context(|| format!("{} holds no message of Wardwatch", args.file.display()))?;
    writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&decoded)?)?;
    Ok(match decoded.signature {
        SignatureState::Invalid(_) => ExitCode::from(BAD),
        SignatureState::Valid | SignatureState::Unknown(_) => ExitCode::SUCCESS,
    })
}
