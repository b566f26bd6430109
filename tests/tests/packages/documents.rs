//! Man pages and completions, as they lie in the packages.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use super::{all_text, output, package, run, scratch};

fn unpacked(program: &str, folder: &Path) -> Result<PathBuf> {
    let tree = folder.join(program);
    let deb = package(&format!("{program}_"), "_amd64", ".deb");
    run(Command::new("dpkg-deb").arg("--extract").arg(deb).arg(&tree))?;
    Ok(tree)
}

fn check_pages(program: &str) -> Result<()> {
    let scratch = scratch()?;
    let pages = unpacked(program, scratch.path())?.join("usr/share/man/man1");
    for page in std::fs::read_dir(&pages)? {
        let page = page?.path();
        let lint = output(Command::new("mandoc").args(["-T", "lint", "-W", "error"]).arg(&page))?;
        ensure!(lint.status.success(), "{}", all_text(&lint));
        let shown = output(man().arg("--warnings").arg(&page))?;
        ensure!(shown.status.success() && shown.stderr.is_empty(), "{}", all_text(&shown));
    }
    let shown = run(man().arg(pages.join(format!("{program}.1.gz"))))?;
    for heading in ["NAME", "SYNOPSIS", "EXIT STATUS", "FILES", "ENVIRONMENT"] {
        ensure!(shown.lines().any(|line| line == heading), "no {heading} in\n{shown}");
    }
    Ok(())
}

fn man() -> Command {
    let mut man = Command::new("man");
    man.arg("--local-file").env("LC_ALL", "C.UTF-8").env("MANWIDTH", "100");
    man
}

/// Completes the first word after the program's name in each shell and asks that `call` is offered.
fn check_completions(program: &str, call: &str) -> Result<()> {
    let scratch = scratch()?;
    let share = unpacked(program, scratch.path())?.join("usr/share");

    let ask = r#"source "$1"; function=$(complete -p "$2" | sed 's/.* -F \([^ ]*\) .*/\1/')
                 COMP_WORDS=("$2" ''); COMP_CWORD=1; "$function" "$2" '' "$2"; printf '%s\n' "${COMPREPLY[@]}""#;
    let file = share.join("bash-completion/completions").join(program);
    let words = run(Command::new("bash").args(["-c", ask, "bash"]).arg(file).arg(program))?;
    ensure!(words.lines().any(|word| word == call), "bash: {words}");

    // zsh completes at a terminal only; here it reads the function.
    let ask = r#"fpath=("$1" $fpath); autoload -Uz compinit && compinit -u -D; autoload +X "_$2" && functions "_$2""#;
    let folder = share.join("zsh/vendor-completions");
    let words = run(Command::new("zsh").args(["-f", "-c", ask, "zsh"]).arg(folder).arg(program))?;
    ensure!(words.contains(call), "zsh: {words}");

    let file = share.join("fish/vendor_completions.d").join(format!("{program}.fish"));
    let ask = format!("source {}; complete --do-complete '{program} '", file.display());
    let words = run(Command::new("fish").args(["--no-config", "-c", &ask]))?;
    ensure!(words.lines().any(|line| line.split_whitespace().next() == Some(call)), "fish: {words}");
    Ok(())
}

#[test]
#[ignore = "needs cross/package, mandoc, zsh and fish; tests/run --all runs it"]
fn the_manual_of_the_agent_renders_and_its_calls_are_completed() -> Result<()> {
    check_pages("wardwatch-agent")?;
    check_completions("wardwatch-agent", "status")
}

#[test]
#[ignore = "needs cross/package, mandoc, zsh and fish; tests/run --all runs it"]
fn the_manual_of_the_collector_renders_and_its_calls_are_completed() -> Result<()> {
    check_pages("wardwatch-collector")?;
    check_completions("wardwatch-collector", "quickstart")
}
