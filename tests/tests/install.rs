//! `install` and `uninstall` on systems that really boot: systemd, SysV init and BusyBox init, each in namespaces of
//! its own beside a collector on this machine. The agent is the static one of `cross/build`.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use wardwatch_tests::machine::{self, Machine};
use wardwatch_tests::program::{self, eventually};
use wardwatch_tests::site::Site;

const TARGET: &str = "x86_64-unknown-linux-musl";
/// A whole inventory of a small Debian by a gentle agent beside other work.
const LONG: Duration = Duration::from_secs(240);
const SHORT: Duration = Duration::from_secs(45);

/// What an administrator carries to a machine.
const BROUGHT: &str = "root/wardwatch-agent";

fn bring_agent(root: &Path) -> Result<()> {
    let built = program::cross(TARGET, "wardwatch-agent");
    program::copy(Path::new(&built), &root.join(BROUGHT))
}

async fn put_string(machine: &Machine, site: &Site) -> Result<PathBuf> {
    let file = machine.root().join("etc/wardwatch/wardwatch-enrol.txt");
    let draft = machine.root().join("etc/wardwatch/draft");
    fs::write(&draft, site.string(1).await?.to_secret_text())?;
    fs::set_permissions(&draft, Permissions::from_mode(0o600))?;
    fs::rename(&draft, &file)?;
    Ok(file)
}

fn status(machine: &Machine) -> Result<Value> {
    Ok(serde_json::from_str(&machine.run("/usr/sbin/wardwatch-agent status --output json")?)?)
}

/// Waits until the collector has everything that the machine's agent has to tell.
async fn settled(machine: &Machine, site: &Site) -> Result<Value> {
    eventually("the collector knows all files of the machine", LONG, async || {
        let status = status(machine)?;
        let Some(agent) = status["agent"].as_str() else { return Ok(None) };
        let endpoint = site.get(&format!("/endpoints/{agent}")).await?;
        let is_told = endpoint["inventory_complete"] == true && status["policies"][0].is_object();
        Ok(is_told.then_some(status))
    })
    .await
    .with_context(|| machine.console())
}

/// The number of the process that runs as the agent.
fn agent_process(machine: &Machine) -> Result<Option<u64>> {
    let status = status(machine)?;
    Ok(status["process"].as_u64().filter(|_| status["running"] == true))
}

/// Kills the agent and waits until another one has come in its place.
async fn comes_back_when_killed(machine: &Machine) -> Result<()> {
    let before = agent_process(machine)?.context("no agent runs")?;
    machine.run(&format!("kill -9 {before}"))?;
    eventually("the agent comes back", SHORT, async || {
        Ok(agent_process(machine)?.filter(|process| *process != before))
    })
    .await
    .with_context(|| machine.console())?;
    Ok(())
}

fn nothing_is_left_but_state(machine: &Machine) -> Result<()> {
    let left = machine.run(
        "find / -xdev -name '*wardwatch-agent*' -not -path '/root/*' -not -path '/proc/*' -not -path '/var/log/*'",
    )?;
    ensure!(left.trim() == "/var/lib/wardwatch-agent", "left behind: {left}");
    ensure!(machine.root().join("var/lib/wardwatch-agent/identity.json").exists(), "the identity is gone");
    Ok(())
}

