//! Least privilege: LocalSystem has two dozen privileges, of which the service keeps one.
#![expect(unsafe_code, reason = "no safe crate sets a service's privileges")]

use std::io;

use windows_service::service::Service;
use windows_sys::Win32::System::Services::{
    ChangeServiceConfig2W, SERVICE_CONFIG_REQUIRED_PRIVILEGES_INFO, SERVICE_REQUIRED_PRIVILEGES_INFOW,
};

/// To pass through folders. What LocalSystem may read it may read by its place in access lists.
pub(super) const NEEDED: &str = "SeChangeNotifyPrivilege";

/// The service manager takes all other privileges from the service when it starts it.
pub(super) fn limit(service: &Service) -> io::Result<()> {
    // A list of texts that each end with a zero, ended by one more.
    let mut names: Vec<u16> = NEEDED.encode_utf16().chain([0, 0]).collect();
    let list = SERVICE_REQUIRED_PRIVILEGES_INFOW { pmszRequiredPrivileges: names.as_mut_ptr() };
    // SAFETY: the handle is open as long as the service is borrowed; the list has the form that this kind of
    // setting asks for and lives until the call returns.
    let set = unsafe {
        ChangeServiceConfig2W(
            service.raw_handle(),
            SERVICE_CONFIG_REQUIRED_PRIVILEGES_INFO,
            (&raw const list).cast(),
        )
    };
    if set == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
