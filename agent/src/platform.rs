//! The one place that knows the operating system. The rest of the agent calls these functions and carries no
//! `cfg`; another system is another file beside `platform/linux.rs` with the same signatures.

use std::path::PathBuf;

#[cfg(target_os = "linux")]
#[path = "platform/linux.rs"]
mod system;

pub use system::{
    DEFAULT_ROOTS, boot_elapsed, default_state_dir, endpoint_path, file_system_ids, hostname, is_superuser,
    keep_files_private, local_path, lower_priority, machine, mounts, prompt_secret, shutdown_is_under_way,
};

/// A file system in the tree of folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    pub point: PathBuf,
    /// As the kernel names it, such as `ext4` or `fuse.sshfs`.
    pub file_system: String,
}
