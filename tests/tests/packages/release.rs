//! What tells a real package from another: checksums, signatures, and the list of what a program is linked from.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{made, output, package, run, scratch, workspace};

/// Some packages in a folder of their own, with their checksums, signed as the environment says.
fn signed(folder: &Path, environment: &[(&str, &Path)]) -> Result<PathBuf> {
    let release = folder.join("release");
    std::fs::create_dir(&release)?;
    for package in
        made().iter().filter(|path| path.extension().is_some_and(|end| end == "json" || end == "deb"))
    {
        std::fs::copy(package, release.join(package.file_name().context("no name")?))?;
    }
    let mut sign = Command::new(workspace().join("cross/packages/sign"));
    sign.env("RELEASE_DIR", &release).env("RELEASE_MARK", "").env("RELEASE_VERSION", "1.2.3");
    sign.env("SOURCE_DATE_EPOCH", "1795356000").envs(environment.iter().copied());
    run(&mut sign)?;
    Ok(release)
}

fn passes(release: &Path, program: &str, arguments: &[&str]) -> Result<bool> {
    Ok(output(Command::new(program).args(arguments).current_dir(release))?.status.success())
}

/// Asks that `verify` passes, and no longer passes once the list says something else; that the list passes, and no
/// longer once a package has another byte.
fn one_byte_is_noticed(release: &Path, verify: impl Fn() -> Result<bool>) -> Result<()> {
    let check = || passes(release, "sha256sum", &["--check", "--quiet", "SHA256SUMS"]);
    ensure!(verify()? && check()?, "what was just signed is refused");

    let deb = std::fs::read_dir(release)?.flatten().map(|entry| entry.path());
    let deb =
        deb.into_iter().find(|path| path.extension().is_some_and(|end| end == "deb")).context("no deb")?;
    let mut bytes = std::fs::read(&deb)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&deb, bytes)?;
    ensure!(!check()?, "a changed package passes");

    let list = release.join("SHA256SUMS");
    let digest = run(Command::new("sha256sum").arg(&deb))?;
    let name = deb.file_name().context("no name")?.to_string_lossy().into_owned();
    let text = std::fs::read_to_string(&list)?;
    let line = text.lines().find(|line| line.ends_with(&name)).context("the deb is not in the list")?;
    std::fs::write(&list, text.replace(&line[..64], &digest[..64]))?;
    ensure!(check()?, "the list was to be made to fit");
    ensure!(!verify()?, "a changed list passes");
    Ok(())
}

#[test]
#[ignore = "needs cross/package and gnupg; tests/run --all runs it"]
fn a_release_signed_with_gnupg_is_verified_to_the_byte() -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let scratch = scratch()?;
    // The path of its socket has to be short.
    let home = tempfile::tempdir()?;
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o700))?;
    let password = scratch.path().join("password");
    std::fs::write(&password, "a test's password\n")?;
    let gpg = |arguments: &[&str]| {
        let mut call = Command::new("gpg");
        call.env("GNUPGHOME", home.path()).args([
            "--batch",
            "--pinentry-mode",
            "loopback",
            "--passphrase-file",
        ]);
        call.arg(&password).args(arguments);
        call
    };
    run(&mut gpg(&["--quick-generate-key", "release@example.org", "ed25519", "sign", "never"]))?;
    let key = Path::new("release@example.org");
    let release = signed(
        scratch.path(),
        &[
            ("WARDWATCH_SIGN_GPG", key),
            ("GNUPGHOME", home.path()),
            ("WARDWATCH_SIGN_PASSWORD_FILE", &password),
        ],
    )?;
    one_byte_is_noticed(&release, || {
        let arguments = ["--verify", "SHA256SUMS.asc", "SHA256SUMS"];
        Ok(output(gpg(&arguments).current_dir(&release))?.status.success())
    })?;
    output(Command::new("gpgconf").env("GNUPGHOME", home.path()).args(["--kill", "all"]))?;
    Ok(())
}

#[test]
#[ignore = "needs cross/package and minisign; tests/run --all runs it"]
fn a_release_signed_with_minisign_is_verified_to_the_byte() -> Result<()> {
    let scratch = scratch()?;
    let (secret, public) = (scratch.path().join("secret.key"), scratch.path().join("public.key"));
    run(Command::new("minisign").args(["-G", "-W", "-s"]).arg(&secret).arg("-p").arg(&public))?;
    let release = signed(scratch.path(), &[("WARDWATCH_SIGN_MINISIGN", &secret)])?;
    let public = public.to_string_lossy().into_owned();
    one_byte_is_noticed(&release, || passes(&release, "minisign", &["-V", "-p", &public, "-m", "SHA256SUMS"]))
}

