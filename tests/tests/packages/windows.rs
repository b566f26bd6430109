//! The packages for Windows, as far as Wine goes. It sets neither owner nor rights of folders nor how a service
//! comes back, so that these are only looked up in the package.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use tempfile::TempDir;
use wardwatch_tests::windows::Wine;

use super::{all_text, output, package, run, scratch, workspace};

const SECRET: &str = "wardwatch-enrolment-of-nobody";

/// A Windows of its own. Its processes end when it is dropped.
struct Windows {
    wine: Wine,
    folder: TempDir,
}

impl Windows {
    fn new() -> Result<Self> {
        let folder = scratch()?;
        Ok(Self { wine: Wine::in_folder(folder.path())?, folder })
    }

    /// `msiexec /i` or `/x` without a window, with its most detailed log.
    fn msiexec(&self, call: &str, package: &Path) -> Result<String> {
        let log = self.folder.path().join("msi.log");
        let mut msiexec = self.wine.command();
        msiexec.args(["msiexec", call]).arg(in_wine(package)).args(["/qn", "/l*v"]).arg(in_wine(&log));
        let done = output(&mut msiexec)?;
        let said = String::from_utf8_lossy(&std::fs::read(&log)?).into_owned();
        ensure!(done.status.success(), "msiexec {call}: {}\n{}\n{said}", done.status, all_text(&done));
        Ok(said)
    }

    /// What the service manager says of the agent; empty where there is no such service.
    fn service(&self) -> Result<String> {
        Ok(all_text(&output(self.wine.command().args(["sc", "query", "wardwatch-agent"]))?))
    }
}

impl Drop for Windows {
    fn drop(&mut self) {
        self.wine.end();
    }
}

/// How Wine names a file of this system.
fn in_wine(path: &Path) -> String {
    format!("Z:{}", path.display()).replace('/', "\\")
}

/// A package of the same files one version on.
fn next_version(package: &Path, folder: &Path) -> Result<PathBuf> {
    run(Command::new("msiextract").arg("--directory").arg(folder.join("files")).arg(package))?;
    let mut make = Command::new(workspace().join("cross/packages/msi"));
    make.args(["agent", "x86_64-pc-windows-gnu", "-"]).arg(folder.join("files/Wardwatch"));
    make.env("RELEASE_VERSION", "0.99.0").env("RELEASE_MARK", "").env("RELEASE_DIR", folder);
    run(make.env("SOURCE_DATE_EPOCH", "1795356000"))?;
    Ok(folder.join("wardwatch-agent-0.99.0-x86_64-windows.msi"))
}

#[test]
#[ignore = "needs cross/package and wine; tests/run --all runs it"]
fn an_msi_brings_the_string_to_the_service_and_keeps_it_out_of_its_log() -> Result<()> {
    let windows = Windows::new()?;
    let folder = windows.folder.path().join("Cài đặt");
    std::fs::create_dir(&folder)?;
    let msi = folder.join("wardwatch.msi");
    std::fs::copy(package("wardwatch-agent", "windows", ".msi"), &msi)?;
    std::fs::write(folder.join("wardwatch-enrol.txt"), SECRET)?;

    let log = windows.msiexec("/i", &msi)?;
    ensure!(!log.contains(SECRET), "the log shows the enrolment string");
    ensure!(log.contains("TakeString"), "this is no detailed log:\n{log}");
    ensure!(windows.wine.drive().join("Program Files/Wardwatch/wardwatch-agent.exe").exists(), "{log}");
    let string = windows.wine.drive().join("ProgramData/Wardwatch/wardwatch-enrol.txt");
    ensure!(std::fs::read_to_string(&string)? == SECRET, "{log}");
    ensure!(
        folder.join("wardwatch-enrol.txt").exists(),
        "other machines could not be installed from this folder"
    );
    ensure!(windows.service()?.contains("RUNNING"), "{}", windows.service()?);

    let state = windows.wine.drive().join("ProgramData/Wardwatch/state");
    std::fs::create_dir_all(&state)?;
    std::fs::write(state.join("kept"), "kept")?;
    let next = next_version(&msi, &folder)?;
    let log = windows.msiexec("/i", &next)?;
    ensure!(!log.contains(SECRET), "the log shows the enrolment string");
    ensure!(windows.service()?.contains("RUNNING"), "{}", windows.service()?);

    let log = windows.msiexec("/x", &next)?;
    ensure!(!log.contains(SECRET), "the log shows the enrolment string");
    ensure!(!windows.wine.drive().join("Program Files/Wardwatch/wardwatch-agent.exe").exists(), "{log}");
    ensure!(!windows.service()?.contains("SERVICE_NAME"), "{}", windows.service()?);
    ensure!(std::fs::read(state.join("kept"))? == b"kept", "removal changed the state");
    Ok(())
}

