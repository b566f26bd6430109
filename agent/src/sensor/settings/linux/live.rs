//! What the kernel says now: its settings, its mounts and the names of its processes.

use wardwatch_policies::observation::{Mount, Unreadable};

use super::place::{Place, join};

/// Linux counts processes from 1 to 4,194,304; a recorder has a hundred, a server some thousand.
const MAX_PROCESSES: usize = 20_000;

pub(super) fn sysctl(place: &Place, name: &str) -> Result<Option<String>, Unreadable> {
    if !place.exists(b"/proc/sys")? {
        return Err(Unreadable("/proc/sys is not there: the kernel's settings cannot be seen".into()));
    }
    let path = format!("/proc/sys/{}", name.replace('.', "/"));
    Ok(place.kernel_text(path.as_bytes())?.map(|value| value.trim().to_owned()))
}

pub(super) fn mounts(place: &Place) -> Result<Vec<Mount>, Unreadable> {
    // What the first process sees is the system's; this program may have been given mounts of its own.
    let text = match place.kernel_text(b"/proc/1/mounts") {
        Ok(Some(text)) => Some(text),
        Ok(None) | Err(_) => place.kernel_text(b"/proc/self/mounts")?,
    };
    let text =
        text.ok_or_else(|| Unreadable("/proc/self/mounts is not there: mounts cannot be seen".into()))?;
    Ok(text
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (point, options) = (fields.next()?, fields.nth(1)?);
            Some(Mount { point: unescape(point), options: options.split(',').map(str::to_owned).collect() })
        })
        .collect())
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

/// Reads `comm` only: the command line of a hanging process would hang its reader.
pub(super) fn processes(place: &Place) -> Result<Vec<String>, Unreadable> {
    let names = place.names(b"/proc")?.unwrap_or_default();
    let ids: Vec<_> = names.into_iter().filter(|name| name.iter().all(u8::is_ascii_digit)).collect();
    if ids.is_empty() {
        return Err(Unreadable("/proc shows no process: what runs cannot be seen".into()));
    }
    // With `hidepid` other users' processes are not listed; the first one is always root's.
    if !ids.iter().any(|id| id == b"1") {
        return Err(Unreadable("/proc hides the processes of other users".into()));
    }
    if ids.len() > MAX_PROCESSES {
        return Err(Unreadable(format!("more than {MAX_PROCESSES} processes run")));
    }
    let mut running = Vec::new();
    for id in ids {
        let path = join(&join(b"/proc", &id), b"comm");
        // One that has ended since is no longer running.
        match place.kernel_text(&path) {
            Ok(Some(name)) => running.push(name.trim_end().to_owned()),
            Ok(None) => {}
            Err(reason) if reason.0.contains("no such process") => {}
            Err(reason) => return Err(reason),
        }
    }
    Ok(running)
}
