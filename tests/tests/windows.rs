//! The agent for Windows under Wine, against a real collector: from enrolment to an alert, and files of every kind.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use wardwatch_tests::link::{Link, Passes};
use wardwatch_tests::program::eventually;
use wardwatch_tests::site::{PATIENCE, Site};
use wardwatch_tests::windows::Wine;

/// What `scan` or `check` prints.
fn printed(wine: &Wine, arguments: &[&str]) -> Result<Value> {
    let output = wine.command().arg(wine.program("wardwatch-agent.exe")).args(arguments).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(matches!(output.status.code(), Some(0 | 1)), "{arguments:?}: {}\n{said}", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| said.into_owned())
}

fn scan(wine: &Wine, folder: &Path, more: &[&str]) -> Result<Value> {
    let folder = wine.windows_path(folder);
    printed(wine, &[&["scan", &folder, "--full-speed", "--output", "json"], more].concat())
}

fn write_program(path: &Path, content: &str) -> Result<String> {
    let bytes = format!("MZ {content}");
    fs::write(path, &bytes)?;
    Ok(blake3::hash(bytes.as_bytes()).to_string())
}

/// Killed when dropped.
struct Holder(Child);

impl Holder {
    /// Holds a file so that no other program on this Windows can open it.
    fn of(wine: &Wine, path: &Path) -> Result<Self> {
        let mut call = wine.command();
        call.arg(wine.program("hold.exe")).arg(wine.windows_path(path));
        let mut holder = Self(call.stdout(Stdio::piped()).spawn()?);
        let mut said = [0; 4];
        std::io::Read::read_exact(holder.0.stdout.as_mut().context("no output")?, &mut said)?;
        assert_eq!(&said, b"held");
        Ok(holder)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Creates the prefix on its first run, which takes half a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs wine, mingw-w64 and the agent for Windows; tests/run runs it"]
async fn a_windows_pc_enrols_reports_raises_an_alert_and_survives_a_lost_link() -> Result<()> {
    let (wine, site) = (Wine::start()?, Site::start().await?);
    let folder = wine.folder()?;
    let mut agent = wine.agent(&site, "windows", folder.path())?;
    let link = Link::to(site.mqtt).await;
    let mut string = site.string(1).await?;
    string.mqtt_port = link.address.port();
    let program = agent.watched.join("kế toán.exe");
    let old = write_program(&program, "as installed")?;

    agent.enrol(&string)?;
    agent.start()?;
    agent.settle(&site).await?;
    let endpoint = site.get(&format!("/endpoints/{}", agent.id()?)).await?;
    let host = endpoint["host"].to_string();
    assert!(host.contains("Windows"), "{endpoint}");
    assert_eq!(endpoint["coverage"][0]["watch"], json!("live"), "{endpoint}\n{}", agent.log_text());

    let new = write_program(&program, "as an attacker wants it")?;
    let alert = agent.alerted(&site, wine.windows_path(&program), &new).await?;
    assert_eq!(alert["finding"]["old"]["present"]["digest"], json!(old));

    link.set(Passes::Nothing);
    let dropped = agent.watched.join("dropped.exe");
    let new = write_program(&dropped, "while nobody hears")?;
    eventually("a report that waits", PATIENCE, async || {
        Ok((agent.status()?["outbox_reports"].as_u64() > Some(0)).then_some(()))
    })
    .await?;
    link.set(Passes::Everything);
    agent.alerted(&site, wine.windows_path(&dropped), &new).await?;

    let ended = agent.program()?.interrupt()?;
    assert!(ended.success(), "{ended}\n{}", agent.log_text());
    assert!(agent.log_text().contains("the agent stops"), "{}", agent.log_text());
    Ok(())
}

#[test]
#[ignore = "needs wine, mingw-w64 and the agent for Windows; tests/run runs it"]
fn files_are_hashed_on_windows_as_elsewhere_whatever_their_names() -> Result<()> {
    let wine = Wine::start()?;
    let folder = wine.folder()?;
    let root = folder.path().join("Tệp chương trình");
    // Beyond the 260 characters of the old calls.
    let deep = (0..6).fold(root.clone(), |path, part| path.join(format!("{part}{}", "x".repeat(60))));
    fs::create_dir_all(&deep)?;
    let programs = [root.join("xcopy.exe"), root.join("phường 1.dll"), deep.join("deep.exe")];
    for program in &programs {
        write_program(program, &program.display().to_string())?;
    }
    fs::write(root.join("notes.txt"), "no program")?;
    let held = root.join("held.exe");
    write_program(&held, "held")?;
    let holder = Holder::of(&wine, &held)?;

    let baseline = wine.windows_path(&folder.path().join("baseline"));
    let scanned = scan(&wine, &root, &["--save", &baseline])?;
    let mut expected = programs
        .iter()
        .map(|program| {
            let digest = blake3::hash(&fs::read(program)?).to_string();
            let size = fs::metadata(program)?.len();
            Ok(json!({"path": wine.windows_path(program), "blake3": digest, "size": size, "kind": "pe"}))
        })
        .collect::<Result<Vec<_>>>()?;
    let mut found = scanned["files"].as_array().context("no files")?.clone();
    found.sort_by_key(|file| file["path"].to_string());
    expected.sort_by_key(|file| file["path"].to_string());
    assert_eq!(found, expected);
    let unreadable = json!([{"path": wine.windows_path(&held), "reason": "in use by another program"}]);
    assert_eq!(scanned["unreadable"], unreadable);

    drop(holder);
    write_program(&programs[2], "changed")?;
    fs::remove_file(&programs[0])?;
    let compared = scan(&wine, &root, &["--baseline", &baseline])?;
    let mut changes: Vec<_> = compared["changes"]
        .as_array()
        .context("no changes")?
        .iter()
        .map(|change| (change["change"].to_string(), change["path"].clone()))
        .collect();
    changes.sort_by_key(|(change, _)| change.clone());
    let told = |change: &str, path: &Path| (format!("\"{change}\""), json!(wine.windows_path(path)));
    let expected = [told("changed", &programs[2]), told("removed", &programs[0])];
    assert_eq!(changes, expected);
    // Its content then is not known, so that it is neither new nor changed.
    let unreadable = json!([{
        "path": wine.windows_path(&held), "reason": "could not be read when the baseline was saved"
    }]);
    assert_eq!(compared["unreadable"], unreadable);
    Ok(())
}

#[test]
#[ignore = "needs wine, mingw-w64 and the agent for Windows; tests/run runs it"]
fn a_windows_policy_is_judged_and_one_for_linux_is_unknown() -> Result<()> {
    let wine = Wine::start()?;
    let verdicts = |policy: &str| -> Result<Vec<Value>> {
        let checked = printed(&wine, &["check", policy, "--output", "json"])?;
        let results = checked["results"].as_array().context("no results")?;
        Ok(results.iter().map(|result| result["verdict"].clone()).collect())
    };
    let windows = verdicts("office-pc-windows")?;
    assert!(windows.len() > 10, "{windows:?}");
    assert!(windows.iter().any(|verdict| *verdict != json!("unknown")), "{windows:?}");
    let linux = verdicts("office-pc-linux")?;
    assert!(linux.iter().all(|verdict| *verdict == json!("unknown")), "{linux:?}");
    Ok(())
}

/// Wine shows the mode of a file as access rights: one that all may write as one that "Everyone" may write.
#[test]
#[ignore = "needs wine, mingw-w64 and the agent for Windows; tests/run runs it"]
fn a_string_beside_a_package_is_taken_only_where_no_other_user_could_have_written_it() -> Result<()> {
    let wine = Wine::start()?;
    let folder = wine.folder()?;
    let string = folder.path().join("wardwatch-enrol.txt");
    fs::write(&string, "of nobody")?;
    let drive = folder.path().parent().context("no drive")?;
    let taken = drive.join("ProgramData/Wardwatch/wardwatch-enrol.txt");
    let _ = fs::remove_file(&taken);
    let take = |mode| -> Result<(Option<i32>, String)> {
        fs::set_permissions(&string, Permissions::from_mode(mode))?;
        let program = wine.program("wardwatch-agent.exe");
        let output =
            wine.command().arg(program).args(["take-string", &wine.windows_path(&string)]).output()?;
        Ok((output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned()))
    };

    let (code, said) = take(0o666)?;
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("other users may write to it"), "{said}");
    assert!(!taken.exists());

    let (code, said) = take(0o644)?;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(fs::read_to_string(&taken)?, "of nobody");
    assert!(string.exists(), "other machines could not be installed from this folder");
    Ok(fs::remove_file(taken)?)
}
