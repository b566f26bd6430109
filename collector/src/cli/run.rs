//! `run`: the collector as a service.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;

use crate::config::Settings;
use crate::service::Service;
use crate::{addresses, logging};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Configuration file, as `init` writes it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

pub(super) async fn run(args: Args) -> Result<ExitCode> {
    logging::start("info");
    let config = super::settings(args.settings, args.config.as_deref())?.resolve()?;
    let mut service = Service::start(&config).await?;
    addresses::write(&config.data_dir, &service)?;
    let part_ended = super::interrupted(&mut service).await?;
    super::stop(service, part_ended).await
}
