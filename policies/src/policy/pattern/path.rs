//! Absolute paths in which a `*` stands for any characters within one name.

use crate::system::System;

/// As in `/etc/cron.d/*`; of Windows as in `C:\Windows\System32\*.dll` or `%SystemRoot%\System32`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PathPattern(String);

/// What a path of Windows may begin with instead of a drive: these differ from machine to machine, and every
/// program has them in its environment.
const FOLDERS: [&str; 5] =
    ["%SystemDrive%", "%SystemRoot%", "%ProgramFiles%", "%ProgramFiles(x86)%", "%ProgramData%"];

impl PathPattern {
    const MAX_BYTES: usize = 512;

    /// # Errors
    /// The path is not absolute, too long, or has `.`, `..`, empty or odd names.
    pub fn parse(text: &str) -> Result<Self, InvalidPathPattern> {
        let path = Self(text.to_owned());
        if !text.starts_with('/') && !is_windows_root(path.root()) {
            return Err(InvalidPathPattern::NotAbsolute);
        }
        if text.len() > Self::MAX_BYTES {
            return Err(InvalidPathPattern::TooLong);
        }
        let is_odd = |name: &str| match path.system() {
            System::Linux => name.contains('\0'),
            System::Windows => name.contains(|c: char| c.is_control() || r#"/:<>"|?"#.contains(c)),
        };
        let is_bare = path.names().next().is_none();
        if is_bare || path.names().any(|name| matches!(name, "" | "." | "..") || is_odd(name)) {
            return Err(InvalidPathPattern::OddName);
        }
        Ok(path)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The system that has such paths.
    #[must_use]
    pub fn system(&self) -> System {
        if self.0.starts_with('/') { System::Linux } else { System::Windows }
    }

    /// What stands before the first name: nothing on Linux, a drive or a folder in `%` on Windows.
    #[must_use]
    pub fn root(&self) -> &str {
        self.0.split(['/', '\\']).next().unwrap_or("")
    }

    /// The names from the root downwards; those with a `*` match several files.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let separator = match self.system() {
            System::Linux => '/',
            System::Windows => '\\',
        };
        self.0.split(separator).skip(1)
    }

    /// Whether a `*` stands in it, so that it may match any number of files.
    #[must_use]
    pub fn is_wild(&self) -> bool {
        self.0.contains('*')
    }
}

fn is_windows_root(root: &str) -> bool {
    matches!(root.as_bytes(), [drive, b':'] if drive.is_ascii_alphabetic())
        || FOLDERS.iter().any(|folder| folder.eq_ignore_ascii_case(root))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPathPattern {
    #[error("a path begins with `/`, with a drive as in `C:\\`, or with one of {}", FOLDERS.join(", "))]
    NotAbsolute,
    #[error("a path has at most {} bytes", PathPattern::MAX_BYTES)]
    TooLong,
    #[error("a path has no empty or odd name, `.` or `..`, and no separator at its end")]
    OddName,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_could_leave_its_place_is_refused() {
        for text in ["etc", "/etc/../x", "/etc//x", "/etc/", "/", "", "/./x"] {
            assert!(PathPattern::parse(text).is_err(), "{text}");
        }
        assert!(PathPattern::parse("/etc/cron.d/*").is_ok());
    }

    #[test]
    fn a_path_of_windows_has_a_drive_or_a_known_folder() {
        for text in [r"C:\Windows\System32\*.dll", r"%systemroot%\System32", r"%ProgramFiles(x86)%\a"] {
            assert_eq!(PathPattern::parse(text).unwrap().system(), System::Windows, "{text}");
        }
        for text in
            [r"C:", r"C:\", r"C:a", r"C:\a\..\b", r"C:\a/b", r"C:\a:b", r"\\server\share", r"%TEMP%\a", r"\a"]
        {
            assert!(PathPattern::parse(text).is_err(), "{text}");
        }
        let path = PathPattern::parse(r"C:\Windows\System32").unwrap();
        assert_eq!((path.root(), path.names().collect::<Vec<_>>()), ("C:", vec!["Windows", "System32"]));
    }
}
