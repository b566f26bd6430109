//! What an agent costs a small machine: the size of its program, its memory, and what a day takes of processor,
//! link and flash while nothing changes.
//!
//! It runs the agent as built for small machines, enrolled at a real collector, over a folder of small ELF
//! files, waits until all are told, and watches it idle, through a scan and through the checks of its policy. A
//! day at rest is put together from these as the usual settings ask: four scans, 24 evaluations, idle else. An
//! idle `mosquitto_sub` on the same collector is the yardstick of memory.
//!
//! `cross/build x86_64-unknown-linux-musl && cargo build --release --workspace`, then
//! `cargo bench -p wardwatch-tests --bench footprint`; `WARDWATCH_BENCH_AGENT` names another agent's program.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tokio::time::sleep;
use wardwatch_tests::link::Link;
use wardwatch_tests::program::{self, Program, eventually};
use wardwatch_tests::reporter::Reporter;
use wardwatch_tests::site::{AGENT, Agent, Site, write_programs};
use wardwatch_tests::usage::{Usage, bytes_below};
use wardwatch_wire::topic::{Channel, Topic};

const FILES: usize = 5000;
/// After the last file was told: acks and caches are written down.
const SETTLING: Duration = Duration::from_secs(20);
const HEARTBEAT: Duration = Duration::from_secs(60);
const WATCHED_FOR: Duration = Duration::from_secs(180);
const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::main]
async fn main() -> Result<()> {
    let site = Site::start().await?;
    let link = Link::to(site.mqtt).await;
    let mut agent = site.agent("pc")?;
    agent.binary = std::env::var("WARDWATCH_BENCH_AGENT")
        .unwrap_or_else(|_| program::cross("x86_64-unknown-linux-musl", AGENT));
    write_programs(&agent.watched, FILES)?;
    // All other settings are the usual ones.
    fs::write(&agent.config, format!("[files]\nroots = [{:?}]\n", agent.watched))?;
    let mut string = site.string(1).await?;
    string.mqtt_port = link.address.port();
    agent.enrol(&string)?;
    agent.start()?;
    let path = format!("/endpoints/{}", agent.id()?);
    eventually("the agent's inventory is complete", Duration::from_secs(300), async || {
        Ok((site.get(&path).await?["inventory_complete"] == true).then_some(()))
    })
    .await
    .with_context(|| agent.log_text())?;
    let process = agent.program()?.id();
    let yardstick = start_yardstick(&site).await?;
    sleep(SETTLING).await;
    let measure = || Use::of(process, &link);

    let begin = measure()?;
    sleep(WATCHED_FOR).await;
    let idle = measure()?.since(&begin);
    let begin = measure()?;
    let scanned = agent.status()?["scan"]["last"].clone();
    order(&site, &agent, "rescan")?;
    eventually("the files are scanned again", Duration::from_secs(300), async || {
        let scan = agent.status()?["scan"].clone();
        Ok((scan["last"] != scanned && scan["running"] == false).then_some(()))
    })
    .await?;
    sleep(SETTLING).await;
    let rescan = measure()?.since(&begin).beyond(&idle);
    let begin = measure()?;
    order(&site, &agent, "recheck")?;
    // Nothing tells when it is done; the agent hears of it at its next heartbeat.
    sleep(HEARTBEAT + SETTLING).await;
    let recheck = measure()?.since(&begin).beyond(&idle);
    let now = Usage::of(process)?;
    // What the usual settings ask for.
    let day = idle
        .times(DAY.as_secs_f64() / idle.elapsed.as_secs_f64())
        .and(&rescan.times(4.0))
        .and(&recheck.times(24.0));

    let size = fs::metadata(&agent.binary)?.len();
    println!("{}, {FILES} files watched, connected", agent.binary);
    let row = |what, value: String, note| println!("  {what:38} {value:>12}   {note}");
    row("program", format!("{:.2} MB", size as f64 / 1e6), "aim: 4 MB");
    row("resident, idle", format!("{:.1} MiB", mib(now.resident)), "aim: 8 MiB");
    row("  its own share of it (PSS)", format!("{:.1} MiB", mib(now.share)), "");
    row("resident, at the peak of scan and checks", format!("{:.1} MiB", mib(now.highest)), "");
    row("state folder", format!("{:.1} MB", bytes_below(&agent.state)? as f64 / 1e6), "");
    row("a day at rest: processor time", format!("{:.1} s", day.busy.as_secs_f64()), "");
    row("  bytes on the wire", format!("{:.2} MB", day.carried as f64 / 1e6), "TLS, both ways");
    row("  bytes written to the disk", format!("{:.1} MB", day.written as f64 / 1e6), "");
    for (what, part) in [
        ("an idle minute", idle.times(60.0 / idle.elapsed.as_secs_f64())),
        ("a scan", rescan),
        ("checks", recheck),
    ] {
        println!(
            "  {what:38} {:>9.0} ms   {} bytes on the wire, {} written",
            part.busy.as_secs_f64() * 1e3,
            part.carried,
            part.written
        );
    }
    let yardstick = Usage::of(yardstick.id())?;
    row("mosquitto_sub, resident", format!("{:.1} MiB", mib(yardstick.resident)), "yardstick");
    row("  its own share of it (PSS)", format!("{:.1} MiB", mib(yardstick.share)), "");
    Ok(())
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

fn order(site: &Site, agent: &Agent, what: &str) -> Result<()> {
    let called = site.call(&["endpoints", what, &agent.id()?])?;
    ensure!(called.status.success(), "{what}: {}", String::from_utf8_lossy(&called.stderr));
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

/// What a process and its link have taken so far.
struct Use {
    process: Usage,
    carried: u64,
    at: Instant,
}

/// What was taken in some time.
struct Taken {
    elapsed: Duration,
    busy: Duration,
    written: u64,
    carried: u64,
}

impl Use {
    fn of(process: u32, link: &Link) -> Result<Self> {
        Ok(Self { process: Usage::of(process)?, carried: link.carried_bytes(), at: Instant::now() })
    }

    fn since(&self, before: &Self) -> Taken {
        Taken {
            elapsed: self.at - before.at,
            busy: self.process.busy - before.process.busy,
            written: self.process.written - before.process.written,
            carried: self.carried - before.carried,
        }
    }
}

impl Taken {
    fn times(&self, factor: f64) -> Self {
        Self {
            elapsed: self.elapsed.mul_f64(factor),
            busy: self.busy.mul_f64(factor),
            written: (self.written as f64 * factor) as u64,
            carried: (self.carried as f64 * factor) as u64,
        }
    }

    fn and(&self, other: &Self) -> Self {
        Self {
            elapsed: self.elapsed + other.elapsed,
            busy: self.busy + other.busy,
            written: self.written + other.written,
            carried: self.carried + other.carried,
        }
    }

    /// Without what an idle agent takes in the same time.
    fn beyond(&self, idle: &Self) -> Self {
        let idle = idle.times(self.elapsed.as_secs_f64() / idle.elapsed.as_secs_f64());
        Self {
            elapsed: self.elapsed,
            busy: self.busy.saturating_sub(idle.busy),
            written: self.written.saturating_sub(idle.written),
            carried: self.carried.saturating_sub(idle.carried),
        }
    }
}
