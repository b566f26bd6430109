//! The agent's settings: a TOML file, then `WARDWATCH_*` of the environment, then flags. Resolved once, with
//! all errors at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use wardwatch_wire::downlink::ActionKind;

use crate::platform;
use crate::sensor::binaries::pace::Pace;

const PREFIX: &str = "WARDWATCH_";
/// No other program of the project has variables that begin so.
const OWN_SECTIONS: [&str; 2] = ["WARDWATCH_FILES_", "WARDWATCH_UPGRADE_"];
/// All of these sections, for messages.
const OWN_VARIABLES: [&str; 8] = [
    "WARDWATCH_FILES_CPU_PERCENT",
    "WARDWATCH_FILES_EXCLUDE",
    "WARDWATCH_FILES_MAX_WATCHES",
    "WARDWATCH_FILES_MIB_PER_SECOND",
    "WARDWATCH_FILES_RESCAN_MINUTES",
    "WARDWATCH_FILES_ROOTS",
    "WARDWATCH_UPGRADE_KIB_PER_SECOND",
    "WARDWATCH_UPGRADE_TRIAL_SECONDS",
];

/// Settings as they are used.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub state_dir: PathBuf,
    /// Where an agent that is not enrolled waits for its string.
    pub enrolment_file: PathBuf,
    /// Between two signs of life.
    pub heartbeat: Duration,
    /// Between two evaluations of all policies.
    pub check_every: Duration,
    pub outbox_bytes: u64,
    /// What the collector may ask for.
    pub allowed: Vec<ActionKind>,
    pub files: FileSettings,
    pub upgrade: UpgradeSettings,
}

/// How another version comes in.
#[derive(Debug, Clone, PartialEq)]
pub struct UpgradeSettings {
    /// How long a new program has, at each attempt, to show itself healthy.
    pub trial: Duration,
    pub bytes_per_second: u64,
}

/// Which files are looked at, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct FileSettings {
    pub roots: Vec<PathBuf>,
    /// Files that are hashed whatever they are: the agent's own.
    pub always: Vec<PathBuf>,
    pub exclude: Vec<PathBuf>,
    pub pace: Pace,
    /// Between two scans of everything.
    pub rescan: Duration,
    pub max_watches: usize,
}

/// Settings of one source. What is not set there is left to the source before.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Layer {
    pub state_dir: Option<PathBuf>,
    pub enrolment_file: Option<PathBuf>,
    pub heartbeat_seconds: Option<u64>,
    pub check_minutes: Option<u64>,
    pub outbox_mib: Option<u64>,
    /// `rescan`, `recheck`, `upgrade`.
    pub allow: Option<Vec<String>>,
    pub files: FilesLayer,
    pub upgrade: UpgradeLayer,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpgradeLayer {
    pub trial_seconds: Option<u64>,
    pub kib_per_second: Option<u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FilesLayer {
    pub roots: Option<Vec<PathBuf>>,
    pub exclude: Option<Vec<PathBuf>>,
    pub cpu_percent: Option<u64>,
    pub mib_per_second: Option<u64>,
    pub rescan_minutes: Option<u64>,
    pub max_watches: Option<u64>,
}

/// Everything that is wrong with the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the settings cannot be used, so nothing was started; correct them:\n  {}", .0.join("\n  "))]
pub struct InvalidConfig(pub Vec<String>);

/// Where settings come from, read once at the edge.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Its path and text.
    pub file: Option<(PathBuf, String)>,
    /// All of the environment; only `WARDWATCH_*` is looked at.
    pub environment: BTreeMap<String, String>,
    pub flags: Layer,
}

impl Config {
    /// Whether the collector may have another version of the agent run here.
    #[must_use]
    pub fn allows_upgrades(&self) -> bool {
        self.allowed.contains(&ActionKind::Upgrade)
    }

