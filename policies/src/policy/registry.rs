//! Where a value stands in the registry of Windows, and of which type it has to be.

use std::fmt;

/// A key, as in `HKLM\SOFTWARE\Policies` or `HKU\*\Control Panel\Desktop`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RegistryKey {
    pub hive: Hive,
    /// Below the hive, its names joined by `\`.
    pub path: String,
}

/// Whose settings a key belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hive {
    /// `HKLM`: the machine's.
    Machine,
    /// `HKU\*`: those of every person who is logged in.
    EachPerson,
    /// `HKU\NAME`: those of one account, by its security identifier, or `.DEFAULT`.
    Account(String),
}

/// Which registry a 64-bit Windows shows: its own, or the one it keeps for 32-bit programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum View {
    Bits64,
    Bits32,
}

/// Where a value is looked for. In each view and for each person the first of the keys counts in which it is set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RegistrySource {
    /// At least one.
    pub keys: Vec<RegistryKey>,
    /// The name of the value, `@` for the one without a name; `None` asks for the key itself.
    pub value: Option<String>,
    pub views: Vec<View>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ValueType {
    Dword,
    Qword,
    String,
    ExpandString,
    MultiString,
    Binary,
}

impl RegistryKey {
    const MAX_BYTES: usize = 512;
    const MAX_NAME_CHARS: usize = 255;

    /// # Errors
    /// The key does not begin with `HKLM` or `HKU`, is too long, or has empty or odd names.
    pub fn parse(text: &str) -> Result<Self, InvalidRegistryKey> {
        if text.len() > Self::MAX_BYTES {
            return Err(InvalidRegistryKey::TooLong);
        }
        let (root, rest) = text.split_once('\\').unwrap_or((text, ""));
        let (hive, path) = match root.to_ascii_uppercase().as_str() {
            "HKLM" | "HKEY_LOCAL_MACHINE" => (Hive::Machine, rest),
            "HKU" | "HKEY_USERS" => {
                let (account, path) = rest.split_once('\\').unwrap_or((rest, ""));
                (if account == "*" { Hive::EachPerson } else { Hive::Account(account.to_owned()) }, path)
            }
            "HKCU" | "HKEY_CURRENT_USER" => return Err(InvalidRegistryKey::CurrentUser),
            _ => return Err(InvalidRegistryKey::NoHive),
        };
        let is_odd = |name: &str| {
            name.is_empty()
                || name.chars().count() > Self::MAX_NAME_CHARS
                || name.contains(|c: char| c.is_control() || c == '*')
        };
        let account = match &hive {
            Hive::Account(name) => Some(name.as_str()),
            Hive::Machine | Hive::EachPerson => None,
        };
        if account.into_iter().chain(path.split('\\')).any(is_odd) {
            return Err(InvalidRegistryKey::OddName);
        }
        Ok(Self { hive, path: path.to_owned() })
    }
}

impl fmt::Display for RegistryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hive {
            Hive::Machine => write!(f, "HKLM\\{}", self.path),
            Hive::EachPerson => write!(f, "HKU\\*\\{}", self.path),
            Hive::Account(name) => write!(f, "HKU\\{name}\\{}", self.path),
        }
    }
}

impl RegistrySource {
    /// Whether it asks for the settings of every person who is logged in.
    #[must_use]
    pub fn is_personal(&self) -> bool {
        self.keys.iter().any(|key| key.hive == Hive::EachPerson)
    }
}

/// Shows the value as in `HKLM\SYSTEM\…\Lsa: NoLMHash`, by the first key.
impl fmt::Display for RegistrySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(key) = self.keys.first() {
            fmt::Display::fmt(key, f)?;
        }
        self.value.as_ref().map_or(Ok(()), |value| write!(f, ": {value}"))
    }
}

impl View {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bits64 => "64",
            Self::Bits32 => "32",
        }
    }
}

impl ValueType {
    pub const ALL: [Self; 6] =
        [Self::Dword, Self::Qword, Self::String, Self::ExpandString, Self::MultiString, Self::Binary];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dword => "dword",
            Self::Qword => "qword",
            Self::String => "string",
            Self::ExpandString => "expand-string",
            Self::MultiString => "multi-string",
            Self::Binary => "binary",
        }
    }

    #[must_use]
    pub const fn is_number(self) -> bool {
        matches!(self, Self::Dword | Self::Qword)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRegistryKey {
    #[error("a key begins with `HKLM\\` or `HKU\\`")]
    NoHive,
    #[error("`HKCU` would be the account that the agent runs under")]
    CurrentUser,
    #[error("a key has at most {} bytes", RegistryKey::MAX_BYTES)]
    TooLong,
    #[error("a key has no empty name, no `\\` at its end, and a `*` only as the person in `HKU\\*\\`")]
    OddName,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_shown_as_it_is_written() {
        for text in [r"HKLM\SOFTWARE\Policies", r"HKU\*\Control Panel\Desktop", r"HKU\.DEFAULT\Software"] {
            assert_eq!(RegistryKey::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(RegistryKey::parse(r"HKEY_LOCAL_MACHINE\A").unwrap().to_string(), r"HKLM\A");
    }

    #[test]
    fn a_key_that_names_no_one_place_is_refused() {
        for text in
            ["", "HKLM", r"HKLM\", r"HKLM\A\\B", r"HKLM\A\", r"HKLM\*\B", r"HKU\*", r"HKCR\A", r"SOFTWARE\A"]
        {
            assert!(RegistryKey::parse(text).is_err(), "{text}");
        }
        assert_eq!(RegistryKey::parse(r"HKCU\A"), Err(InvalidRegistryKey::CurrentUser));
    }
}
