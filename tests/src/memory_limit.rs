//! A limit on what a program and all it reads may take of the memory: a control group, of version 1 or 2.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};

/// A group of its own for some programs. Removed when dropped, after they have ended.
pub struct MemoryLimit {
    folder: PathBuf,
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// What became of the group so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pressure {
    /// The most that was ever taken, in bytes, with the files that the kernel keeps in memory for it.
    pub highest: u64,
    /// How often the limit was reached, so that the kernel dropped files from memory.
    pub reached: u64,
    /// How often it killed for want of memory.
    pub kills: u64,
}

impl MemoryLimit {
    /// Swap counts as memory.
    ///
    /// # Errors
    /// The test may not make a group.
    pub fn of(bytes: u64) -> Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let (parent, version) = hierarchy()?;
        let name = format!("wardwatch-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let folder = parent.join(name);
        fs::create_dir(&folder)
            .with_context(|| format!("{}: a test of memory needs root", folder.display()))?;
        let limit = Self { folder, version };
        let settings = match version {
            Version::One => {
                ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"].map(|file| (file, bytes))
            }
            Version::Two => [("memory.max", bytes), ("memory.swap.max", 0)],
        };
        for (file, value) in settings {
            let path = limit.folder.join(file);
            // A kernel without swap has no setting for it.
            if path.exists() {
                fs::write(&path, value.to_string()).with_context(|| path.display().to_string())?;
            }
        }
        Ok(limit)
    }

    /// What puts a program into the group and then becomes it. It runs a copy of the program that it makes itself,
    /// so that the program's own pages count as well: else they are whose who read the file first.
    #[must_use]
    pub fn launcher(&self, copy: &Path) -> Vec<String> {
        let script = r#"echo $$ >"$0"; copy=$1 program=$2; shift 2
[ -e "$copy" ] || cp "$program" "$copy"
exec "$copy" "$@""#;
        let group = self.folder.join("cgroup.procs");
        ["/bin/sh", "-c", script, &group.display().to_string(), &copy.display().to_string()]
            .map(str::to_owned)
            .to_vec()
    }

    /// # Errors
    /// The kernel does not say.
    pub fn pressure(&self) -> Result<Pressure> {
        let read = |file: &str| {
            fs::read_to_string(self.folder.join(file)).with_context(|| format!("{file} is not there"))
        };
        let number = |file| -> Result<u64> { Ok(read(file)?.trim().parse()?) };
        let field = |file, name: &str| -> Result<u64> {
            let text = read(file)?;
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            Ok(line.with_context(|| format!("{file} has no {name}"))?.trim().parse()?)
        };
        Ok(match self.version {
            Version::One => Pressure {
                highest: number("memory.max_usage_in_bytes")?,
                reached: number("memory.failcnt")?,
                kills: field("memory.oom_control", "oom_kill")?,
            },
            Version::Two => Pressure {
                highest: number("memory.peak")?,
                reached: field("memory.events", "max")?,
                kills: field("memory.events", "oom_kill")?,
            },
        })
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.folder) {
            println!("{} stays: {error}", self.folder.display());
        }
    }
}

/// Where groups with a limit of memory are made on this machine.
fn hierarchy() -> Result<(PathBuf, Version)> {
    let mounts = fs::read_to_string("/proc/mounts")?;
    for mount in mounts.lines() {
        let mut fields = mount.split(' ');
        let (Some(point), Some(kind), Some(options)) = (fields.nth(1), fields.next(), fields.next()) else {
            continue;
        };
        let point = PathBuf::from(point);
        if kind == "cgroup" && options.split(',').any(|option| option == "memory") {
            return Ok((point, Version::One));
        }
        let has = fs::read_to_string(point.join("cgroup.controllers")).unwrap_or_default();
        if kind == "cgroup2" && has.split_whitespace().any(|controller| controller == "memory") {
            fs::write(point.join("cgroup.subtree_control"), "+memory")?;
            return Ok((point, Version::Two));
        }
    }
    bail!("no control group limits memory here; boot with the memory controller")
}
