//! The readings on Windows, one file a family. Only the running system is read: what is in the registry of a mounted
//! disk, and what runs or listens, cannot be told from its files.

mod files;
mod listening;
mod registry;
mod registry_value;
mod services;

use std::cell::OnceCell;
use std::io;
use std::path::Path;

use wardwatch_policies::observation::registry::look_up;
use wardwatch_policies::observation::{Observation, Protocol, Reading, Socket, Unreadable};
use wardwatch_policies::system::System;

use super::say;
use crate::platform;

/// The system that is read here.
pub const SYSTEM: System = System::Windows;

/// What several readings share is read once.
pub(super) struct Sensor {
    is_running_system: bool,
    people: OnceCell<Result<Vec<String>, Unreadable>>,
}

impl Sensor {
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let is_running_system = root.canonicalize()? == platform::system_root().canonicalize()?;
        Ok(Self { is_running_system, people: OnceCell::new() })
    }

    pub(super) fn read(&self, reading: &Reading) -> Result<Observation, Unreadable> {
        if !self.is_running_system {
            return Err(Unreadable("of Windows only the running system can be read".into()));
        }
        match reading {
            Reading::Registry(source) => {
                let people = if source.is_personal() { self.people()? } else { &[] };
                look_up(source, people, registry::look).map(Observation::Registry)
            }
            Reading::Service { name } => services::service(name).map(Observation::Service),
            Reading::Sockets => sockets().map(Observation::Sockets),
            Reading::Files { path } => files::seen(path).map(Observation::Files),
            Reading::Lines { .. } | Reading::Key(_) => not_read("text of files"),
            Reading::Accounts { .. } => not_read("accounts"),
            Reading::Processes => not_read("processes"),
            Reading::Sysctl { .. } | Reading::Mounts | Reading::Package { .. } => {
                Err(Unreadable("Windows has no such thing".into()))
            }
        }
    }

    fn people(&self) -> Result<&[String], Unreadable> {
        let people = self.people.get_or_init(registry::people);
        people.as_ref().map(Vec::as_slice).map_err(Clone::clone)
    }
}

fn not_read(what: &str) -> Result<Observation, Unreadable> {
    Err(Unreadable(format!("on Windows {what} cannot be checked by this version")))
}

fn sockets() -> Result<Vec<Socket>, Unreadable> {
    let of = |protocol, addresses: Vec<std::net::SocketAddr>| {
        addresses.into_iter().map(move |address| Socket {
            protocol,
            port: address.port(),
            address: address.to_string(),
            loopback: address.ip().to_canonical().is_loopback(),
        })
    };
    let wrong = |error: io::Error| Unreadable(format!("the tables of sockets: {}", say(&error)));
    let tcp = listening::tcp().map_err(wrong)?;
    let udp = listening::udp().map_err(wrong)?;
    Ok(of(Protocol::Tcp, tcp).chain(of(Protocol::Udp, udp)).collect())
}
