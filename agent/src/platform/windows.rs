//! Windows: what the system calls, the registry and the firmware say.
//!
//! Inside the agent paths have the long form (`\\?\C:\…`), which has no limit of 260 characters and in which no
//! part is changed on the way; reports and messages show them without it.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use wardwatch_policies::digest::Digest;

mod console;
mod drives;
mod event_log;
pub mod files;
mod firmware;
mod identity;
mod known_folder;
mod paths;
mod private;
mod programs;
mod rights;
mod service;
mod stop;
mod thread_priority;
pub mod wake;
pub mod watch;

pub use console::prompt_secret;
pub use drives::foreign_places;
pub use event_log::log_writer;
pub use identity::{boot_elapsed, boot_id, hostname, is_superuser, machine};
pub use paths::{
    FULL_PATH_BEGINS_WITH, default_config_file, default_excludes, default_program, default_roots,
    default_state_dir, endpoint_path, enrolment_file, local_path, system_root, walked_path,
};
pub use private::{create_private_folder, distrust, open_private};
pub use programs::{become_program, end_children_too, end_with_parent, free_bytes, make_runnable};
pub use service::under_service_manager;
pub use stop::stop_requested;
pub use thread_priority::lower_priority;

/// Whoever may see everything here.
pub const SUPERUSER: &str = "an administrator";

/// For messages.
pub const BECOME_SUPERUSER: &str = "call it from a prompt that was opened with \"Run as administrator\"";

/// What an agent without an administrator's rights cannot do here, each with what is lost.
#[must_use]
pub fn lost_without_rights() -> &'static [&'static str] {
    &[
        "files that only the system or administrators may read are told as unreadable, and their folders are not watched",
        "checks that read settings closed to users, such as those of other users and of security, are unknown",
        "no service can be registered: the agent ends with the session, and nothing starts it again",
        "the state folder lies in the user's own profile, whose programs can read the agent's keys",
    ]
}

/// A replaced file may be held for a moment by whoever looks at every new file.
const REPLACE_ATTEMPTS: u32 = 20;
const REPLACE_PAUSE: Duration = Duration::from_millis(25);

/// Nothing to do: a file has the rights that its folder hands down.
pub fn keep_files_private() {}

/// A file has the rights that its folder hands down.
#[must_use]
pub fn private_file() -> OpenOptions {
    OpenOptions::new()
}

/// Puts `draft`, whose content is on disk, in the place of `path`, and returns once that is on disk too.
///
/// # Errors
/// It cannot be moved; then `path` is as it was.
pub fn replace_file(draft: &Path, path: &Path) -> io::Result<()> {
    let mut attempts = 0;
    loop {
        match fs::rename(draft, path) {
            Err(error) if is_held(&error) && attempts < REPLACE_ATTEMPTS => {
                attempts += 1;
                thread::sleep(REPLACE_PAUSE);
            }
            result => break result?,
        }
    }
    OpenOptions::new().write(true).open(path)?.sync_all()
}

fn is_held(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied || files::is_in_use(error)
}

/// None: a volume's serial number stays the same from boot to boot.
#[must_use]
pub fn file_system_ids() -> HashMap<u64, Digest> {
    HashMap::new()
}
