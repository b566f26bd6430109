//! The readings on Linux, one file a family. Neighbour: [`place`], the only module that opens anything.

mod accounts;
mod files;
mod keys;
mod live;
mod packages;
mod place;
mod services;
mod sockets;

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use wardwatch_policies::observation::{Observation, Reading, Unreadable};
use wardwatch_policies::system::System;

use place::Place;

/// The system that is read here.
pub const SYSTEM: System = System::Linux;

type Installed = BTreeMap<String, String>;

/// Reads below one root; what several readings share is read once.
pub(super) struct Sensor {
    place: Place,
    packages: OnceCell<Result<Installed, Unreadable>>,
    groups: OnceCell<BTreeMap<u32, String>>,
}

impl Sensor {
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        Ok(Self { place: Place::open(root)?, packages: OnceCell::new(), groups: OnceCell::new() })
    }

    pub(super) fn read(&self, reading: &Reading) -> Result<Observation, Unreadable> {
        let place = &self.place;
        match reading {
            Reading::Files { path } => {
                let groups = self.groups.get_or_init(|| files::groups(place));
                files::seen(place, groups, path).map(Observation::Files)
            }
            Reading::Lines { path, line } => files::lines(place, path, line).map(Observation::Lines),
            Reading::Key(source) => keys::key(place, source).map(Observation::Key),
            Reading::Registry(_) => Err(Unreadable("Linux has no registry".into())),
            Reading::Sysctl { name } => live::sysctl(place, name).map(Observation::Sysctl),
            Reading::Mounts => live::mounts(place).map(Observation::Mounts),
            Reading::Processes => live::processes(place).map(Observation::Processes),
            Reading::Package { name } => {
                let installed = self.packages.get_or_init(|| packages::installed(place)).as_ref();
                installed.map(|names| Observation::Package(names.get(name).cloned())).map_err(Clone::clone)
            }
            Reading::Service { name } => services::service(place, name).map(Observation::Service),
            Reading::Accounts { passwords } => {
                accounts::accounts(place, passwords).map(Observation::Accounts)
            }
            Reading::Sockets => sockets::listening(place).map(Observation::Sockets),
        }
    }
}
