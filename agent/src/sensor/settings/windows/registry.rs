//! Single places of the registry. Nothing in it is ever changed.

use std::io;

use wardwatch_policies::observation::Unreadable;
use wardwatch_policies::observation::registry::{Data, Found, Spot, is_person};
use wardwatch_policies::policy::registry::View;
use wardwatch_policies::secret::is_secret_key;
use windows_registry::{Key, LOCAL_MACHINE, Type, USERS};

use super::super::say;
use super::registry_value::{self, Read};

/// The largest value that is read, in bytes. Windows itself advises to keep larger ones in files.
const MAX_VALUE_BYTES: usize = 64 * 1024;
/// The most hives that are looked through for those of people.
const MAX_HIVES: usize = 1000;

/// The accounts of those whose hives are loaded, which are those who are logged in.
pub(super) fn people() -> Result<Vec<String>, Unreadable> {
    let hives = or_io(USERS.keys()).map_err(|error| Unreadable(format!("HKU: {}", say(&error))))?;
    Ok(hives.take(MAX_HIVES).filter(|account| is_person(account)).collect())
}

pub(super) fn look(spot: &Spot<'_>) -> Result<Found, Unreadable> {
    let (hive, path) = match spot.account {
        Some(account) => (USERS, format!("{account}\\{}", spot.path)),
        None => (LOCAL_MACHINE, spot.path.to_owned()),
    };
    let Some(key) = open(hive, &path, spot.view).map_err(|error| Unreadable(say(&error)))? else {
        return Ok(Found::NoKey);
    };
    match spot.value {
        None => Ok(Found::Key),
        Some("@") => value(&key, ""),
        Some(name) => value(&key, name),
    }
}

/// `None` where there is no such key.
pub(super) fn open(hive: &Key, path: &str, view: View) -> io::Result<Option<Key>> {
    let mut options = hive.options();
    options.read();
    match view {
        View::Bits64 => options.wow64_64(),
        View::Bits32 => options.wow64_32(),
    };
    match or_io(options.open(path)) {
        Ok(key) => Ok(Some(key)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn value(key: &Key, name: &str) -> Result<Found, Unreadable> {
    let read = registry_value::read(key, name, MAX_VALUE_BYTES).map_err(|error| Unreadable(say(&error)))?;
    match read {
        Read::Absent => Ok(Found::NoValue),
        Read::TooLarge => Err(Unreadable(format!("the value has more than {MAX_VALUE_BYTES} bytes"))),
        Read::Value(value_type, _) if is_secret_key(name) && !is_number(value_type) => Ok(Found::Withheld),
        Read::Value(value_type, bytes) => data(value_type, bytes).map(Found::Value),
    }
}

const fn is_number(value_type: Type) -> bool {
    matches!(value_type, Type::U32 | Type::U64)
}

fn data(value_type: Type, bytes: Vec<u8>) -> Result<Data, Unreadable> {
    let torn = || Unreadable(format!("a number of {} bytes", bytes.len()));
    Ok(match value_type {
        Type::U32 => Data::Dword(u32::from_le_bytes(bytes.as_slice().try_into().map_err(|_| torn())?)),
        Type::U64 => Data::Qword(u64::from_le_bytes(bytes.as_slice().try_into().map_err(|_| torn())?)),
        Type::String => Data::String(texts(&bytes).into_iter().next().unwrap_or_default()),
        Type::ExpandString => Data::ExpandString(texts(&bytes).into_iter().next().unwrap_or_default()),
        Type::MultiString => {
            Data::MultiString(texts(&bytes).into_iter().take_while(|text| !text.is_empty()).collect())
        }
        Type::Bytes => Data::Binary(bytes),
        Type::Other(number) => Data::Other(number),
    })
}

/// The texts that a zero ends each, in UTF-16; the last one need not be ended.
fn texts(bytes: &[u8]) -> Vec<String> {
    let units: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    units.split(|unit| *unit == 0).map(String::from_utf16_lossy).collect()
}

/// The system's own error number stands in the lower half of the one that the crate gives.
pub(super) fn or_io<T>(result: windows_registry::Result<T>) -> io::Result<T> {
    result.map_err(|error| io::Error::from_raw_os_error(error.code().0 & 0xffff))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn texts_end_at_their_zero_or_where_the_value_ends() {
        let read = |value_type, text: &str| data(value_type, wide(text)).unwrap();
        assert_eq!(read(Type::String, "Phường\0rest"), Data::String("Phường".into()));
        assert_eq!(read(Type::ExpandString, "%A%"), Data::ExpandString("%A%".into()));
        assert_eq!(read(Type::String, ""), Data::String(String::new()));
        assert_eq!(read(Type::MultiString, "a\0b\0\0"), Data::MultiString(vec!["a".into(), "b".into()]));
        assert_eq!(read(Type::MultiString, "\0"), Data::MultiString(Vec::new()));
    }

    #[test]
    fn a_number_of_another_length_is_unreadable() {
        assert_eq!(data(Type::U32, vec![1, 0, 0, 0]), Ok(Data::Dword(1)));
        assert!(data(Type::U32, vec![1]).is_err() && data(Type::U64, vec![0; 9]).is_err());
    }
}
