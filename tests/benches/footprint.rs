//! What an agent costs a small machine: the size of its program, and what it takes in memory, processor time
//! and writes while nothing happens.
//!
//! It runs the agent as built for small machines, enrolled at a real collector, over a folder of small ELF
//! files, waits until all are told, and then watches it for a minute. An idle `mosquitto_sub` on the same
//! collector is the yardstick of memory.
//!
//! `cross/agent-musl && cargo build --release --workspace && cargo bench -p wardwatch-tests --bench footprint`;
//! `WARDWATCH_BENCH_AGENT` names another agent's program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::sleep;
use wardwatch_tests::program::{self, Program, eventually};
use wardwatch_tests::reporter::Reporter;
use wardwatch_tests::site::{AGENT, Site};
use wardwatch_wire::topic::{Channel, Topic};

const FILES: u64 = 5000;
const FILES_IN_A_FOLDER: u64 = 100;
/// After the last file was told: acks and caches are written down.
const SETTLING: Duration = Duration::from_secs(20);
const WATCHED_FOR: Duration = Duration::from_secs(60);
const MUSL: &str = "x86_64-unknown-linux-musl/small/wardwatch-agent";
const MIB: f64 = 1024.0 * 1024.0;

#[tokio::main]
async fn main() -> Result<()> {
    let site = Site::start().await?;
    let mut agent = site.agent("pc")?;
    agent.binary = binary()?;
    make_files(&agent.watched)?;
    // At full speed, since nobody waits for anything else; all other settings are the usual ones.
    fs::write(&agent.config, format!("[files]\nroots = [{:?}]\ncpu_percent = 100\n", agent.watched))?;
    let enrolled = agent.enrol(&site.string(1).await?)?;
    ensure!(enrolled.status.success(), "enrol: {}", String::from_utf8_lossy(&enrolled.stderr));
    agent.start()?;
    let path = format!("/endpoints/{}", agent.id()?);
    eventually("the agent's inventory is complete", Duration::from_secs(300), async || {
        Ok((site.get(&path).await?["inventory_complete"] == true).then_some(()))
    })
    .await
    .with_context(|| agent.log_text())?;
    let running = agent.program()?.id();
    let yardstick = start_yardstick(&site).await?;
    sleep(SETTLING).await;
    let before = Use::of(running)?;
    sleep(WATCHED_FOR).await;
    let after = Use::of(running)?;

    let size = fs::metadata(&agent.binary)?.len();
    let linked =
        if is_static(&agent.binary)? { "static, musl" } else { "glibc build; musl not available here" };
    println!("agent ({linked}), {FILES} files watched, connected, idle for {} s", WATCHED_FOR.as_secs());
    let row = |what, value: String, aim| println!("  {what:34} {value:>12}   {aim}");
    row("program", format!("{:.2} MB", size as f64 / 1e6), "aim: 4 MB");
    row("resident memory", format!("{:.1} MiB", after.resident / MIB), "aim: 8 MiB");
    row("  its own share of it (PSS)", format!("{:.1} MiB", after.share / MIB), "");
    row("  highest since the start", format!("{:.1} MiB", after.highest / MIB), "");
    row("processor time a minute", format!("{:.0} ms", (after.busy - before.busy).as_secs_f64() * 1e3), "");
    row("written a minute", format!("{} bytes", after.written - before.written), "");
    let yardstick = Use::of(yardstick.id())?;
    row("mosquitto_sub, resident memory", format!("{:.1} MiB", yardstick.resident / MIB), "yardstick");
    row("  its own share of it (PSS)", format!("{:.1} MiB", yardstick.share / MIB), "");
    Ok(())
}

/// The program to measure: the one that is named, else the one built for small machines.
fn binary() -> Result<String> {
    if let Ok(named) = std::env::var("WARDWATCH_BENCH_AGENT") {
        return Ok(named);
    }
    let beside = program::path(AGENT);
    let target = beside.ancestors().nth(2).context("a target folder")?;
    let candidates = [target.join(MUSL), target.join("small").join(AGENT)];
    let found = candidates.iter().find(|path| path.exists());
    Ok(found.context("no small agent is built; run `cross/agent-musl` first")?.display().to_string())
}

/// Whether no loader of glibc is named in it.
fn is_static(agent: &str) -> Result<bool> {
    Ok(!fs::read(agent)?.windows(9).any(|bytes| bytes == b"/ld-linux"))
}

fn make_files(root: &Path) -> Result<()> {
    for number in 0..FILES {
        let folder = root.join((number / FILES_IN_A_FOLDER).to_string());
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(number.to_string()), format!("\x7fELF{number:0>200}"))?;
    }
    Ok(())
}

async fn start_yardstick(site: &Site) -> Result<Program> {
    let reporter = Reporter::enrol(&site.string(1).await?, 1).await?;
    let (certificate, key) = (site.folder().join("client.pem"), site.folder().join("client.key"));
    fs::write(&certificate, &reporter.certificate.0)?;
    fs::write(&key, &reporter.certificate.1)?;
    let mut command = Command::new("mosquitto_sub");
    command
        .args(["-h", &site.mqtt.ip().to_string(), "-p", &site.mqtt.port().to_string(), "-q", "1"])
        .args(["-i", reporter.agent.as_str()])
        .args(["-t", &Topic::new(reporter.agent.clone(), Channel::Downlink).to_string()])
        .arg("--cafile")
        .arg(site.data().join("authority/ca.pem"))
        .arg("--cert")
        .arg(certificate)
        .arg("--key")
        .arg(key);
    Program::spawn(command, site.folder().join("mosquitto_sub.log"))
}

/// What a process has taken so far. Memory in bytes.
struct Use {
    resident: f64,
    share: f64,
    highest: f64,
    busy: Duration,
    written: u64,
}

impl Use {
    fn of(process: u32) -> Result<Self> {
        let folder = PathBuf::from(format!("/proc/{process}"));
        let number = |file: &str, field: &str| -> Result<u64> {
            let text =
                fs::read_to_string(folder.join(file)).with_context(|| format!("{file} of {process}"))?;
            let line = text.lines().find_map(|line| line.strip_prefix(field)).context("a known field")?;
            Ok(line.split_whitespace().next().context("a number")?.parse()?)
        };
        let mut busy = Duration::ZERO;
        for thread in fs::read_dir(folder.join("task"))? {
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            busy += Duration::from_nanos(text.split_whitespace().next().context("nanoseconds")?.parse()?);
        }
        let kib = |file, field| Ok::<_, anyhow::Error>(number(file, field)? as f64 * 1024.0);
        Ok(Self {
            resident: kib("status", "VmRSS:")?,
            share: kib("smaps_rollup", "Pss:")?,
            highest: kib("status", "VmHWM:")?,
            busy,
            written: number("io", "write_bytes:")?,
        })
    }
}