    /// # Errors
    /// Everything that is wrong, from all sources.
    pub fn resolve(sources: Sources) -> Result<Self, InvalidConfig> {
        let mut problems = Vec::new();
        let own_files = own_files(sources.file.as_ref().map(|(path, _)| path.as_path()));
        let file = match &sources.file {
            None => Layer::default(),
            Some((path, text)) => toml::from_str(text).unwrap_or_else(|error: toml::de::Error| {
                problems.push(format!("{}: {}", path.display(), error.to_string().trim_end()));
                Layer::default()
            }),
        };
        let environment = environment(&sources.environment, &mut problems);
        let layer = sources.flags.over(environment).over(file);
        let config = layer.resolve(own_files, &mut problems);
        if problems.is_empty() { Ok(config) } else { Err(InvalidConfig(problems)) }
    }
}

/// The environment by the names it uses.
fn environment(variables: &BTreeMap<String, String>, problems: &mut Vec<String>) -> Layer {
    let mut layer = Layer::default();
    for (name, value) in variables {
        let Some(setting) = name.strip_prefix(PREFIX) else { continue };
        let mut number = |to: &mut Option<u64>| match value.parse() {
            Ok(value) => *to = Some(value),
            Err(_) => problems.push(format!("{name}: \"{value}\" is not a number; give a whole number")),
        };
        let paths = || std::env::split_paths(value).filter(|path| !path.as_os_str().is_empty()).collect();
        match setting {
            "STATE_DIR" => layer.state_dir = Some(value.into()),
            "ENROLMENT_FILE" => layer.enrolment_file = Some(value.into()),
            "HEARTBEAT_SECONDS" => number(&mut layer.heartbeat_seconds),
            "CHECK_MINUTES" => number(&mut layer.check_minutes),
            "OUTBOX_MIB" => number(&mut layer.outbox_mib),
            "ALLOW" => layer.allow = Some(value.split(',').map(|part| part.trim().to_owned()).collect()),
            "FILES_ROOTS" => layer.files.roots = Some(paths()),
            "FILES_EXCLUDE" => layer.files.exclude = Some(paths()),
            "FILES_CPU_PERCENT" => number(&mut layer.files.cpu_percent),
            "FILES_MIB_PER_SECOND" => number(&mut layer.files.mib_per_second),
            "FILES_RESCAN_MINUTES" => number(&mut layer.files.rescan_minutes),
            "FILES_MAX_WATCHES" => number(&mut layer.files.max_watches),
            "UPGRADE_TRIAL_SECONDS" => number(&mut layer.upgrade.trial_seconds),
            "UPGRADE_KIB_PER_SECOND" => number(&mut layer.upgrade.kib_per_second),
            _ => problems.extend(no_such_setting(name)),
        }
    }
    layer
}

/// What is wrong with this variable, unless it may be of another program of the project.
fn no_such_setting(name: &str) -> Option<String> {
    let section = OWN_SECTIONS.into_iter().find(|section| name.starts_with(section))?;
    let known: Vec<_> = OWN_VARIABLES.into_iter().filter(|known| known.starts_with(section)).collect();
    Some(format!("{name}: there is no such setting; give one of {}", known.join(", ")))
}

impl Layer {
    fn over(self, below: Self) -> Self {
        Self {
            state_dir: self.state_dir.or(below.state_dir),
            enrolment_file: self.enrolment_file.or(below.enrolment_file),
            heartbeat_seconds: self.heartbeat_seconds.or(below.heartbeat_seconds),
            check_minutes: self.check_minutes.or(below.check_minutes),
            outbox_mib: self.outbox_mib.or(below.outbox_mib),
            allow: self.allow.or(below.allow),
            files: FilesLayer {
                roots: self.files.roots.or(below.files.roots),
                exclude: self.files.exclude.or(below.files.exclude),
                cpu_percent: self.files.cpu_percent.or(below.files.cpu_percent),
                mib_per_second: self.files.mib_per_second.or(below.files.mib_per_second),
                rescan_minutes: self.files.rescan_minutes.or(below.files.rescan_minutes),
                max_watches: self.files.max_watches.or(below.files.max_watches),
            },
            upgrade: UpgradeLayer {
                trial_seconds: self.upgrade.trial_seconds.or(below.upgrade.trial_seconds),
                kib_per_second: self.upgrade.kib_per_second.or(below.upgrade.kib_per_second),
            },
        }
    }

