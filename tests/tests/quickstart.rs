//! One command on a fresh machine: this machine's real programs are hashed and its real settings judged, as root
//! and as an ordinary user.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sqlx::{Connection, Row};
use wardwatch_tests::program::eventually;
use wardwatch_tests::site::{PATIENCE, Site};

/// The plan asks for a minute of a release build on a quiet machine.
const LIMIT: Duration = Duration::from_secs(240);
const PROGRAMS: [&str; 2] = ["/usr/bin", "/usr/sbin"];
/// `nobody` on Debian.
const NOBODY: u32 = 65534;

/// What `b3sum` says of every ELF file below the folders of programs.
fn elf_files() -> Result<BTreeMap<String, String>> {
    let mut folders: Vec<PathBuf> = PROGRAMS.iter().map(PathBuf::from).collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let (kind, path) = (entry.file_type()?, entry.path());
            let mut head = Vec::new();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                std::fs::File::open(&path)?.take(4).read_to_end(&mut head)?;
                files.extend((head == b"\x7fELF").then_some(path));
            }
        }
    }
    let sums =
        Command::new("b3sum").args(&files).output().context("b3sum is not there; `tests/run` installs it")?;
    ensure!(sums.status.success(), "b3sum: {}", String::from_utf8_lossy(&sums.stderr));
    let line = |line: &str| line.split_once("  ").map(|(digest, path)| (path.to_owned(), digest.to_owned()));
    Ok(String::from_utf8(sums.stdout)?.lines().filter_map(line).collect())
}

/// The ELF files whose stored digest is not the true one.
async fn missing(site: &Site, truth: &BTreeMap<String, String>) -> Result<Vec<String>> {
    let mut db = site.database().await?;
    let rows =
        sqlx::query("select path, digest from files where sighting = 'present'").fetch_all(&mut db).await?;
    db.close().await?;
    let mut stored = BTreeMap::new();
    for row in rows {
        let (path, digest): (Vec<u8>, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
        let digest = digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        stored.insert(String::from_utf8_lossy(&path).into_owned(), digest);
    }
    Ok(truth
        .iter()
        .filter(|(path, digest)| stored.get(*path) != Some(digest))
        .map(|(p, _)| p.clone())
        .collect())
}

async fn endpoint(site: &Site) -> Result<Option<Value>> {
    let rows = site.rows("/endpoints?").await?;
    let Some(id) = rows.first().and_then(|row| row["id"].as_str()) else { return Ok(None) };
    site.get(&format!("/endpoints/{id}")).await.map(Some)
}

/// Waits for verdicts of at least 25 checks; each says why where it is not known.
async fn judged(site: &Site) -> Result<Vec<Value>> {
    let checks = eventually("verdicts of at least 25 checks", LIMIT, async || {
        let shown = endpoint(site).await?.unwrap_or_default();
        let checks = shown["checks"].as_array().cloned().unwrap_or_default();
        Ok((checks.len() >= 25).then_some(checks))
    })
    .await?;
    for check in &checks {
        let verdict = check["verdict"].as_str().with_context(|| check.to_string())?;
        ensure!(["pass", "fail", "unknown", "not-applicable"].contains(&verdict), "{check}");
        let says_why = check["reason"].as_str().is_some_and(|reason| !reason.is_empty());
        ensure!(verdict != "unknown" || says_why, "an unknown verdict without a reason: {check}");
    }
    Ok(checks)
}

fn agents_below(data: &Path) -> Result<Vec<String>> {
    let state = data.join("agent");
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc")? {
        let Ok(line) = std::fs::read_to_string(process?.path().join("cmdline")) else { continue };
        if line.contains("wardwatch-agent") && line.contains(&*state.to_string_lossy()) {
            found.push(line.replace('\0', " "));
        }
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_command_hashes_all_programs_of_this_machine_and_judges_its_settings() -> Result<()> {
    let truth = elf_files()?;
    let begin = Instant::now();
    let mut site = Site::quickstart(&[]).await?;
    println!("the page answers after {:.1} s", begin.elapsed().as_secs_f32());
    let checks = judged(&site).await?;
    println!("{} checks have verdicts after {:.1} s", checks.len(), begin.elapsed().as_secs_f32());
    eventually("every program is hashed as b3sum does", LIMIT, async || {
        let missing = missing(&site, &truth).await?;
        ensure!(missing.is_empty(), "{} of {} missing, as {:?}", missing.len(), truth.len(), missing.first());
        Ok(Some(()))
    })
    .await?;
    println!("{} ELF files hashed as b3sum does after {:.1} s", truth.len(), begin.elapsed().as_secs_f32());
    let true_verdicts = checks.iter().filter(|check| check["verdict"] != "unknown").count();
    println!("{true_verdicts} verdicts are known");
    assert!(true_verdicts >= 25, "{checks:?}");

    assert_eq!(agents_below(&site.data())?.len(), 1);
    site.stop_collector()?;
    assert_eq!(agents_below(&site.data())?, Vec::<String>::new(), "the agent outlives the command");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ordinary_user_is_shown_what_cannot_be_read_and_why() -> Result<()> {
    let secret = tempfile::tempdir()?;
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(secret.path(), std::fs::Permissions::from_mode(0o755))?;
    let closed = secret.path().join("closed");
    wardwatch_tests::site::write_executable(&closed, "not for everyone")?;
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o700))?;
    let may = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(wardwatch_tests::program::path("wardwatch-agent"))
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !may.is_ok_and(|status| status.success()) {
        println!("not tried: only root can become another user, and that user must reach the programs");
        return Ok(());
    }
    let roots = secret.path().to_string_lossy();
    let mut site = Site::quickstart_as(NOBODY, &[("WARDWATCH_FILES_ROOTS", &*roots)]).await?;
    let checks = judged(&site).await?;
    let unknown = checks.iter().filter(|check| check["verdict"] == "unknown");
    println!("{} checks, unknown: {:?}", checks.len(), unknown.map(|c| &c["reason"]).collect::<Vec<_>>());

    let shown = eventually("the inventory is complete, and what it covers is told", PATIENCE, async || {
        let shown = endpoint(&site).await?;
        Ok(shown.filter(|shown| {
            shown["inventory_complete"] == json!(true)
                && !shown["host"].is_null()
                && shown["coverage"].as_array().is_some_and(|parts| !parts.is_empty())
        }))
    })
    .await?;
    let limits = shown["host"]["limits"].to_string();
    assert!(limits.contains("not root"), "{limits}");
    let coverage = shown["coverage"].as_array().context("no coverage")?;
    let root = coverage.iter().find(|part| part["root"] == json!(secret.path())).context("no root")?;
    assert_eq!(root["unreadable"], json!(1), "{root}");
    let id = shown["id"].as_str().context("no id")?;
    let files = site.rows(&format!("/endpoints/{id}/files?search={}", closed.display())).await?;
    assert_eq!(files.len(), 1, "{files:?}");
    assert_eq!(files[0]["sighting"], "unreadable");
    println!("why it is not read: {}", files[0]["reason"]);
    assert!(files[0]["reason"].as_str().is_some_and(|reason| reason.contains("ermission")), "{files:?}");
    site.interrupt_collector()?;
    assert_eq!(agents_below(&site.data())?, Vec::<String>::new(), "the agent outlives Ctrl-C");
    Ok(())
}
