//! What there is to see of a system before anything is decided.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::super::{NAME, Request};
use super::places::{DEFAULTS, Layout};
use super::{systemd, sysv};

/// What starts the programs of a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Init {
    Systemd,
    Sysv,
    Busybox,
}

/// A system as it was found.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// `/`, or where a disk image is mounted.
    pub(super) root: PathBuf,
    pub(super) init: Init,
    /// Whether that init system runs now and may be told to start something.
    pub(super) runs: bool,
    /// Whether program and service files belong to a package of this system.
    pub(super) packaged: bool,
    pub(super) packaged_unit: Option<&'static str>,
    /// Whether an earlier call wrote other places for systemd.
    pub(super) has_drop_in: bool,
    /// The program to copy.
    pub(super) program: PathBuf,
    /// The text of `/etc/default/wardwatch-agent`.
    pub(super) defaults: String,
    /// Whether there is a script for this init system, which can be told to stop the service.
    pub(super) has_script: bool,
    /// Folders of run levels, with the link to our script if there is one.
    pub(super) run_levels: Vec<(PathBuf, Option<PathBuf>)>,
    /// Whether Debian's tool keeps the order of start, beside which links alone count for nothing.
    pub(super) has_update_rc_d: bool,
    /// The text of BusyBox's first script.
    pub(super) rc_script: String,
}

impl Seen {
    pub(super) fn read(request: &Request) -> Result<Self> {
        let root = request.root.clone().unwrap_or_else(|| "/".into());
        ensure!(
            root.is_dir(),
            "{} is no folder, so nothing was changed; give the folder where the image is mounted",
            root.display()
        );
        let is_image = request.root.is_some();
        let Some(init) = request.init.or_else(|| Init::detect(&root, is_image)) else {
            bail!(
                "neither systemd nor SysV nor BusyBox init was found, so nothing was changed; name one with --init, \
                 or let what starts programs here run `wardwatch-agent run`"
            );
        };
        let program = match &request.from {
            Some(from) => from.clone(),
            None => std::env::current_exe().context("the system does not say where this program lies")?,
        };
        let packaged_unit = systemd::PACKAGED_UNITS.into_iter().find(|unit| below(&root, unit).exists());
        Ok(Self {
            init,
            runs: !is_image && (init != Init::Systemd || root.join(systemd::RUNS).exists()),
            packaged: packaged_unit.is_some() || is_in_dpkg(&root),
            packaged_unit,
            has_drop_in: below(&root, systemd::DROP_IN).exists(),
            program,
            defaults: read_defaults(&below(&root, DEFAULTS))?,
            has_script: below(&root, sysv::script(init)).exists(),
            run_levels: sysv::run_levels(&root),
            has_update_rc_d: root.join("usr/sbin/update-rc.d").exists(),
            rc_script: fs::read_to_string(root.join("etc/init.d/rcS")).unwrap_or_default(),
            root,
        })
    }

    /// Only what kind of file it is can be judged: an image may be of another processor.
    ///
    /// # Errors
    /// What is to be copied is no program, and would be missed at the next start only.
    pub(super) fn refuse_no_program(&self) -> Result<()> {
        const ELF: [u8; 4] = *b"\x7fELF";
        if self.packaged {
            return Ok(());
        }
        let mut head = Vec::new();
        let read = File::open(&self.program).and_then(|file| file.take(4).read_to_end(&mut head));
        let problem = match read {
            Ok(_) if head == ELF => return Ok(()),
            Ok(_) => "is no program of Linux".to_owned(),
            Err(error) => format!("cannot be read ({error})"),
        };
        bail!(
            "{} {problem}, so nothing was changed; give with --from the agent's program for this system",
            self.program.display()
        );
    }

    /// A path of the system that is looked at.
    pub(super) fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        below(&self.root, path.as_ref())
    }
}

fn below(root: &Path, path: impl AsRef<Path>) -> PathBuf {
    root.join(path.as_ref().strip_prefix("/").unwrap_or(path.as_ref()))
}

/// What cannot be read is not taken for empty: it would be written over.
fn read_defaults(path: &Path) -> Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        text => text.with_context(|| {
            format!("{} cannot be read, so nothing was changed; mend the file or remove it", path.display())
        }),
    }
}

fn is_in_dpkg(root: &Path) -> bool {
    let lists = fs::read_dir(root.join("var/lib/dpkg/info")).into_iter().flatten().flatten();
    lists.map(|entry| entry.file_name()).any(|name| {
        let rest = name.to_str().and_then(|name| name.strip_prefix(NAME));
        rest.is_some_and(|rest| rest == ".list" || (rest.starts_with(':') && rest.ends_with(".list")))
    })
}

impl Init {
    pub(super) fn detect(root: &Path, is_image: bool) -> Option<Self> {
        let exists = |path: &str| root.join(path).exists();
        if !is_image && exists(systemd::RUNS) {
            return Some(Self::Systemd);
        }
        let first = fs::read_link(root.join("sbin/init")).unwrap_or_default();
        match first.file_name().and_then(|name| name.to_str()) {
            Some("busybox") => return Some(Self::Busybox),
            Some("systemd") if is_image => return Some(Self::Systemd),
            _ => {}
        }
        if !sysv::run_levels(root).is_empty() {
            return Some(Self::Sysv);
        }
        (exists("etc/init.d/rcS") || exists("etc/inittab")).then_some(Self::Busybox)
    }

    /// # Errors
    /// This system lacks what the init system needs to start a service.
    pub(super) fn refuse_if_unusable(self, seen: &Seen, layout: &Layout) -> Result<()> {
        let problem = match self {
            Self::Busybox if !["S??", "S[0-9]", "/S*"].iter().any(|glob| seen.rc_script.contains(glob)) => {
                "/etc/init.d/rcS does not start the scripts of /etc/init.d"
            }
            Self::Sysv if seen.run_levels.is_empty() => "there are no folders of run levels",
            _ => return Ok(()),
        };
        bail!(
            "{problem}, so nothing was changed; copy {} to {} by hand and add this line to /etc/inittab:\n\
             ::respawn:{} run{}",
            seen.program.display(),
            layout.program.display(),
            layout.program.display(),
            layout.flags()
        );
    }
}
