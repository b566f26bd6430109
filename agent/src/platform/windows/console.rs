//! Asks a person at the console.
#![expect(unsafe_code, reason = "no safe crate of ours sets the mode of a console")]

use std::io::{self, BufRead};
use std::os::windows::io::AsRawHandle;

use windows_sys::Win32::System::Console::{ENABLE_ECHO_INPUT, GetConsoleMode, SetConsoleMode};
use zeroize::Zeroizing;

/// Asks at the console without echo, and gives the echo back whatever happens.
///
/// # Errors
/// Standard input is no console, or ends.
pub fn prompt_secret(prompt: &str) -> io::Result<Zeroizing<String>> {
    let stdin = io::stdin();
    let console = stdin.as_raw_handle();
    let mut before = 0;
    // SAFETY: the handle is that of standard input, which stays open; the mode is written to a local.
    if unsafe { GetConsoleMode(console, &raw mut before) } == 0 {
        return Err(io::Error::last_os_error());
    }
    eprint!("{prompt}");
    // SAFETY: as above.
    if unsafe { SetConsoleMode(console, before & !ENABLE_ECHO_INPUT) } == 0 {
        return Err(io::Error::last_os_error());
    }
    let mut line = Zeroizing::new(String::new());
    let read = stdin.lock().read_line(&mut line);
    // SAFETY: as above.
    let restored = unsafe { SetConsoleMode(console, before) };
    eprintln!();
    if restored == 0 {
        return Err(io::Error::last_os_error());
    }
    read.map(|_| line)
}
