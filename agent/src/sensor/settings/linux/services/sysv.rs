//! SysV run levels, and the shorter ways of BusyBox and OpenWrt: `init.d/S??name`, `rc.d`, `inittab`, `rcS`.

use wardwatch_policies::observation::{ServiceSeen, Unreadable};
use wardwatch_policies::path::EndpointPath;

use super::super::place::{Place, join};

/// Folders whose `S??name` entries are started.
const START_FOLDERS: [&[u8]; 7] =
    [b"/etc/rc2.d", b"/etc/rc3.d", b"/etc/rc4.d", b"/etc/rc5.d", b"/etc/rcS.d", b"/etc/rc.d", b"/etc/init.d"];
/// Scripts that start programs by naming them.
const START_SCRIPTS: [&[u8]; 4] =
    [b"/etc/inittab", b"/etc/init.d/rcS", b"/etc/rc.local", b"/etc/rc.d/rc.local"];

/// `None` where there is none of these at all.
pub(super) fn service(place: &Place, name: &str) -> Result<Option<ServiceSeen>, Unreadable> {
    let mut is_here = false;
    let mut enabled_at = None;
    for folder in START_FOLDERS {
        let Some(names) = place.names(folder)? else { continue };
        is_here = true;
        for found in names.iter().filter(|found| starts(found, name)) {
            let path = join(folder, found);
            if may_run(place, &path)? {
                enabled_at.get_or_insert(path);
            }
        }
    }
    for path in START_SCRIPTS {
        let Some(text) = place.text(path)? else { continue };
        is_here = true;
        let is_table = path.ends_with(b"inittab");
        if names_program(&text, name) && (is_table || may_run(place, path)?) {
            enabled_at.get_or_insert(path.to_vec());
        }
    }
    if !is_here {
        return Ok(None);
    }
    let script = join(b"/etc/init.d", name.as_bytes());
    let has_script = place.exists(&script)?;
    let enabled = enabled_at.is_some();
    Ok(Some(ServiceSeen {
        installed: enabled || has_script,
        at: enabled_at.or(has_script.then_some(script)).and_then(|path| EndpointPath::from_bytes(path).ok()),
        enabled,
        masked: false,
        start_type: None,
        active: Err(Unreadable("this init system keeps no record of what runs".into())),
    }))
}

/// `S20telnetd` and `S20telnetd.sh` start `telnetd`.
fn starts(found: &[u8], name: &str) -> bool {
    let Some((b'S', rest)) = found.split_first().map(|(first, rest)| (*first, rest)) else { return false };
    let Some((digits, rest)) = rest.split_at_checked(2) else { return false };
    let rest = rest.strip_suffix(b".sh").unwrap_or(rest);
    digits.iter().all(u8::is_ascii_digit) && rest == name.as_bytes()
}

fn may_run(place: &Place, path: &[u8]) -> Result<bool, Unreadable> {
    Ok(place.stat(path)?.is_some_and(|stat| stat.st_mode & 0o111 != 0 || path.ends_with(b".sh")))
}

/// Whether a line that is no comment names the program, with or without its folder.
fn names_program(text: &str, name: &str) -> bool {
    text.lines().map(str::trim).filter(|line| !line.starts_with('#')).any(|line| {
        line.split(|c: char| c.is_whitespace() || ":;&|()".contains(c))
            .any(|word| word.rsplit('/').next() == Some(name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_links_name_their_service_after_two_digits() {
        assert!(starts(b"S20telnetd", "telnetd") && starts(b"S50telnetd.sh", "telnetd"));
        for found in ["K20telnetd", "S20telnetd2", "S2telnetd", "telnetd", "S", ""] {
            assert!(!starts(found.as_bytes(), "telnetd"), "{found}");
        }
    }

    #[test]
    fn a_program_is_named_in_inittab_and_in_scripts_but_not_in_comments() {
        assert!(names_program("::respawn:/usr/sbin/telnetd -F\n", "telnetd"));
        assert!(names_program("mount -a\ntelnetd&\n", "telnetd"));
        assert!(!names_program("# telnetd\n/usr/sbin/telnetd2\n", "telnetd"));
    }
}