    fn resolve(self, always: Vec<PathBuf>, problems: &mut Vec<String>) -> Config {
        let mut within = |name: &str, value: Option<u64>, default: u64, least: u64, most: u64| {
            let value = value.unwrap_or(default);
            if !(least..=most).contains(&value) {
                problems.push(format!("{name}: {value} is out of range; give {least} to {most}"));
            }
            value
        };
        let heartbeat = within("heartbeat_seconds", self.heartbeat_seconds, 60, 1, 3600);
        let check_minutes = within("check_minutes", self.check_minutes, 60, 1, 7 * 24 * 60);
        let outbox_mib = within("outbox_mib", self.outbox_mib, 64, 1, 1024);
        let cpu_percent = within("files.cpu_percent", self.files.cpu_percent, 50, 1, 100);
        let mib_per_second = within("files.mib_per_second", self.files.mib_per_second, 128, 1, 100_000);
        let rescan_minutes =
            within("files.rescan_minutes", self.files.rescan_minutes, 6 * 60, 1, 30 * 24 * 60);
        let max_watches = within("files.max_watches", self.files.max_watches, 65_536, 0, 10_000_000);
        let trial_seconds = within("upgrade.trial_seconds", self.upgrade.trial_seconds, 600, 5, 24 * 60 * 60);
        let kib_per_second = within("upgrade.kib_per_second", self.upgrade.kib_per_second, 512, 1, 1_000_000);
        let allow = self
            .allow
            .unwrap_or_else(|| ActionKind::ALL.iter().map(|kind| kind.as_str().to_owned()).collect());
        let mut allowed = Vec::new();
        for name in allow {
            match ActionKind::parse(&name) {
                Some(action) => allowed.push(action),
                None => problems.push(format!(
                    "allow: \"{name}\" is not a command; give rescan, recheck, upgrade or nothing"
                )),
            }
        }
        let roots: Vec<PathBuf> = self.files.roots.unwrap_or_else(platform::default_roots);
        let exclude = self.files.exclude.unwrap_or_else(platform::default_excludes);
        for path in roots.iter().chain(&exclude) {
            if !path.is_absolute() {
                problems.push(format!(
                    "files: {} is not a full path; begin it with {}",
                    path.display(),
                    platform::FULL_PATH_BEGINS_WITH
                ));
            }
        }
        Config {
            state_dir: self.state_dir.unwrap_or_else(platform::default_state_dir),
            enrolment_file: self.enrolment_file.unwrap_or_else(platform::enrolment_file),
            heartbeat: Duration::from_secs(heartbeat),
            check_every: Duration::from_secs(check_minutes * 60),
            outbox_bytes: outbox_mib * 1024 * 1024,
            allowed,
            files: FileSettings {
                roots,
                always,
                exclude,
                pace: Pace::Gentle {
                    cpu_percent: u32::try_from(cpu_percent).unwrap_or(100),
                    bytes_per_second: mib_per_second * 1024 * 1024,
                },
                rescan: Duration::from_secs(rescan_minutes * 60),
                max_watches: usize::try_from(max_watches).unwrap_or(usize::MAX),
            },
            upgrade: UpgradeSettings {
                trial: Duration::from_secs(trial_seconds),
                bytes_per_second: kib_per_second * 1024,
            },
        }
    }
}

