//! The one place that knows the operating system. The rest of the agent calls these functions and carries no
//! `cfg`; each system is a file beside this one with the same signatures.
//!
//! `files` looks at single files, `watch` hears of changes, `wake` wakes a thread that waits for them.

use std::path::PathBuf;

use tokio::sync::oneshot;
use wardwatch_wire::report::StopReason;

mod machine;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
use linux as system;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as system;

pub use machine::Machine;
pub use system::{
    BECOME_SUPERUSER, FULL_PATH_BEGINS_WITH, SUPERUSER, become_program, boot_elapsed, boot_id,
    create_private_folder, default_config_file, default_excludes, default_program, default_roots,
    default_state_dir, distrust, end_children_too, end_with_parent, endpoint_path, enrolment_file,
    file_system_ids, files, foreign_places, free_bytes, hostname, is_superuser, keep_files_private,
    local_path, log_writer, lost_without_rights, lower_priority, machine, make_runnable, open_private,
    private_file, prompt_secret, replace_file, stop_requested, system_root, under_service_manager, wake,
    walked_path, watch,
};

/// What people read where the system names this program: its service, and on Windows the source of its events.
pub const DISPLAY_NAME: &str = "Wardwatch agent";

/// Tells when the service manager asks this process to stop, where there is one that does it so.
pub type Stop = Option<oneshot::Receiver<StopReason>>;

/// A process cannot become another program here: that is to be run beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunBeside;

/// A place in the tree of folders whose files are not this machine's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignPlace {
    pub point: PathBuf,
    /// Why it is not entered, in English, as in `a network file system (nfs4)`.
    pub reason: String,
}

/// What the system says of one regular file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileFacts {
    /// Bytes.
    pub size: u64,
    /// The file system it lies on, and its number there.
    pub device: u64,
    pub number: u128,
    /// When content and attributes last changed, in the system's own unit and epoch.
    pub changed: [i128; 2],
    /// Unix permission bits; `None` where the system has none.
    pub mode: Option<u32>,
    /// Numeric owner and group; `None` where the system has none.
    pub owner: Option<(u32, u32)>,
    /// Why its content must not be opened, in English: to read it would fetch it from elsewhere.
    pub away: Option<&'static str>,
}

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A file came, went, was closed after writing, or has other rights now.
    File(PathBuf),
    /// A file is being written and may be written on.
    Writing(PathBuf),
    /// A folder came; nothing in it was looked at yet.
    FolderCame(PathBuf),
    /// A folder is no longer there.
    FolderWent(PathBuf),
    /// The system dropped notices: anything may have happened.
    Overflow,
}

/// A folder that is not watched, with the reason in English.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotWatched(pub String);
