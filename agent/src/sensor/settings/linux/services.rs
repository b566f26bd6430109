//! How a service stands, by the files of its init system: systemd, SysV links, BusyBox `inittab` and `init.d`.

mod systemd;
mod sysv;

use wardwatch_policies::observation::{ServiceSeen, Unreadable};

use super::place::Place;

pub(super) fn service(place: &Place, name: &str) -> Result<ServiceSeen, Unreadable> {
    let by_systemd = systemd::is_here(place)?;
    if by_systemd {
        let seen = systemd::service(place, name)?;
        if seen.installed || seen.masked {
            return Ok(seen);
        }
    }
    // systemd starts SysV services as well, where it has no unit of that name.
    match sysv::service(place, name)? {
        Some(seen) => Ok(seen),
        None if by_systemd => Ok(ServiceSeen::absent()),
        None => {
            Err(Unreadable("no init system's files are here: neither systemd, init.d nor inittab".into()))
        }
    }
}
