//! Where the service's parts lie. What differs from the usual stands in the command line of the registered service,
//! so that a later call finds everything again.
#![expect(unsafe_code, reason = "no safe crate splits a command line as Windows does")]

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::windows::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use anyhow::Result;
use windows_sys::Win32::Foundation::LocalFree;
use windows_sys::Win32::UI::Shell::CommandLineToArgvW;

use super::super::Places;
use super::manager;

/// What a place is called in the arguments of the service.
pub(super) const STATE_DIR_FLAG: &str = "--state-dir";
pub(super) const CONFIG_FLAG: &str = "--config";

/// What was asked for, else what an earlier call registered.
///
/// # Errors
/// The service manager does not say what is registered.
pub(super) fn resolve(asked: &Places) -> Result<Places> {
    let registered = match manager::command_line()? {
        Some(line) => registered(&line)?,
        None => Places::default(),
    };
    let asked = asked.clone();
    Ok(Places {
        program: asked.program.or(registered.program),
        state_dir: asked.state_dir.or(registered.state_dir),
        config: asked.config.or(registered.config),
    })
}

fn registered(line: &OsStr) -> io::Result<Places> {
    let words = split(line)?;
    // Else somebody let another program start the agent, and that one is not ours to replace or remove.
    if words.get(1).is_none_or(|word| word != "run") {
        return Ok(Places::default());
    }
    let after = |flag| words.iter().skip_while(|word| *word != flag).nth(1).map(PathBuf::from);
    Ok(Places {
        program: words.first().map(PathBuf::from),
        state_dir: after(STATE_DIR_FLAG),
        config: after(CONFIG_FLAG),
    })
}

fn split(line: &OsStr) -> io::Result<Vec<OsString>> {
    let line: Vec<u16> = line.encode_wide().chain([0]).collect();
    let mut count = 0;
    // SAFETY: the line ends with a zero, and the count goes to a local.
    let words = unsafe { CommandLineToArgvW(line.as_ptr(), &raw mut count) };
    if words.is_null() {
        return Err(io::Error::last_os_error());
    }
    let owned = (0..usize::try_from(count).unwrap_or(0)).map(|index| {
        // SAFETY: the system gave so many words.
        let word = unsafe { *words.add(index) };
        // SAFETY: a word ends with a zero, and nothing before it is read.
        let length = (0..).take_while(|&unit| unsafe { *word.add(unit) } != 0).count();
        // SAFETY: so many units were just read there.
        OsString::from_wide(unsafe { std::slice::from_raw_parts(word, length) })
    });
    let owned = owned.collect();
    // SAFETY: words and their list are one piece, to be freed so; nothing uses it any more.
    unsafe { LocalFree(words.cast()) };
    Ok(owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_in_the_command_line_of_the_service() {
        let line = r#""D:\Máy chủ\agent.exe" run --service --state-dir "D:\a b\\" --config D:\agent.toml"#;
        let places = Places {
            program: Some(r"D:\Máy chủ\agent.exe".into()),
            state_dir: Some("D:\\a b\\".into()),
            config: Some(r"D:\agent.toml".into()),
        };
        assert_eq!(registered(OsStr::new(line)).unwrap(), places);
        let other = registered(OsStr::new(r"C:\starter.exe C:\agent.exe run --service")).unwrap();
        assert_eq!(other, Places::default());
        let usual = registered(OsStr::new(r"C:\agent.exe run --service")).unwrap();
        assert_eq!(usual, Places { program: Some(r"C:\agent.exe".into()), ..Places::default() });
    }
}