/// The program itself and its settings: whoever changes these wants to blind it.
fn own_files(config: Option<&Path>) -> Vec<PathBuf> {
    let program = std::env::current_exe().and_then(|path| path.canonicalize()).ok();
    let config = config.and_then(|path| path.canonicalize().ok());
    program.into_iter().chain(config).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(file: &str, environment: &[(&str, &str)]) -> Sources {
        Sources {
            file: Some(("/etc/wardwatch/agent.toml".into(), file.into())),
            environment: environment.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect(),
            flags: Layer::default(),
        }
    }

    #[test]
    fn flags_win_over_the_environment_and_that_over_the_file() {
        let mut sources = sources(
            "state_dir = \"/a\"\nheartbeat_seconds = 1\n[files]\nroots = [\"/x\"]\nmax_watches = 7",
            &[
                ("WARDWATCH_STATE_DIR", "/b"),
                ("WARDWATCH_HEARTBEAT_SECONDS", "2"),
                ("WARDWATCH_LOG", "debug"),
            ],
        );
        sources.flags.state_dir = Some("/c".into());
        let config = Config::resolve(sources).unwrap();
        assert_eq!(config.state_dir, Path::new("/c"));
        assert_eq!(config.heartbeat, Duration::from_secs(2));
        assert_eq!(config.files.roots, [Path::new("/x")]);
        assert_eq!(config.files.max_watches, 7);
    }

    #[test]
    fn every_setting_has_the_same_name_in_the_environment() {
        let file = "state_dir = \"/s\"\nenrolment_file = \"/e\"\nheartbeat_seconds = 1\ncheck_minutes = 2\n\
            outbox_mib = 3\nallow = [\"rescan\"]\n[files]\nroots = [\"/r\"]\nexclude = [\"/x\"]\ncpu_percent = 4\n\
            mib_per_second = 5\nrescan_minutes = 6\nmax_watches = 7\n[upgrade]\ntrial_seconds = 8\nkib_per_second = 9";
        let layer: Layer = toml::from_str(file).unwrap();
        assert!(!format!("{layer:?}").contains("None"), "a setting is missing here: {layer:?}");
        let mut section = String::new();
        let mut variables = BTreeMap::new();
        for line in file.lines() {
            match line.split_once(" = ") {
                None => section = line.trim_matches(['[', ']']).to_owned() + "_",
                Some((name, value)) => {
                    let name = format!("{PREFIX}{section}{name}").to_uppercase();
                    variables.insert(name, value.trim_matches(['[', ']', '"']).to_owned());
                }
            }
        }
        assert_eq!(environment(&variables, &mut Vec::new()), layer);
        let is_own = |name: &&String| OWN_SECTIONS.iter().any(|section| name.starts_with(section));
        assert!(variables.keys().filter(is_own).eq(OWN_VARIABLES), "messages name other variables");
    }

    #[test]
    fn without_any_setting_the_programs_of_the_system_are_looked_at() {
        let config = Config::resolve(Sources::default()).unwrap();
        assert!(config.files.roots.contains(&"/usr/bin".into()));
        assert_eq!(config.allowed, ActionKind::ALL);
        assert_eq!(config.files.always, [std::env::current_exe().unwrap()]);
    }

    #[test]
    fn all_errors_come_at_once_with_their_remedy() {
        let sources = sources(
            "heartbeat_seconds = 0\nallow = [\"format\"]\n[files]\nroots = [\"bin\"]\ncpu_percent = 200",
            &[("WARDWATCH_OUTBOX_MIB", "much"), ("WARDWATCH_FILES_CPU_PERCEND", "9")],
        );
        insta::assert_snapshot!(Config::resolve(sources).unwrap_err(), @r#"
        the settings cannot be used, so nothing was started; correct them:
          WARDWATCH_FILES_CPU_PERCEND: there is no such setting; give one of WARDWATCH_FILES_CPU_PERCENT, WARDWATCH_FILES_EXCLUDE, WARDWATCH_FILES_MAX_WATCHES, WARDWATCH_FILES_MIB_PER_SECOND, WARDWATCH_FILES_RESCAN_MINUTES, WARDWATCH_FILES_ROOTS
          WARDWATCH_OUTBOX_MIB: "much" is not a number; give a whole number
          heartbeat_seconds: 0 is out of range; give 1 to 3600
          files.cpu_percent: 200 is out of range; give 1 to 100
          allow: "format" is not a command; give rescan, recheck, upgrade or nothing
          files: bin is not a full path; begin it with /
        "#);
    }

    #[test]
    fn a_misspelt_variable_is_named_where_no_other_program_could_have_it() {
        let problems = |name| Config::resolve(sources("", &[(name, "1")])).map_err(|error| error.0.len());
        assert_eq!(problems("WARDWATCH_FILES_ROOT"), Err(1));
        assert_eq!(problems("WARDWATCH_UPGRADE_TRIAL"), Err(1));
        assert!(problems("WARDWATCH_WEB_ADDRESS").is_ok());
    }

    #[test]
    fn a_misspelt_setting_is_named_with_its_line() {
        let problems = Config::resolve(sources("heartbeat = 3", &[])).unwrap_err().to_string();
        assert!(problems.contains("line 1") && problems.contains("heartbeat"), "{problems}");
    }
}
