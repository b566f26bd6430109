//! The sensor of the machine itself: system, hardware, disks, addresses.

use sysinfo::{CpuRefreshKind, Disks, MemoryRefreshKind, Networks, RefreshKind, System};
use wardwatch_policies::host::{Disk, HostFacts};
use wardwatch_policies::release::Version;

use crate::upgrade;

/// Reads what the system says of the machine; `version` is the agent's, `limits` what it cannot do here.
#[must_use]
pub fn read(version: Version, limits: Vec<String>) -> HostFacts {
    // Each is told as unknown by itself: a recorder's system may not know all of them.
    let wanted = RefreshKind::nothing()
        .with_cpu(CpuRefreshKind::nothing())
        .with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(wanted).ok();
    let cpus = system.as_ref().map_or(&[][..], System::cpus);
    let or_unknown = |text: Option<String>| text.unwrap_or_else(|| "unknown".into());
    HostFacts {
        hostname: or_unknown(System::host_name().ok()),
        os: or_unknown(System::long_os_version().ok()),
        kernel: or_unknown(System::kernel_version().ok()),
        architecture: System::cpu_arch(),
        cpu: or_unknown(cpus.first().map(|cpu| cpu.brand().to_owned())),
        cpu_count: u32::try_from(cpus.len()).unwrap_or(u32::MAX),
        memory_bytes: system.as_ref().map_or(0, System::total_memory),
        disks: disks(),
        addresses: addresses(),
        agent_version: version.to_string(),
        target: Some(upgrade::target()),
        limits,
    }
}

fn disks() -> Vec<Disk> {
    let mut disks: Vec<_> = Disks::new_with_refreshed_list()
        .iter()
        .flat_map(|disks| disks.iter())
        .map(|disk| Disk {
            mount: disk.mount_point().to_string_lossy().into_owned(),
            file_system: disk.file_system().to_string_lossy().into_owned(),
            total_bytes: disk.total_space(),
            free_bytes: disk.available_space(),
        })
        .collect();
    disks.sort_by(|a, b| a.mount.cmp(&b.mount));
    disks
}

fn addresses() -> Vec<String> {
    let networks = Networks::new_with_refreshed_list();
    let mut addresses: Vec<_> = networks
        .iter()
        .flat_map(|networks| networks.iter())
        .flat_map(|(_, network)| network.ip_networks())
        .filter(|network| !network.addr.is_loopback())
        .map(|network| format!("{}/{}", network.addr, network.prefix))
        .collect();
    addresses.sort();
    addresses
}

/// The facts without what changes from minute to minute, to tell whether they are worth a report.
#[must_use]
pub fn lasting(facts: &HostFacts) -> HostFacts {
    let mut lasting = facts.clone();
    lasting.disks.iter_mut().for_each(|disk| disk.free_bytes = 0);
    lasting
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_name_a_processor_and_memory() {
        let facts = read("0.1.0".parse().unwrap(), Vec::new());
        assert!(!facts.hostname.is_empty() && !facts.kernel.is_empty());
        assert!(facts.cpu_count > 0 && facts.memory_bytes > 0);
        assert!(facts.addresses.iter().all(|address| !address.starts_with("127.")));
    }
}
