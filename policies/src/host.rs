//! What a host says of itself. Reading it is the agent's work.

use serde::{Deserialize, Serialize};

use crate::release::Target;

/// Facts about an endpoint's hardware and system, as the host sensor read them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostFacts {
    pub hostname: String,
    /// As in `Debian GNU/Linux 12`.
    pub os: String,
    pub kernel: String,
    /// As in `x86_64`.
    pub architecture: String,
    pub cpu: String,
    pub cpu_count: u32,
    pub memory_bytes: u64,
    pub disks: Vec<Disk>,
    /// Addresses with prefix length, as in `192.0.2.7/24`; loopback is left out.
    pub addresses: Vec<String>,
    pub agent_version: String,
    /// What the agent was built for; `None` from agents that did not say it yet.
    #[serde(default)]
    pub target: Option<Target>,
    /// What the agent cannot do here and why, as in "not root: 12 files below /usr/sbin cannot be read".
    pub limits: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    pub mount: String,
    pub file_system: String,
    pub total_bytes: u64,
    pub free_bytes: u64,
}