/// Two to four minutes, and a Debian mirror.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root, systemd-nspawn, mmdebstrap and the static agent; tests/run --all runs it"]
async fn systemd_runs_it_in_a_sandbox_that_hides_nothing_from_it() -> Result<()> {
    let site = Site::start().await?;
    let root = site.folder().join("debian");
    machine::install_debian(&root, "systemd,systemd-sysv,dbus")?;
    bring_agent(&root)?;
    // Only its owner may read it, and that is not root.
    let closed = root.join("usr/local/bin/closed");
    fs::write(&closed, "#!/bin/sh\n")?;
    fs::set_permissions(&closed, Permissions::from_mode(0o700))?;
    std::os::unix::fs::chown(&closed, Some(1000), Some(1000))?;
    let machine = Machine::boot(&root).await?;
    eventually("systemd is up", SHORT, async || {
        let state = machine.shell("systemctl is-system-running")?;
        Ok(["running\n", "degraded\n"].contains(&&*String::from_utf8(state.stdout)?).then_some(()))
    })
    .await?;

    let said = machine.run("/root/wardwatch-agent install </dev/null")?;
    assert!(said.contains("not enrolled yet: the service waits"), "{said}");
    assert_eq!(machine.run("systemctl is-active wardwatch-agent")?.trim(), "active");
    let waiting = eventually("it waits", SHORT, async || Ok(status(&machine).ok())).await?;
    assert!(
        waiting["link"].as_str().is_some_and(|link| link.contains("waiting for /etc/wardwatch")),
        "{waiting}"
    );
    assert!(waiting["service"].as_str().is_some_and(|service| service.ends_with("running")), "{waiting}");
    let file = put_string(&machine, &site).await?;
    let status = settled(&machine, &site).await?;
    assert!(!file.exists());

    // What the sandbox lets it see is what root sees.
    for part in status["coverage"].as_array().context("no coverage")? {
        assert_eq!(part["unreadable"], 0, "{part}");
    }
    assert_eq!(status["limits"], Value::Array(Vec::new()));
    let outside: Value = serde_json::from_str(
        &machine
            .shell("/root/wardwatch-agent check office-pc-linux --output json")
            .map(|out| String::from_utf8_lossy(&out.stdout).into_owned())?,
    )?;
    let count = |verdict: &str| {
        outside["results"].as_array().map(|all| all.iter().filter(|one| one["verdict"] == verdict).count())
    };
    assert_eq!(
        status["policies"][0]["unknown"].as_u64().map(|n| n as usize),
        count("unknown"),
        "{status} {outside}"
    );
    assert_eq!(status["policies"][0]["fail"].as_u64().map(|n| n as usize), count("fail"));
    // And no more: it can change nothing but its own.
    let process = agent_process(&machine)?.context("no agent runs")?;
    let rights =
        machine.run(&format!("grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/{process}/status"))?;
    assert_eq!(
        rights.split_whitespace().collect::<Vec<_>>(),
        ["CapEff:", "0000000000080004", "CapBnd:", "0000000000080004", "NoNewPrivs:", "1", "Seccomp:", "2"]
    );
    let within = |command: &str| machine.shell(&format!("nsenter --mount --target {process} {command}"));
    assert!(!within("touch /usr/bin/changed")?.status.success());
    machine.run("cp /bin/true /var/lib/wardwatch-agent/program")?;
    assert!(
        within("/var/lib/wardwatch-agent/program")?.status.success(),
        "no program runs from the state folder"
    );

    comes_back_when_killed(&machine).await?;
    let again = machine.run("/root/wardwatch-agent install </dev/null")?;
    assert!(again.contains("enrolled already as"), "{again}");
    let begin = std::time::Instant::now();
    machine.run("systemctl stop wardwatch-agent")?;
    assert!(begin.elapsed() < Duration::from_secs(10), "the stop took {:?}", begin.elapsed());
    assert_eq!(machine.run("systemctl show --property=Result --value wardwatch-agent")?.trim(), "success");
    machine.run("/root/wardwatch-agent uninstall")?;
    nothing_is_left_but_state(&machine)?;
    machine.run("/root/wardwatch-agent uninstall")?;
    machine.run("/root/wardwatch-agent uninstall --purge")?;
    assert!(!root.join("var/lib/wardwatch-agent").exists());
    Ok(())
}

/// Two to four minutes, and a Debian mirror.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root, systemd-nspawn, mmdebstrap and the static agent; tests/run --all runs it"]
async fn sysv_init_starts_it_with_its_run_level_and_it_is_supervised() -> Result<()> {
    let site = Site::start().await?;
    let root = site.folder().join("debian");
    machine::install_debian(&root, "sysvinit-core,sysv-rc,startpar,procps")?;
    bring_agent(&root)?;
    // Only the run level: what mounts disks and sets clocks has no place in a container.
    fs::write(root.join("etc/inittab"), "id:2:initdefault:\nl2:2:wait:/etc/init.d/rc 2\n")?;
    supervised_from_image_to_removal(&site, &root, "etc/init.d/wardwatch-agent").await
}

/// Half a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs root, systemd-nspawn, busybox-static and the static agent; tests/run --all runs it"]
async fn busybox_init_starts_it_and_it_is_supervised() -> Result<()> {
    let site = Site::start().await?;
    let root = site.folder().join("recorder");
    machine::make_busybox_system(&root)?;
    bring_agent(&root)?;
    supervised_from_image_to_removal(&site, &root, "etc/init.d/S90wardwatch-agent").await
}

