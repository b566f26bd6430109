//! What the collector is told: from a TOML file, then `WARDWATCH_*` in the environment, then flags; resolved
//! once, with all errors at once.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The largest configuration file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Settings of one source; what is `None` is left to the source before it. The keys of the TOML file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, clap::Args)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Folder for keys, database and evidence
    #[arg(long, env = "WARDWATCH_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Database address, as in sqlite:PATH or postgres://USER@HOST/NAME; a file in the data folder if left out
    #[arg(long, env = "WARDWATCH_DATABASE", value_name = "URL", hide_env_values = true)]
    pub database: Option<String>,
    /// Where the page and the HTTP API listen; port 0 takes any free port
    #[arg(long, env = "WARDWATCH_WEB", value_name = "ADDR")]
    pub web: Option<String>,
    /// Where agents report over MQTT; port 0 takes any free port
    #[arg(long, env = "WARDWATCH_MQTT", value_name = "ADDR")]
    pub mqtt: Option<String>,
    /// Where new agents enrol over HTTPS; port 0 takes any free port
    #[arg(long, env = "WARDWATCH_ENROL", value_name = "ADDR")]
    pub enrol: Option<String>,
    /// Host name or address that agents reach this machine by; may be given more than once
    #[arg(long, env = "WARDWATCH_ADVERTISE", value_name = "HOST", value_delimiter = ',')]
    #[serde(default)]
    pub advertise: Vec<String>,
}

/// What the collector runs with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub data_dir: PathBuf,
    pub database: String,
    pub web: SocketAddr,
    pub mqtt: SocketAddr,
    pub enrol: SocketAddr,
    /// At least one.
    pub advertise: Vec<String>,
}

/// All that is wrong with the settings.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidConfig(Vec<String>);

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the settings cannot be used:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for InvalidConfig {}

impl Settings {
    /// Reads a TOML file.
    ///
    /// # Errors
    /// The file cannot be read, is too large, or is not of the form; the message names the line.
    pub fn read(path: &Path) -> Result<Self, InvalidConfig> {
        let problem = |what: String| InvalidConfig(vec![format!("{}: {what}", path.display())]);
        let size = std::fs::metadata(path).map_err(|e| problem(e.to_string()))?.len();
        if size > MAX_FILE_BYTES {
            return Err(problem(format!("{size} bytes; a configuration file has at most {MAX_FILE_BYTES}")));
        }
        let text = std::fs::read_to_string(path).map_err(|e| problem(e.to_string()))?;
        toml::from_str(&text).map_err(|e| problem(e.to_string()))
    }

    /// These settings, and where they are silent, those of `file`.
    #[must_use]
    pub fn over(self, file: Self) -> Self {
        Self {
            data_dir: self.data_dir.or(file.data_dir),
            database: self.database.or(file.database),
            web: self.web.or(file.web),
            mqtt: self.mqtt.or(file.mqtt),
            enrol: self.enrol.or(file.enrol),
            advertise: if self.advertise.is_empty() { file.advertise } else { self.advertise },
        }
    }

    /// The data folder, which is all that calls to a running collector need.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| PathBuf::from("wardwatch-data"))
    }

    /// Fills in what is left out and judges the whole.
    ///
    /// Agents of other machines are let in only where `advertise` says by what name they come: without it,
    /// every listener stays on loopback.
    ///
    /// # Errors
    /// Every value that cannot be used, by name.
    pub fn resolve(self) -> Result<Config, InvalidConfig> {
        let mut problems = Vec::new();
        let everywhere = if self.advertise.is_empty() { "127.0.0.1" } else { "0.0.0.0" };
        let mut address = |name: &str, given: &Option<String>, default: String| {
            let text = given.clone().unwrap_or(default);
            let text = if text.starts_with(':') { format!("{everywhere}{text}") } else { text };
            text.parse::<SocketAddr>()
                .map_err(|_| {
                    problems.push(format!(
                        "{name}: \"{text}\" is not an address to listen on; write IP:PORT, as in 127.0.0.1:8080"
                    ));
                })
                .ok()
        };
        let web = address("web", &self.web, "127.0.0.1:8080".into());
        let mqtt = address("mqtt", &self.mqtt, format!("{everywhere}:8883"));
        let enrol = address("enrol", &self.enrol, format!("{everywhere}:8443"));
        for host in &self.advertise {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
            if host.is_empty() || host.len() > 253 || !host.chars().all(allowed) {
                problems.push(format!(
                    "advertise: \"{host}\" is not a host; write a name or an address without a port"
                ));
            }
        }
        let data_dir = self.data_dir();
        match (web, mqtt, enrol) {
            (Some(web), Some(mqtt), Some(enrol)) if problems.is_empty() => Ok(Config {
                database: self
                    .database
                    .unwrap_or_else(|| format!("sqlite:{}", data_dir.join("wardwatch.db").display())),
                advertise: if self.advertise.is_empty() { vec!["127.0.0.1".into()] } else { self.advertise },
                data_dir,
                web,
                mqtt,
                enrol,
            }),
            _ => Err(InvalidConfig(problems)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_listens_beyond_loopback_unless_a_host_is_advertised() {
        let config = Settings::default().resolve().unwrap();
        assert!(config.web.ip().is_loopback() && config.mqtt.ip().is_loopback());
        let advertised =
            Settings { advertise: vec!["192.0.2.1".into()], ..Settings::default() }.resolve().unwrap();
        assert!(advertised.web.ip().is_loopback() && advertised.mqtt.ip().is_unspecified());
    }

    #[test]
    fn all_errors_come_at_once() {
        let settings = Settings {
            web: Some("here".into()),
            mqtt: Some("1.2.3.4".into()),
            advertise: vec!["a b".into()],
            ..Settings::default()
        };
        insta::assert_snapshot!(settings.resolve().unwrap_err(), @r#"
        the settings cannot be used:
          web: "here" is not an address to listen on; write IP:PORT, as in 127.0.0.1:8080
          mqtt: "1.2.3.4" is not an address to listen on; write IP:PORT, as in 127.0.0.1:8080
          advertise: "a b" is not a host; write a name or an address without a port
        "#);
    }

    #[test]
    fn a_flag_goes_before_the_file() {
        let file: Settings = toml::from_str("web = \"127.0.0.1:1\"\nmqtt = \"127.0.0.1:2\"").unwrap();
        let flags = Settings { web: Some("127.0.0.1:3".into()), ..Settings::default() };
        let both = flags.over(file).resolve().unwrap();
        assert_eq!((both.web.port(), both.mqtt.port()), (3, 2));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let error = toml::from_str::<Settings>("wbe = 1").unwrap_err().to_string();
        assert!(error.contains("line 1") && error.contains("wbe"), "{error}");
    }
}
