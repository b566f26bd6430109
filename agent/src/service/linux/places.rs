//! Where the service's parts lie. What differs from the usual is kept in `/etc/default/wardwatch-agent`, which unit
//! and script read, so that these stay the same bytes everywhere and a later call finds everything again.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::super::Places;
use super::CONFIG_FOLDER;
use super::seen::Seen;
use crate::platform;

pub(super) const DEFAULTS: &str = "/etc/default/wardwatch-agent";
const STATE_DIR: &str = "/var/lib/wardwatch-agent";

const PROGRAM_KEY: &str = "PROGRAM";
const STATE_KEY: &str = "WARDWATCH_STATE_DIR";
const CONFIG_KEY: &str = "WARDWATCH_CONFIG";
const ENROLMENT_KEY: &str = "WARDWATCH_ENROLMENT_FILE";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) program: PathBuf,
    pub(super) state_dir: PathBuf,
    config: Option<PathBuf>,
    /// Where the enrolment string is waited for, from which it is to be removed, if somebody named another place.
    pub(super) enrolment_folder: Option<PathBuf>,
}

impl Layout {
    /// What was asked for, else what an earlier call wrote down, else the usual.
    ///
    /// # Errors
    /// A path that cannot stand in a unit or a script.
    pub(super) fn resolve(asked: &Places, seen: &Seen) -> Result<Self> {
        let written = |key| value(&seen.defaults, key).map(PathBuf::from);
        let layout = Self {
            program: asked
                .program
                .clone()
                .or_else(|| written(PROGRAM_KEY))
                .unwrap_or_else(platform::default_program),
            state_dir: asked
                .state_dir
                .clone()
                .or_else(|| written(STATE_KEY))
                .unwrap_or_else(|| STATE_DIR.into()),
            config: asked.config.clone().or_else(|| written(CONFIG_KEY)),
            enrolment_folder: written(ENROLMENT_KEY)
                .and_then(|file| file.parent().map(Path::to_owned))
                .filter(|folder| folder != Path::new(CONFIG_FOLDER)),
        };
        for path in [
            Some(&layout.program),
            Some(&layout.state_dir),
            layout.config.as_ref(),
            layout.enrolment_folder.as_ref(),
        ]
        .into_iter()
        .flatten()
        {
            // Neither the shell nor systemd gives any of these a meaning.
            let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@".contains(c);
            ensure!(
                path.is_absolute() && path.to_str().is_some_and(|text| text.chars().all(plain)),
                "{} cannot be used for a service, so nothing was changed; give a full path of letters, digits and /._-+@",
                path.display()
            );
        }
        Ok(layout)
    }

    pub(super) fn is_usual(&self) -> bool {
        self.program == platform::default_program()
            && self.state_dir == Path::new(STATE_DIR)
            && self.enrolment_folder.is_none()
    }

    /// For a line that reads no defaults: what differs from the usual, each with a blank before it.
    pub(super) fn flags(&self) -> String {
        let state_dir = Some(&self.state_dir).filter(|path| *path != Path::new(STATE_DIR));
        [("--state-dir", state_dir), ("--config", self.config.as_ref())]
            .into_iter()
            .filter_map(|(flag, path)| Some(format!(" {flag} {}", path?.display())))
            .collect()
    }

    /// The text of the defaults with these places in it; all other lines stay.
    pub(super) fn defaults(&self, before: &str) -> String {
        let unless = |path: &Path, usual: &Path| (path != usual).then(|| path.to_owned());
        let mut text = without_places(before);
        for (key, path) in [
            (PROGRAM_KEY, unless(&self.program, &platform::default_program())),
            (STATE_KEY, unless(&self.state_dir, Path::new(STATE_DIR))),
            (CONFIG_KEY, self.config.clone()),
        ] {
            if let Some(path) = path {
                text.push_str(&format!("{key}={}\n", path.display()));
            }
        }
        text
    }
}

/// What somebody else wrote into the defaults.
pub(super) fn without_places(text: &str) -> String {
    let ours =
        |line: &str| [PROGRAM_KEY, STATE_KEY, CONFIG_KEY].iter().any(|key| assigns(line, key).is_some());
    text.lines().filter(|line| !ours(line)).flat_map(|line| [line, "\n"]).collect()
}

fn value<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    text.lines().rev().find_map(|line| assigns(line, key)).filter(|value| !value.is_empty())
}

fn assigns<'t>(line: &'t str, key: &str) -> Option<&'t str> {
    line.trim().strip_prefix(key)?.strip_prefix('=').map(|value| value.trim_matches('"'))
}
