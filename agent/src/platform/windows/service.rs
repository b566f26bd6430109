//! A process that the service manager started: it says how it is and hears when to stop.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::sync::oneshot;
use wardwatch_wire::report::StopReason;
use windows_service::service::{
    ServiceControl, ServiceControlAccept, ServiceExitCode, ServiceState, ServiceStatus, ServiceType,
};
use windows_service::service_control_handler::{self, ServiceControlHandlerResult, ServiceStatusHandle};
use windows_service::{define_windows_service, service_dispatcher};

use super::event_log;
use crate::platform::Stop;
use crate::upgrade;

/// How long the manager is to wait for the end before it takes the service for hung.
const STOPPING: Duration = Duration::from_secs(20);
/// Tells the manager of a failure, so that it starts the service again.
const FAILED: ServiceExitCode = ServiceExitCode::ServiceSpecific(1);

type Work = Box<dyn FnOnce(Stop) -> Result<ExitCode> + Send>;

/// What the manager's thread is to do: it calls a function without arguments of ours.
static WORK: Mutex<Option<Work>> = Mutex::new(None);
/// What came of it.
static OUTCOME: Mutex<Option<Result<ExitCode>>> = Mutex::new(None);

define_windows_service!(service_entry, service_main);

/// Does the work as the service of this name, for the service manager that started this process.
///
/// # Errors
/// What the work fails with; or a person started the process, whom no service manager answers.
pub fn under_service_manager(
    name: &str,
    work: impl FnOnce(Stop) -> Result<ExitCode> + Send + 'static,
) -> Result<ExitCode> {
    // A program of a slot runs beside the service, which tells it when to stop.
    if upgrade::is_beside() {
        return work(None);
    }
    put(&WORK, Box::new(work) as Work);
    service_dispatcher::start(name, service_entry)
        .context("no service manager started this program, so nothing runs; leave --service out")?;
    take(&OUTCOME).context("the service manager never began the service")?
}

fn service_main(arguments: Vec<OsString>) {
    event_log::become_service();
    if let Err(error) = serve(&arguments) {
        put(&OUTCOME, Err(error));
    }
}

/// # Errors
/// The service manager does not hear this process.
fn serve(arguments: &[OsString]) -> Result<()> {
    let work = take(&WORK).context("the work was begun already")?;
    let name = arguments.first().context("the service manager gave no name")?;
    let (stop, stopped) = oneshot::channel();
    let stop = Mutex::new(Some(stop));
    let status = std::sync::Arc::new(Mutex::new(None::<ServiceStatusHandle>));
    let teller = std::sync::Arc::clone(&status);
    let handle = service_control_handler::register(name, move |control| {
        let reason = match control {
            ServiceControl::Interrogate => return ServiceControlHandlerResult::NoError,
            ServiceControl::Stop => StopReason::Service,
            ServiceControl::Preshutdown | ServiceControl::Shutdown => StopReason::Shutdown,
            _ => return ServiceControlHandlerResult::NotImplemented,
        };
        if let Some(handle) = *teller.lock().unwrap_or_else(PoisonError::into_inner) {
            tell(handle, ServiceState::StopPending, ServiceExitCode::NO_ERROR);
        }
        if let Some(stop) = take(&stop) {
            // Whoever does not listen any more has stopped.
            let _ = stop.send(reason);
        }
        ServiceControlHandlerResult::NoError
    })
    .map_err(|error| anyhow!("the service manager takes no answer: {error}"))?;
    put(&status, handle);
    tell(handle, ServiceState::Running, ServiceExitCode::NO_ERROR);
    let outcome = work(Some(stopped));
    let is_well = outcome.as_ref().is_ok_and(|code| *code == ExitCode::SUCCESS);
    // Before the manager lets the main thread go on, which ends the process.
    put(&OUTCOME, outcome);
    tell(handle, ServiceState::Stopped, if is_well { ServiceExitCode::NO_ERROR } else { FAILED });
    Ok(())
}

fn tell(handle: ServiceStatusHandle, state: ServiceState, exit_code: ServiceExitCode) {
    let running = state == ServiceState::Running;
    let accepted = ServiceControlAccept::STOP | ServiceControlAccept::PRESHUTDOWN;
    let status = ServiceStatus {
        service_type: ServiceType::OWN_PROCESS,
        current_state: state,
        controls_accepted: if running { accepted } else { ServiceControlAccept::empty() },
        exit_code,
        checkpoint: 0,
        wait_hint: if state == ServiceState::StopPending { STOPPING } else { Duration::ZERO },
        process_id: None,
    };
    if let Err(error) = handle.set_service_status(status) {
        tracing::error!("the service manager is not told how the service is: {error}");
    }
}

fn put<T>(place: &Mutex<Option<T>>, value: T) {
    *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
}

fn take<T>(place: &Mutex<Option<T>>) -> Option<T> {
    place.lock().unwrap_or_else(PoisonError::into_inner).take()
}
