//! Where a running collector listens, written for whoever calls it on this machine.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::service::Service;

/// The content of `quickstart.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// The page and the HTTP API, as in `http://127.0.0.1:8080`.
    pub web: String,
    /// The MQTT broker, as in `127.0.0.1:8883`.
    pub mqtt: String,
    /// Enrolment over HTTPS.
    pub enrol: String,
}

fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("quickstart.json")
}

/// Writes the file anew, whole or not at all.
///
/// # Errors
/// The data folder cannot be written.
pub fn write(data_dir: &Path, service: &Service) -> Result<()> {
    let addresses =
        Addresses { web: service.page(), mqtt: service.mqtt.to_string(), enrol: service.enrol.to_string() };
    let (file, fresh) = (file(data_dir), data_dir.join("quickstart.json.new"));
    std::fs::write(&fresh, serde_json::to_string_pretty(&addresses)?)
        .and_then(|()| std::fs::rename(&fresh, &file))
        .with_context(|| format!("{} cannot be written", file.display()))
}

/// Reads where the collector listens.
///
/// # Errors
/// No collector was ever started on this data folder, or the file is damaged.
pub fn read(data_dir: &Path) -> Result<Addresses> {
    let file = file(data_dir);
    let text = std::fs::read_to_string(&file).map_err(|error| {
        let file = file.display();
        let meaning = if error.kind() == std::io::ErrorKind::PermissionDenied {
            format!("{file} may not be read; run this as the user that runs the collector")
        } else {
            format!(
                "{file} is not there: no collector has run on this data folder; start one, or name its folder \
                 with --data-dir"
            )
        };
        anyhow::Error::new(error).context(meaning)
    })?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} is damaged; start the collector again", file.display()))
}
