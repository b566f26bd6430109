//! How a service stands, by the service manager.

use std::io;

use wardwatch_policies::observation::{ServiceSeen, Unreadable};
use wardwatch_policies::policy::registry::View;
use windows_registry::LOCAL_MACHINE;
use windows_service::Error;
use windows_service::service::{ServiceAccess, ServiceStartType, ServiceState};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};

use super::super::say;
use super::registry;

const NO_SUCH_SERVICE: i32 = 1060;
/// The most triggers of one service that are looked through.
const MAX_TRIGGERS: usize = 64;

pub(super) fn service(name: &str) -> Result<ServiceSeen, Unreadable> {
    let manager = ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT)
        .map_err(|error| Unreadable(format!("the service manager: {}", tell(&error))))?;
    let service = match manager.open_service(name, ServiceAccess::QUERY_CONFIG | ServiceAccess::QUERY_STATUS)
    {
        Ok(service) => service,
        Err(Error::Winapi(error)) if error.raw_os_error() == Some(NO_SUCH_SERVICE) => {
            return Ok(ServiceSeen::absent());
        }
        Err(error) => return Err(Unreadable(tell(&error))),
    };
    let start = service.query_config().map_err(|error| Unreadable(tell(&error)))?.start_type;
    let has_trigger = start == ServiceStartType::OnDemand
        && has_start_trigger(name).map_err(|error| Unreadable(say(&error)))?;
    let active = service
        .query_status()
        .map(|status| !matches!(status.current_state, ServiceState::Stopped | ServiceState::StopPending))
        .map_err(|error| Unreadable(tell(&error)));
    Ok(ServiceSeen {
        at: None,
        installed: true,
        enabled: has_trigger || !matches!(start, ServiceStartType::OnDemand | ServiceStartType::Disabled),
        masked: start == ServiceStartType::Disabled,
        start_type: Some(match start {
            ServiceStartType::AutoStart => "automatic",
            ServiceStartType::OnDemand if has_trigger => "manual, with a trigger",
            ServiceStartType::OnDemand => "manual",
            ServiceStartType::Disabled => "disabled",
            ServiceStartType::SystemStart => "system",
            ServiceStartType::BootStart => "boot",
        }),
        active,
    })
}

/// Whether Windows starts it by itself on an event, such as a device that comes or a packet to its port. The
/// service manager keeps this in the registry.
fn has_start_trigger(name: &str) -> io::Result<bool> {
    const ACTION_START: u32 = 1;
    let path = format!("SYSTEM\\CurrentControlSet\\Services\\{name}\\TriggerInfo");
    let Some(triggers) = registry::open(LOCAL_MACHINE, &path, View::Bits64)? else { return Ok(false) };
    for trigger in registry::or_io(triggers.keys())?.take(MAX_TRIGGERS) {
        let trigger = registry::open(&triggers, &trigger, View::Bits64)?;
        if trigger.is_some_and(|trigger| trigger.get_u32("Action").is_ok_and(|action| action == ACTION_START))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn tell(error: &Error) -> String {
    match error {
        Error::Winapi(error) => say(error),
        error => error.to_string(),
    }
}
