//! systemd: unit files, the links that `enable` and `mask` make, and its record of started units.

use rustix::fs::FileType;
use wardwatch_policies::observation::{ServiceSeen, Unreadable};
use wardwatch_policies::path::EndpointPath;

use super::super::place::{Entry, Place, join};

/// Where units stand; the first that has one counts.
const UNIT_FOLDERS: [&[u8]; 5] = [
    b"/etc/systemd/system",
    b"/run/systemd/system",
    b"/usr/local/lib/systemd/system",
    b"/usr/lib/systemd/system",
    b"/lib/systemd/system",
];
const RECORD: &[u8] = b"/run/systemd/units";

pub(super) fn is_here(place: &Place) -> Result<bool, Unreadable> {
    for folder in UNIT_FOLDERS {
        if place.exists(folder)? {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn service(place: &Place, name: &str) -> Result<ServiceSeen, Unreadable> {
    let unit = match name.rsplit_once('.') {
        Some((_, "service" | "socket" | "timer" | "mount" | "path" | "target")) => name.to_owned(),
        _ => format!("{name}.service"),
    };
    let mut seen = ServiceSeen::absent();
    for folder in UNIT_FOLDERS {
        let path = join(folder, unit.as_bytes());
        let Some(Entry { stat, target }) = place.link(&path)? else { continue };
        let is_empty_file =
            FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_size == 0;
        seen.masked = is_empty_file || target.as_deref() == Some(b"/dev/null");
        seen.installed = !seen.masked;
        // `enable` makes a link of another name for each alias of a unit.
        seen.enabled = folder == UNIT_FOLDERS[0]
            && target.is_some_and(|target| !seen.masked && !ends_with_name(&target, unit.as_bytes()));
        seen.at = EndpointPath::from_bytes(path).ok();
        break;
    }
    seen.enabled |= seen.installed && is_wanted(place, &unit)?;
    seen.active = is_active(place, &unit);
    Ok(seen)
}

fn ends_with_name(path: &[u8], name: &[u8]) -> bool {
    path.rsplit(|byte| *byte == b'/').next() == Some(name)
}

/// Whether a target wants or requires the unit, so that it starts with the system.
fn is_wanted(place: &Place, unit: &str) -> Result<bool, Unreadable> {
    for folder in UNIT_FOLDERS {
        for name in place.names(folder)?.unwrap_or_default() {
            if !(name.ends_with(b".wants") || name.ends_with(b".requires")) {
                continue;
            }
            if place.link(&join(&join(folder, &name), unit.as_bytes()))?.is_some() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// systemd keeps a link per started unit, `invocation:NAME`.
fn is_active(place: &Place, unit: &str) -> Result<bool, Unreadable> {
    if !place.exists(RECORD)? {
        return Err(Unreadable("systemd does not run here and keeps no record of what does".into()));
    }
    Ok(place.link(&join(RECORD, format!("invocation:{unit}").as_bytes()))?.is_some())
}
