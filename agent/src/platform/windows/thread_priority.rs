//! The place of a thread behind all others.
#![expect(unsafe_code, reason = "no safe crate sets the background mode of a thread")]

use windows_sys::Win32::System::Threading::{
    GetCurrentThread, SetThreadPriority, THREAD_MODE_BACKGROUND_BEGIN,
};

/// Lets every other thread of the machine go first, for processor, disk and memory. Best effort: a refusal changes
/// nothing but speed.
pub fn lower_priority() {
    // SAFETY: both calls take no pointers; the handle stands for the calling thread and is not closed.
    unsafe {
        SetThreadPriority(GetCurrentThread(), THREAD_MODE_BACKGROUND_BEGIN);
    }
}
