//! `init`: keys, admin credential and a configuration file for a service.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::authority::Authority;
use crate::config::{Config, Settings};
use crate::{admin, clock, service};

const CONFIG: &str = "collector.toml";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    settings: Settings,
}

pub(super) fn run(args: Args) -> Result<ExitCode> {
    let config = args.settings.resolve()?;
    let file = config.data_dir.join(CONFIG);
    prepare(&config)?;
    if file.exists() {
        anyhow::bail!("{} is there already; nothing was changed", file.display());
    }
    write_config(&file, &config)?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "The collector's keys and settings are in {}.", config.data_dir.display())?;
    writeln!(
        out,
        "Move {} to a place without a network; it is needed only to replace the collector's key.",
        service::authority_dir(&config.data_dir).join("root.key").display()
    )?;
    writeln!(
        out,
        "Move {} to whoever signs versions of the agent, away from this machine; see docs/upgrades.md.",
        service::authority_dir(&config.data_dir).join("release.key").display()
    )?;
    writeln!(out, "Start the collector:  wardwatch-collector run --config {}", file.display())?;
    Ok(ExitCode::SUCCESS)
}

/// Makes what is missing below the data folder.
pub(super) fn prepare(config: &Config) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&config.data_dir)
        .with_context(|| format!("the data folder {} cannot be made", config.data_dir.display()))?;
    admin::ensure_token(&config.data_dir)?;
    let keys = service::authority_dir(&config.data_dir);
    if !keys.exists() {
        Authority::create(&keys, clock::now())?;
    }
    Ok(())
}

fn write_config(file: &Path, config: &Config) -> Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let data_dir = std::path::absolute(&config.data_dir)?;
    let hosts: Vec<_> = config.advertise.iter().map(|host| quoted(host)).collect();
    let text = format!(
        "data_dir = {}\n\
         # database = \"postgres://wardwatch@localhost/wardwatch\"\n\
         web = {}\nmqtt = {}\nenrol = {}\n\
         # The names or addresses by which agents reach this machine.\n\
         advertise = [{}]\n",
        quoted(&data_dir.to_string_lossy()),
        quoted(&config.web.to_string()),
        quoted(&config.mqtt.to_string()),
        quoted(&config.enrol.to_string()),
        hosts.join(", "),
    );
    // The address of a database may hold a password.
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .and_then(|mut opened| opened.write_all(text.as_bytes()))
        .with_context(|| format!("{} cannot be written", file.display()))
}
