//! What is asked of the service manager.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use windows_service::Error;
use windows_service::service::{
    Service, ServiceAccess, ServiceAction, ServiceActionType, ServiceErrorControl, ServiceFailureActions,
    ServiceFailureResetPeriod, ServiceInfo, ServiceStartType, ServiceState, ServiceType,
};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};

use super::super::{Done, NAME};
use super::privileges;
use crate::platform;

const DESCRIPTION: &str = "Watches this machine's files and settings and reports to its collector.";
const MAY_CREATE: ServiceManagerAccess =
    ServiceManagerAccess::CONNECT.union(ServiceManagerAccess::CREATE_SERVICE);
const DOES_NOT_EXIST: i32 = 1060;
const INVALID_LEVEL: i32 = 124;
/// How long the service may take to stop or start.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the system waits for the service before it goes down, for the last reports.
const PRESHUTDOWN: Duration = Duration::from_secs(10);
/// Failures that are a day apart do not count together.
const FAILURES_COUNT_FOR: Duration = Duration::from_secs(24 * 3600);
/// After the first failure, the second, and every further one.
const RESTARTS: [Duration; 3] = [Duration::from_secs(5), Duration::from_secs(30), Duration::from_secs(60)];

/// Makes the service or sets it right. It runs as LocalSystem, which may read what is to be watched.
pub(super) fn register(program: &Path, arguments: &[OsString]) -> Result<Done> {
    let info = ServiceInfo {
        name: NAME.into(),
        display_name: platform::DISPLAY_NAME.into(),
        service_type: ServiceType::OWN_PROCESS,
        start_type: ServiceStartType::AutoStart,
        error_control: ServiceErrorControl::Normal,
        executable_path: program.into(),
        launch_arguments: arguments.to_vec(),
        dependencies: Vec::new(),
        account_name: None,
        account_password: None,
    };
    let service = match find()? {
        Some(service) => {
            service.change_config(&info)?;
            service
        }
        None => manager(MAY_CREATE)?.create_service(&info, ServiceAccess::ALL_ACCESS)?,
    };
    service.set_description(DESCRIPTION)?;
    Ok(Done::Now)
}

/// How a registered service is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Setting {
    LateStart,
    Restarts,
    /// An agent that ends with an error has failed as much as one that crashes.
    RestartsAfterErrors,
    TimeToStop,
    Privileges,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LateStart => write!(f, "start it after what people wait for"),
            Self::Restarts => write!(f, "start it again when it crashes"),
            Self::RestartsAfterErrors => write!(f, "start it again when it ends with an error"),
            Self::TimeToStop => write!(f, "let it say good-bye before shutdown"),
            Self::Privileges => write!(f, "leave it no privilege but {}", privileges::NEEDED),
        }
    }
}

/// Wine knows some of these settings only; any Windows that is supported knows all.
pub(super) fn configure(setting: Setting) -> Result<Done> {
    let service = find()?.context("it is not registered")?;
    let restart = |delay| ServiceAction { action_type: ServiceActionType::Restart, delay };
    let set = match setting {
        Setting::LateStart => service.set_delayed_auto_start(true),
        Setting::Restarts => service.update_failure_actions(ServiceFailureActions {
            reset_period: ServiceFailureResetPeriod::After(FAILURES_COUNT_FOR),
            reboot_msg: None,
            command: None,
            actions: Some(RESTARTS.map(restart).into()),
        }),
        Setting::RestartsAfterErrors => service.set_failure_actions_on_non_crash_failures(true),
        Setting::TimeToStop => service.set_preshutdown_timeout(PRESHUTDOWN),
        Setting::Privileges => privileges::limit(&service).map_err(Error::Winapi),
    };
    match set {
        Ok(()) => Ok(Done::Now),
        Err(Error::Winapi(error)) if error.raw_os_error() == Some(INVALID_LEVEL) => {
            Ok(Done::InVain("this system has no such setting".into()))
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) fn start() -> Result<Done> {
    let service = find()?.context("it is not registered")?;
    if service.query_status()?.current_state != ServiceState::Stopped {
        return Ok(Done::Before);
    }
    service.start::<OsString>(&[])?;
    wait_for(&service, ServiceState::Running)?;
    Ok(Done::Now)
}

pub(super) fn stop() -> Result<Done> {
    let Some(service) = find()? else { return Ok(Done::Before) };
    if service.query_status()?.current_state == ServiceState::Stopped {
        return Ok(Done::Before);
    }
    service.stop()?;
    wait_for(&service, ServiceState::Stopped)?;
    Ok(Done::Now)
}

pub(super) fn unregister() -> Result<Done> {
    let Some(service) = find()? else { return Ok(Done::Before) };
    service.delete()?;
    Ok(Done::Now)
}

fn wait_for(service: &Service, state: ServiceState) -> Result<()> {
    let begin = Instant::now();
    while service.query_status()?.current_state != state {
        if begin.elapsed() > PATIENCE {
            bail!("it has not done so within {} s; see the Application log", PATIENCE.as_secs());
        }
        sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// The command line of the registered service. Whoever sees services may ask, so that a dry run needs no rights.
pub(super) fn command_line() -> Result<Option<OsString>> {
    let service = open(ServiceManagerAccess::CONNECT, ServiceAccess::QUERY_CONFIG)?;
    // The crate names it after its first part.
    Ok(service.map(|service| service.query_config()).transpose()?.map(|seen| seen.executable_path.into()))
}

fn find() -> Result<Option<Service>> {
    open(MAY_CREATE, ServiceAccess::ALL_ACCESS)
}

fn open(manager_access: ServiceManagerAccess, access: ServiceAccess) -> Result<Option<Service>> {
    match manager(manager_access)?.open_service(NAME, access) {
        Ok(service) => Ok(Some(service)),
        Err(Error::Winapi(error)) if error.raw_os_error() == Some(DOES_NOT_EXIST) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn manager(access: ServiceManagerAccess) -> Result<ServiceManager> {
    ServiceManager::local_computer(None::<&str>, access).context("the service manager lets nobody in")
}