#[test]
#[ignore = "needs cross/package; tests/run --all runs it"]
fn the_checksums_name_every_package() -> Result<()> {
    let folder = workspace().join("target/packages");
    let list = made().into_iter().find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name == "SHA256SUMS" || name == "SHA256SUMS-unsigned"
    });
    let list = list.context("there are no checksums")?;
    run(Command::new("sha256sum").args(["--check", "--quiet"]).arg(&list).current_dir(&folder))?;
    let text = std::fs::read_to_string(&list)?;
    let named: BTreeSet<_> =
        text.lines().filter_map(|line| line.split_once("  ")).map(|(_, name)| name).collect();
    for package in made() {
        let name = package.file_name().context("no name")?.to_string_lossy().into_owned();
        ensure!(named.contains(name.as_str()) || name.starts_with("SHA256SUMS"), "{name} has no checksum");
        let is_signed = list.ends_with("SHA256SUMS");
        ensure!(is_signed != name.contains("unsigned"), "{name} does not say whether it is signed");
    }
    Ok(())
}

/// Name and version of all crates of a list.
fn crates(list: &Path) -> Result<BTreeSet<(String, String)>> {
    let list: Value = serde_json::from_slice(&std::fs::read(list)?)?;
    ensure!(list["bomFormat"] == "CycloneDX");
    let components = list["components"].as_array().context("no components")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(components.iter().map(|part| (text(&part["name"]), text(&part["version"]))).collect())
}

/// The crates whose sources the program's own messages name, as in `/registry/redb-4.5.0/src/db.rs`.
fn named_by(program: &Path) -> Result<BTreeSet<(String, String)>> {
    let bytes = std::fs::read(program)?;
    let text = String::from_utf8_lossy(&bytes);
    let folders = text
        .split("/registry/")
        .skip(1)
        .filter_map(|rest| rest.split_once("/src/"))
        .map(|(folder, _)| folder);
    let split = |folder: &str| {
        let at = folder
            .match_indices('-')
            .map(|(at, _)| at)
            .find(|at| folder[at + 1..].starts_with(|c: char| c.is_ascii_digit()))?;
        Some((folder[..at].to_owned(), folder[at + 1..].to_owned()))
    };
    Ok(folders.filter(|folder| folder.len() < 80).filter_map(split).collect())
}

/// What the standard library itself is linked from: of the compiler, where std was built beside the program.
const OF_THE_COMPILER: [&str; 6] =
    ["addr2line", "gimli", "hashbrown", "miniz_oxide", "object", "rustc-demangle"];

/// Asks that the list of a program names `linked` and what the program itself names, and none of `others`.
fn check_parts(program: &str, linked: &[&str], others: &[&str]) -> Result<()> {
    const TARGET: &str = "x86_64-unknown-linux-musl";
    let parts = crates(&package(program, TARGET, ".cdx.json"))?;
    let has = |name: &str| parts.iter().any(|(part, _)| part == name);
    for name in linked {
        ensure!(has(name), "{name} is linked into {program}");
    }
    for name in others {
        ensure!(!has(name), "{name} is not linked into {program}");
    }
    let built = workspace().join("target/cross").join(TARGET).join(program);
    let named = named_by(&built).with_context(|| built.display().to_string())?;
    ensure!(named.len() > 20, "{program} names only {named:?}");
    let unknown = named.difference(&parts).filter(|(name, _)| !OF_THE_COMPILER.contains(&name.as_str()));
    let unknown: Vec<_> = unknown.collect();
    ensure!(unknown.is_empty(), "{program} holds {unknown:?}, which the list does not name");
    Ok(())
}

// What is not linked is of the other program, of tests, of compile time, of another system, or of features that
// nobody asked for.

#[test]
#[ignore = "needs cross/package; tests/run --all runs it"]
fn the_sbom_of_the_agent_names_what_is_linked_and_nothing_else() -> Result<()> {
    let others =
        ["rmqtt", "sqlx", "tempfile", "serde_derive", "cc", "windows-sys", "aws-lc-rs", "clap_mangen"];
    check_parts("wardwatch-agent", &["blake3", "wardwatch-wire"], &others)
}

#[test]
#[ignore = "needs cross/package; tests/run --all runs it"]
fn the_sbom_of_the_collector_names_what_is_linked_and_nothing_else() -> Result<()> {
    let others = ["wardwatch-agent", "redb", "tempfile", "serde_derive", "cc", "windows-sys", "clap_mangen"];
    check_parts("wardwatch-collector", &["rmqtt", "wardwatch-incidents"], &others)
}
