//! What the registry of Windows holds, and how a place in it is looked up: by view, by person, and by the order
//! of the keys. What opens a key is an argument, so that the rules are the same wherever the values come from.

use std::fmt;

use super::Unreadable;
use crate::policy::registry::{Hive, RegistrySource, ValueType, View};

/// What was found in one view, for one person if the key is a person's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrySeen {
    /// The security identifier of the account whose hive it is; `None`: the machine's.
    pub account: Option<String>,
    /// Below the hive, the key that counts: the one that has the value, else the first that was asked for.
    pub path: String,
    pub view: View,
    pub found: Found,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    NoKey,
    /// The key is there, the value is not.
    NoValue,
    /// The key is there, and no value was asked for.
    Key,
    Value(Data),
    /// There is such a value, and its text may be a secret: it was not read.
    Withheld,
}

/// The data of a value, by its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    Dword(u32),
    Qword(u64),
    String(String),
    ExpandString(String),
    MultiString(Vec<String>),
    Binary(Vec<u8>),
    /// Of a type that no policy can ask for, by its number.
    Other(u32),
}

/// A place to open: a key below the machine's hive, or below the one of an account.
#[derive(Debug, Clone, Copy)]
pub struct Spot<'a> {
    /// The security identifier whose hive it is; `None`: the machine's.
    pub account: Option<&'a str>,
    pub path: &'a str,
    pub view: View,
    /// As in [`RegistrySource::value`].
    pub value: Option<&'a str>,
}

/// Looks up all that a policy asks for. `people` are the accounts of those who are logged in.
///
/// # Errors
/// Nobody is logged in whose settings could be seen, or `look` cannot tell what stands somewhere.
pub fn look_up(
    source: &RegistrySource,
    people: &[String],
    mut look: impl FnMut(&Spot<'_>) -> Result<Found, Unreadable>,
) -> Result<Vec<RegistrySeen>, Unreadable> {
    let is_personal = source.is_personal();
    if is_personal && people.is_empty() {
        return Err(Unreadable("nobody is logged in, so no person's settings could be seen".into()));
    }
    let people: Vec<_> =
        if is_personal { people.iter().map(|name| Some(name.as_str())).collect() } else { vec![None] };
    let mut seen = Vec::new();
    for person in people {
        for view in &source.views {
            seen.push(first_set(source, person, *view, &mut look)?);
        }
    }
    Ok(seen)
}

/// The first key in which the value is set; where it is in none, the first key that is there at all.
fn first_set(
    source: &RegistrySource,
    person: Option<&str>,
    view: View,
    look: &mut impl FnMut(&Spot<'_>) -> Result<Found, Unreadable>,
) -> Result<RegistrySeen, Unreadable> {
    let mut best = None;
    for key in &source.keys {
        let account = match &key.hive {
            Hive::Machine => None,
            Hive::EachPerson => person,
            Hive::Account(name) => Some(name.as_str()),
        };
        let spot = Spot { account, path: &key.path, view, value: source.value.as_deref() };
        let seen = RegistrySeen {
            account: account.map(str::to_owned),
            path: key.path.clone(),
            view,
            found: look(&spot)?,
        };
        match seen.found {
            Found::Key | Found::Value(_) | Found::Withheld => return Ok(seen),
            Found::NoKey | Found::NoValue if best.is_none() => best = Some(seen),
            Found::NoKey | Found::NoValue => {}
        }
    }
    best.ok_or_else(|| Unreadable("no key was asked for".into()))
}

/// Whether the hive of this security identifier is a person's: a local or domain account, or one of Entra ID.
/// The others are services, and the classes that stand beside each person's hive.
#[must_use]
pub fn is_person(account: &str) -> bool {
    let is_of = |authority| account.starts_with(authority) && !account.ends_with("_Classes");
    is_of("S-1-5-21-") || is_of("S-1-12-1-")
}

impl fmt::Display for RegistrySeen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.account {
            Some(account) => write!(f, "HKU\\{account}\\{}", self.path),
            None => write!(f, "HKLM\\{}", self.path),
        }
    }
}

impl Data {
    /// `None` for a type that no policy can ask for.
    #[must_use]
    pub const fn value_type(&self) -> Option<ValueType> {
        Some(match self {
            Self::Dword(_) => ValueType::Dword,
            Self::Qword(_) => ValueType::Qword,
            Self::String(_) => ValueType::String,
            Self::ExpandString(_) => ValueType::ExpandString,
            Self::MultiString(_) => ValueType::MultiString,
            Self::Binary(_) => ValueType::Binary,
            Self::Other(_) => return None,
        })
    }

    /// What comparisons are tried on: each text of a multi-string, the digits of numbers and bytes.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        match self {
            Self::Dword(number) => vec![number.to_string()],
            Self::Qword(number) => vec![number.to_string()],
            Self::String(text) | Self::ExpandString(text) => vec![text.clone()],
            Self::MultiString(texts) => texts.clone(),
            Self::Binary(bytes) => vec![bytes.iter().map(|byte| format!("{byte:02x}")).collect()],
            Self::Other(_) => Vec::new(),
        }
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(number) => write!(f, "a value of type {number}"),
            Self::String(_) | Self::ExpandString(_) | Self::MultiString(_) => {
                write!(f, "\"{}\"", self.texts().join("\", \""))
            }
            Self::Dword(_) | Self::Qword(_) | Self::Binary(_) => f.write_str(&self.texts().concat()),
        }
    }
}

#[cfg(test)]
mod tests;