/// Registers the agent in the image, boots it, enrols it, kills it, stops and starts it, and removes it.
async fn supervised_from_image_to_removal(site: &Site, root: &Path, script: &str) -> Result<()> {
    let image = Command::new(program::cross(TARGET, "wardwatch-agent"))
        .arg("install")
        .arg("--root")
        .arg(root)
        .output()?;
    ensure!(image.status.success(), "{}", String::from_utf8_lossy(&image.stderr));
    assert!(!root.join("var/lib/wardwatch-agent").exists(), "an image must hold no state");

    let machine = Machine::boot(root).await?;
    eventually("it waits", SHORT, async || {
        Ok(status(&machine).ok().filter(|status| status["running"] == true))
    })
    .await
    .with_context(|| machine.console())?;
    let file = put_string(&machine, site).await?;
    let status_now = settled(&machine, site).await?;
    assert!(!file.exists());
    assert!(
        status_now["service"].as_str().is_some_and(|service| service.contains("starts with the machine")),
        "{status_now}"
    );
    comes_back_when_killed(&machine).await?;

    let script = format!("/{script}");
    assert!(machine.run(&format!("{script} status"))?.contains("runs (process"));
    machine.run(&format!("{script} stop"))?;
    assert!(agent_process(&machine)?.is_none());
    assert_eq!(machine.shell(&format!("{script} status"))?.status.code(), Some(3));
    machine.run(&format!("{script} stop"))?;
    machine.run(&format!("{script} start"))?;
    machine.run(&format!("{script} start"))?;
    machine.run(&format!("{script} restart"))?;
    let supervisor = machine.run("cat /run/wardwatch-agent/pids")?;
    let supervisor: u32 = supervisor.lines().next().context("no supervisor")?.parse()?;
    let memory = machine.run(&format!("grep VmRSS /proc/{supervisor}/status"))?;
    println!("the supervising shell: {}", memory.trim());
    // Whoever kills the supervising shell finds one agent again after the next start.
    machine.run(&format!("kill -9 {supervisor}"))?;
    machine.run(&format!("{script} start"))?;
    eventually("it runs again", SHORT, async || agent_process(&machine)).await?;

    machine.run("/root/wardwatch-agent uninstall")?;
    assert!(agents(&machine)?.is_empty(), "{:?}", agents(&machine)?);
    nothing_is_left_but_state(&machine)?;
    machine.run("/root/wardwatch-agent uninstall")?;
    Ok(())
}

/// Processes of the agent and of its supervising shell.
fn agents(machine: &Machine) -> Result<Vec<String>> {
    let found = machine.run("for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline 2>/dev/null; echo; done")?;
    let ours =
        |line: &&str| line.contains("wardwatch-agent run") || line.contains("wardwatch-agent supervise");
    Ok(found.lines().filter(ours).map(str::to_owned).collect())
}

#[test]
#[ignore = "needs systemd-analyze; tests/run --all runs it"]
fn the_units_have_no_fault_and_stay_below_their_exposure() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no workspace")?;
    for (unit, most) in [
        ("agent/service/wardwatch-agent.service", 2.9),
        ("collector/service/wardwatch-collector.service", 1.5),
    ] {
        let unit = folder.join(unit);
        let analysed =
            Command::new("systemd-analyze").args(["security", "--offline=true"]).arg(&unit).output()?;
        let said = String::from_utf8(analysed.stdout)?;
        let (_, score) = said.rsplit_once("service: ").with_context(|| said.clone())?;
        let score: f64 = score.split_whitespace().next().context("no score")?.parse()?;
        assert!(score <= most, "{}: {score} is more than {most}", unit.display());
        let verified = Command::new("systemd-analyze").arg("verify").arg(&unit).output()?;
        for line in String::from_utf8(verified.stderr)?.lines() {
            // Programs and manual pages are not installed here, and older systemd does not know growing pauses.
            let expected = ["is not executable", "Command 'man", "RestartSteps", "RestartMaxDelaySec"];
            assert!(expected.iter().any(|known| line.contains(known)), "{line}");
        }
    }
    Ok(())
}
