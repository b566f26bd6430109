//! Writes the man pages and shell completions of both programs from their command lines, for the packages.
//!
//! What a command line does not know, its exit codes, files and variables, is in `sections`. Nothing here knows
//! what a package looks like: that is `cross/package`.

mod sections;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Command, Parser};
use clap_complete::Shell;
use clap_mangen::Man;

use sections::Section;

/// Writes `man/`, `bash/`, `zsh/`, `fish/` and `powershell/` below a folder.
#[derive(Parser)]
struct Cli {
    /// The folder; made if it is missing.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The day that stands on the man pages, as YYYY-MM-DD.
    #[arg(long, value_name = "DATE")]
    date: String,
}

const SHELLS: [(Shell, &str); 4] =
    [(Shell::Bash, "bash"), (Shell::Zsh, "zsh"), (Shell::Fish, "fish"), (Shell::PowerShell, "powershell")];

fn main() -> Result<()> {
    let cli = Cli::parse();
    write(wardwatch_agent::cli::command(), sections::AGENT, &cli)?;
    write(wardwatch_collector::cli::command(), sections::COLLECTOR, &cli)
}

fn write(command: Command, more: &[Section], Cli { folder, date }: &Cli) -> Result<()> {
    for (shell, name) in SHELLS {
        let to = make(folder, name)?;
        clap_complete::generate_to(shell, &mut command.clone(), command.get_name(), &to)
            .with_context(|| format!("completions cannot be written to {}", to.display()))?;
    }
    let to = make(folder, "man")?;
    // Its pages would say what `--help` says.
    let mut command = command.disable_help_subcommand(true);
    command.build();
    write_pages(&command, more, date, &to)
}

fn make(folder: &Path, name: &str) -> Result<PathBuf> {
    let folder = folder.join(name);
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    Ok(folder)
}

/// One page for the command, and one for each below it.
fn write_pages(command: &Command, more: &[Section], date: &str, folder: &Path) -> Result<()> {
    let page = page(command, more, date)?;
    let man = Man::new(command.clone());
    let path = folder.join(man.get_filename());
    File::create(&path)
        .and_then(|mut file| file.write_all(&page))
        .with_context(|| format!("{} cannot be written", path.display()))?;
    let below = command.get_subcommands().filter(|below| !below.is_hide_set());
    below.into_iter().try_for_each(|below| write_pages(below, &[], date, folder))
}

fn page(command: &Command, more: &[Section], date: &str) -> std::io::Result<Vec<u8>> {
    let man = Man::new(command.clone())
        .date(date)
        .source(concat!("Wardwatch ", env!("CARGO_PKG_VERSION")))
        .manual("Wardwatch");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    if command.get_arguments().any(|argument| !argument.is_hide_set()) {
        man.render_options_section(&mut page)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    for section in more {
        section.render(&mut page)?;
    }
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_has_a_page_and_each_shell_its_completions() {
        let folder = tempfile::tempdir().unwrap();
        let cli = Cli { folder: folder.path().into(), date: "2026-11-22".into() };
        write(wardwatch_agent::cli::command(), sections::AGENT, &cli).unwrap();
        write(wardwatch_collector::cli::command(), sections::COLLECTOR, &cli).unwrap();
        for file in [
            "man/wardwatch-agent.1",
            "man/wardwatch-agent-enrol.1",
            "man/wardwatch-collector-token-create.1",
            "bash/wardwatch-agent.bash",
            "zsh/_wardwatch-collector",
            "fish/wardwatch-agent.fish",
            "powershell/_wardwatch-agent.ps1",
        ] {
            assert!(folder.path().join(file).exists(), "{file}");
        }
        assert!(!folder.path().join("man/wardwatch-agent-help.1").exists());
    }

    #[test]
    fn the_page_of_a_program_names_its_exit_codes_and_files() {
        let page = page(&wardwatch_agent::cli::command(), sections::AGENT, "2026-11-22").unwrap();
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains(".SH \"EXIT STATUS\"") && page.contains("wardwatch\\-agent"), "{page}");
    }
}
