//! One value of the registry up to a size: a person may write a value of any size into their own hive, and the crate
//! for the registry reads it whole.
#![expect(unsafe_code, reason = "no safe crate reads a value into a bounded buffer")]

use std::io;
use std::ptr;

use windows_registry::{Key, Type};
use windows_sys::Win32::Foundation::{ERROR_FILE_NOT_FOUND, ERROR_MORE_DATA, ERROR_SUCCESS};
use windows_sys::Win32::System::Registry::RegQueryValueExW;

/// What came of it.
pub(super) enum Read {
    Absent,
    TooLarge,
    Value(Type, Vec<u8>),
}

/// Reads the value of this name, if it has at most so many bytes.
///
/// # Errors
/// It may not be read.
pub(super) fn read(key: &Key, name: &str, max_bytes: usize) -> io::Result<Read> {
    let name: Vec<u16> = name.encode_utf16().chain([0]).collect();
    let mut value_type = 0;
    let mut data = vec![0_u8; max_bytes];
    let mut length = u32::try_from(max_bytes).unwrap_or(u32::MAX);
    // SAFETY: `name` ends with a zero, `data` has `length` bytes, and all outlive the call.
    let error = unsafe {
        RegQueryValueExW(
            key.as_raw(),
            name.as_ptr(),
            ptr::null(),
            &raw mut value_type,
            data.as_mut_ptr(),
            &raw mut length,
        )
    };
    match error {
        ERROR_SUCCESS => {
            data.truncate(usize::try_from(length).unwrap_or(usize::MAX));
            Ok(Read::Value(Type::from(value_type), data))
        }
        ERROR_MORE_DATA => Ok(Read::TooLarge),
        ERROR_FILE_NOT_FOUND => Ok(Read::Absent),
        error => Err(io::Error::from_raw_os_error(error.cast_signed())),
    }
}