#[test]
#[ignore = "needs cross/package and msitools; tests/run --all runs it"]
fn an_msi_closes_the_folder_of_the_secret_before_it_lies_there() -> Result<()> {
    let msi = package("wardwatch-agent", "windows", ".msi");
    let table = |name: &str| run(Command::new("msiinfo").arg("export").arg(&msi).arg(name));
    // The system and administrators, nobody else, nothing inherited; before the string lies there.
    let rights = table("MsiLockPermissionsEx")?;
    ensure!(rights.contains("DATADIR\tCreateFolder\tO:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"), "{rights}");
    let sequence = table("InstallExecuteSequence")?;
    let place = |action: &str| {
        let line = sequence.lines().find(|line| line.split('\t').next() == Some(action))?;
        line.rsplit('\t').next()?.parse::<u32>().ok()
    };
    let actions = [
        "ResolveSource",
        "InstallInitialize",
        "RemoveExistingProducts",
        "CreateFolders",
        "InstallFiles",
        "InstallServices",
        "TakeString",
        "MsiConfigureServices",
        "StartServices",
    ];
    let places: Vec<_> = actions.iter().map(|action| place(action)).collect();
    ensure!(places.iter().all(Option::is_some) && places.is_sorted(), "{actions:?}: {places:?}");
    // Nothing but the installed program runs with the rights of the system, to look whose the string is and as the
    // service; that has few rights, and comes back when it fails.
    let actions = table("CustomAction")?;
    let actions: Vec<_> = actions.lines().skip(3).collect();
    let take = "TakeString\t3154\tAgent\ttake-string \"[SourceDir]wardwatch-enrol.txt\"";
    ensure!(actions.len() == 1 && actions[0].trim_end() == take, "{actions:?}");
    ensure!(table("MsiServiceConfig")?.contains("wardwatch-agent\t5\t6\tSeChangeNotifyPrivilege\t"));
    ensure!(table("MsiServiceConfigFailureActions")?.contains("\t1[~]1[~]1\t"));
    Ok(())
}

#[test]
#[ignore = "needs cross/package, openssl and osslsigncode; tests/run --all runs it"]
fn a_customer_signs_program_and_msi_with_a_certificate_of_their_own() -> Result<()> {
    let scratch = scratch()?;
    let at = |name: &str| scratch.path().join(name);
    let (key, certificate, both, password) = (at("key"), at("certificate"), at("both.p12"), at("password"));
    std::fs::write(&password, "a test's password")?;
    run(Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=Ward"])
        .args(["-addext", "extendedKeyUsage=codeSigning", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate))?;
    let from_file = format!("file:{}", password.display());
    run(Command::new("openssl")
        .args(["pkcs12", "-export", "-passout", &from_file, "-inkey"])
        .arg(&key)
        .arg("-in")
        .arg(&certificate)
        .arg("-out")
        .arg(&both))?;

    let program = workspace().join("target/cross/x86_64-pc-windows-gnu/wardwatch-agent.exe");
    for (name, from) in [("agent.exe", program), ("agent.msi", package("wardwatch-agent", "windows", ".msi"))]
    {
        let file = at(name);
        std::fs::copy(from, &file)?;
        let sign = || {
            let mut sign = Command::new(workspace().join("cross/packages/authenticode"));
            sign.arg(&file).arg("Wardwatch agent").env("SOURCE_DATE_EPOCH", "1795356000");
            sign
        };
        let verify = || {
            output(
                Command::new("osslsigncode")
                    .arg("verify")
                    .arg("-CAfile")
                    .arg(&certificate)
                    .arg("-in")
                    .arg(&file),
            )
        };
        run(&mut sign())?;
        ensure!(!verify()?.status.success(), "{name} is signed though nobody gave a certificate");
        run(sign()
            .env("WARDWATCH_AUTHENTICODE_PKCS12", &both)
            .env("WARDWATCH_AUTHENTICODE_PASSWORD_FILE", &password))?;
        let said = verify()?;
        ensure!(said.status.success(), "{name}: {}", all_text(&said));

        let mut bytes = std::fs::read(&file)?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&file, bytes)?;
        ensure!(!verify()?.status.success(), "{name} passes with another byte");

        std::fs::write(at("wrong"), "another password")?;
        let refused = output(
            sign()
                .env("WARDWATCH_AUTHENTICODE_PKCS12", &both)
                .env("WARDWATCH_AUTHENTICODE_PASSWORD_FILE", at("wrong")),
        )?;
        ensure!(
            !refused.status.success() && all_text(&refused).contains("could not be signed"),
            "{}",
            all_text(&refused)
        );
    }
    Ok(())
}
