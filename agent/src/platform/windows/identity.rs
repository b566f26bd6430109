//! Who and what this machine and this process are.
#![expect(unsafe_code, reason = "no safe crate of ours asks for these")]

use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr::null_mut;
use std::time::Duration;

use sysinfo::System;
use wardwatch_policies::digest::Digest;
use windows_registry::LOCAL_MACHINE;
use windows_sys::Win32::Security::{GetTokenInformation, TOKEN_ELEVATION, TOKEN_QUERY, TokenElevation};
use windows_sys::Win32::System::SystemInformation::{GetSystemFirmwareTable, GetTickCount64, RSMB};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

use super::firmware;
use crate::state::Machine;

/// No firmware table of this kind is larger, in bytes.
const MAX_FIRMWARE_BYTES: usize = 1024 * 1024;

/// `None`: nothing that Windows promises names its starts.
#[must_use]
pub fn boot_id() -> Option<String> {
    None
}

/// Time since the system booted, sleep included. No person and no time server can set it.
#[must_use]
pub fn boot_elapsed() -> Duration {
    // SAFETY: takes nothing.
    Duration::from_millis(unsafe { GetTickCount64() })
}

#[must_use]
pub fn hostname() -> String {
    System::host_name().unwrap_or_else(|_| "unknown".into())
}

/// Tells this machine from a copy of its disk: the id that Windows made at its setup, and what the hardware says of
/// itself. Only digests are kept, since serial numbers name a person's device.
#[must_use]
pub fn machine() -> Machine {
    let mut read = Vec::new();
    let key = LOCAL_MACHINE.options().read().wow64_64().open(r"SOFTWARE\Microsoft\Cryptography");
    if let Ok(id) = key.and_then(|key| key.get_string("MachineGuid"))
        && !id.trim().is_empty()
    {
        read.push(("MachineGuid".to_owned(), Digest::of(id.as_bytes())));
    }
    let said = firmware::identities(&firmware_table());
    read.extend(said.into_iter().map(|(name, value)| (format!("smbios/{name}"), Digest::of(&value))));
    Machine::new(read)
}

/// The table of system management facts; empty if the firmware has none.
fn firmware_table() -> Vec<u8> {
    // SAFETY: without a buffer the call only says how large the table is.
    let size = unsafe { GetSystemFirmwareTable(RSMB, 0, null_mut(), 0) };
    if size == 0 || size as usize > MAX_FIRMWARE_BYTES {
        return Vec::new();
    }
    let mut table = vec![0; size as usize];
    // SAFETY: `table` has `size` bytes.
    let written = unsafe { GetSystemFirmwareTable(RSMB, 0, table.as_mut_ptr(), size) };
    if written as usize > table.len() {
        return Vec::new();
    }
    table.truncate(written as usize);
    table
}

/// Whether this process has an administrator's rights in full.
#[must_use]
pub fn is_superuser() -> bool {
    let mut token = null_mut();
    // SAFETY: the first handle stands for this process; the second is written to a local.
    if unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token) } == 0 {
        return false;
    }
    // SAFETY: the token was just opened and belongs to nobody else.
    let token = unsafe { OwnedHandle::from_raw_handle(token) };
    let mut elevation = TOKEN_ELEVATION::default();
    let (mut written, size) = (0, size_of::<TOKEN_ELEVATION>() as u32);
    // SAFETY: the answer of this class is a `TOKEN_ELEVATION`, and its size is given.
    let asked = unsafe {
        GetTokenInformation(
            token.as_raw_handle(),
            TokenElevation,
            (&raw mut elevation).cast(),
            size,
            &raw mut written,
        )
    };
    asked != 0 && elevation.TokenIsElevated != 0
}
