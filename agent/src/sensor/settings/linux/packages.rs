//! Installed packages, by the status files of dpkg and opkg.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use wardwatch_policies::observation::Unreadable;

use super::super::say;
use super::Installed;
use super::place::{Place, shown};

const STATUS_FILES: [&[u8]; 3] = [b"/var/lib/dpkg/status", b"/usr/lib/opkg/status", b"/var/lib/opkg/status"];
/// A desktop with every language has a status file of some 10 MB. It is read line by line.
const MAX_STATUS_BYTES: u64 = 64 * 1024 * 1024;
const MAX_PACKAGES: usize = 50_000;

/// Name and version of each installed package.
pub(super) fn installed(place: &Place) -> Result<Installed, Unreadable> {
    let mut installed = Installed::new();
    let mut databases = 0;
    for path in STATUS_FILES {
        if let Some(file) = place.file(path)? {
            databases += 1;
            read_status(file, &mut installed)
                .map_err(|reason| Unreadable(format!("{}: {reason}", shown(path))))?;
        }
    }
    if databases == 0 {
        return Err(Unreadable("neither dpkg nor opkg keeps a list of packages here".into()));
    }
    Ok(installed)
}

#[derive(Default)]
struct Paragraph {
    name: String,
    version: String,
    is_installed: bool,
}

fn read_status(file: File, installed: &mut Installed) -> Result<(), String> {
    if file.metadata().map_err(|error| say(&error))?.len() > MAX_STATUS_BYTES {
        return Err(format!("it has more than {MAX_STATUS_BYTES} bytes"));
    }
    let mut paragraph = Paragraph::default();
    let mut line = Vec::new();
    let mut reader = BufReader::new(file.take(MAX_STATUS_BYTES));
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line).map_err(|error| say(&error))?;
        let text = String::from_utf8_lossy(&line);
        let text = text.trim_end();
        if text.is_empty() {
            keep(std::mem::take(&mut paragraph), installed);
            if length == 0 {
                return Ok(());
            }
            if installed.len() > MAX_PACKAGES {
                return Err(format!("it names more than {MAX_PACKAGES} packages"));
            }
        } else if let Some(name) = text.strip_prefix("Package: ") {
            name.clone_into(&mut paragraph.name);
        } else if let Some(version) = text.strip_prefix("Version: ") {
            version.clone_into(&mut paragraph.version);
        } else if let Some(status) = text.strip_prefix("Status: ") {
            paragraph.is_installed = status.ends_with(" installed");
        }
    }
}

fn keep(paragraph: Paragraph, installed: &mut Installed) {
    if paragraph.is_installed && !paragraph.name.is_empty() {
        installed.insert(paragraph.name, paragraph.version);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_removed_or_is_half_installed_is_not_installed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("status");
        let text = "Package: a\nStatus: install ok installed\nVersion: 1\n\n\
            Package: b\nStatus: deinstall ok config-files\nVersion: 2\n\n\
            Package: c\nStatus: install ok half-installed\nVersion: 3\n\n\
            Package: d\nDescription: x\n Package: e\nStatus: hold ok installed\nVersion: 4";
        std::fs::write(&path, text).unwrap();
        let mut installed = Installed::new();
        read_status(File::open(path).unwrap(), &mut installed).unwrap();
        let expected = [("a", "1"), ("d", "4")].map(|(name, version)| (name.to_owned(), version.to_owned()));
        assert_eq!(installed, expected.into());
    }
}
