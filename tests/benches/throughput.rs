//! Reports per second from agents to committed-and-acked, beside what mosquitto forwards of the same bytes.
//!
//! Clients with certificates of one authority send reports of a first inventory over TLS 1.3, QoS 1, each with
//! a window of unanswered ones as an agent has. A report counts when a signed ack, verified, says that the
//! database has committed it; with mosquitto, when one subscriber has received it. Runs alternate, so that
//! what else the machine does meets both. Reports are signed before the clock starts.
//!
//! `cargo build --release --workspace && cargo bench -p wardwatch-tests --bench throughput`; with
//! `WARDWATCH_TEST_POSTGRES` set, a collector on PostgreSQL takes part.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rumqttc::{AsyncClient, Event, EventLoop, Packet, QoS};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::time::timeout;
use wardwatch_policies::digest::Digest;
use wardwatch_policies::file::{FileKind, FileSighting, FileState, Sighting};
use wardwatch_policies::finding::StreamReason;
use wardwatch_policies::path::EndpointPath;
use wardwatch_policies::time::UnixMillis;
use wardwatch_tests::database::Database;
use wardwatch_tests::program::{Program, eventually};
use wardwatch_tests::reporter::Reporter;
use wardwatch_tests::site::{Site, free_addresses};
use wardwatch_wire::report::Body;
use wardwatch_wire::topic::{Channel, Topic};

const CLIENTS: u8 = 16;
const REPORTS: usize = 500;
const RUNS: usize = 5;
/// As in the agent's uplink.
const WINDOW: usize = 64;
const FILES_IN_A_REPORT: usize = 5;
/// Without a word for so long, a run has failed.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut sides = Vec::new();
    for database in Database::each().await {
        sides.push(Side::start(database).await?);
    }
    let mosquitto = Mosquitto::start(dir.path(), &sides[0].site).await?;
    let mut forwarded = Vec::new();
    let mut last = Vec::new();
    for _ in 0..RUNS {
        // The reports of the first collector's agents go through mosquitto as well, after that collector.
        for side in sides.iter_mut().rev() {
            let reports = side.seal()?;
            let begun = send(side.site.mqtt.port(), &mut side.reporters, &reports, Answer::SignedAck).await?;
            side.rates.push(rate(begun.elapsed()));
            last = reports;
        }
        forwarded.push(mosquitto.forward(&mut sides[0].reporters, &last).await?);
    }
    let bytes = last[0].iter().map(Vec::len).sum::<usize>() / REPORTS;
    println!(
        "{CLIENTS} mutual-TLS clients, {REPORTS} reports of {bytes} bytes ({FILES_IN_A_REPORT} files) each, window \
         {WINDOW}; medians of {RUNS} alternating runs, per second"
    );
    let baseline = show("mosquitto, forwarded to one subscriber", &mut forwarded);
    for side in &mut sides {
        let median = show(&format!("wardwatch on {}, committed and acked", side.database), &mut side.rates);
        println!("{:48} {:.2}", "  of mosquitto's rate", median / baseline);
    }
    Ok(())
}

fn rate(taken: Duration) -> f64 {
    (REPORTS * usize::from(CLIENTS)) as f64 / taken.as_secs_f64()
}

/// Prints a line and returns the median.
fn show(what: &str, rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    let median = rates[rates.len() / 2];
    println!("{what:48} {median:6.0}  ({:.0} to {:.0})", rates[0], rates[rates.len() - 1]);
    median
}

/// Sealed reports of one agent, in order.
type Reports = Vec<Vec<u8>>;

/// A collector, its enrolled agents, and what they reached.
struct Side {
    database: &'static str,
    site: Site,
    reporters: Vec<Reporter>,
    rates: Vec<f64>,
    _database: Database,
}

impl Side {
    async fn start(database: Database) -> Result<Self> {
        let name = if database.url.starts_with("sqlite:") { "SQLite" } else { "PostgreSQL" };
        let site = Site::start_with(&["--database", &database.url]).await?;
        let mut reporters = Vec::new();
        for number in 1..=CLIENTS {
            reporters.push(Reporter::enrol(&site.string(1).await?, number).await?);
        }
        Ok(Self { database: name, site, reporters, rates: Vec::new(), _database: database })
    }

    /// The next reports of every agent.
    fn seal(&mut self) -> Result<Vec<Reports>> {
        let of_one = |reporter: &mut Reporter| {
            let sealed = (0..REPORTS).map(|_| {
                let body = if reporter.seq() == 0 {
                    Body::StreamOpened { reason: StreamReason::FirstStart }
                } else {
                    files(reporter.seq())
                };
                Ok(reporter.seal(body)?.into_bytes())
            });
            sealed.collect()
        };
        self.reporters.iter_mut().map(of_one).collect()
    }
}

/// Files that no other report names.
fn files(seq: u64) -> Body {
    let sightings = (0..FILES_IN_A_REPORT).map(|number| {
        let path = format!("/usr/lib/x86_64-linux-gnu/libexample-{seq}-{number}.so.1");
        let state = FileState {
            digest: Digest::of(path.as_bytes()),
            size: 100_000 + seq,
            kind: FileKind::Elf,
            mode: Some(0o755),
            owner: Some((0, 0)),
        };
        FileSighting {
            path: EndpointPath::from_bytes(path).expect("an absolute path"),
            sighting: Sighting::Present(state),
            seen: UnixMillis(1_790_000_000_000),
        }
    });
    Body::Files(sightings.collect())
}

/// What frees a place in a client's window.
#[derive(Clone, Copy, PartialEq)]
enum Answer {
    SignedAck,
    PubAck,
}

/// Connects the agents, lets them begin at one moment, and returns that moment once every report is answered.
async fn send(
    port: u16,
    reporters: &mut Vec<Reporter>,
    reports: &[Reports],
    answer: Answer,
) -> Result<Instant> {
    let start = Arc::new(Barrier::new(reporters.len() + 1));
    let mut clients = Vec::new();
    for (mut reporter, reports) in reporters.drain(..).zip(reports.to_vec()) {
        let start = start.clone();
        clients.push(tokio::spawn(async move {
            let downlink = Topic::new(reporter.agent.clone(), Channel::Downlink).to_string();
            let client = Client::connect(&reporter, port, downlink).await?;
            start.wait().await;
            client.send(&mut reporter, reports, answer).await?;
            anyhow::Ok(reporter)
        }));
    }
    timeout(PATIENCE, start.wait()).await.context("not all clients could connect")?;
    let begun = Instant::now();
    for client in clients {
        reporters.push(client.await??);
    }
    Ok(begun)
}

/// A connected agent that is subscribed to one topic.
struct Client {
    mqtt: AsyncClient,
    events: EventLoop,
}

impl Client {
    async fn connect(reporter: &Reporter, port: u16, topic: String) -> Result<Self> {
        let mut options = reporter.options(port);
        options.set_inflight(WINDOW as u16);
        let (mqtt, events) = AsyncClient::new(options, 2 * WINDOW);
        let mut client = Self { mqtt, events };
        client.mqtt.subscribe(topic, QoS::AtLeastOnce).await?;
        while !matches!(client.next().await?, Packet::SubAck(_)) {}
        Ok(client)
    }

    /// The next packet that arrives.
    async fn next(&mut self) -> Result<Packet> {
        loop {
            if let Event::Incoming(packet) =
                timeout(PATIENCE, self.events.poll()).await.context("silence")??
            {
                return Ok(packet);
            }
        }
    }

    async fn send(mut self, reporter: &mut Reporter, reports: Reports, answer: Answer) -> Result<()> {
        let topic = Topic::new(reporter.agent.clone(), Channel::Reports).to_string();
        let total = reports.len();
        let before = reporter.seq() - total as u64;
        let (mut sent, mut answered) = (0, 0);
        let mut reports = reports.into_iter();
        while answered < total {
            for report in reports.by_ref().take(WINDOW - (sent - answered)) {
                self.mqtt.try_publish(&topic, QoS::AtLeastOnce, false, report)?;
                sent += 1;
            }
            match self.next().await? {
                Packet::Publish(ack) if answer == Answer::SignedAck => {
                    answered = usize::try_from(reporter.committed(&ack.payload)?.saturating_sub(before))?;
                }
                Packet::PubAck(_) if answer == Answer::PubAck => answered += 1,
                _ => {}
            }
        }
        Ok(())
    }
}

/// The yardstick, with the certificates of a collector's authority.
struct Mosquitto {
    port: u16,
    subscriber: Reporter,
    _program: Program,
}

impl Mosquitto {
    async fn start(dir: &Path, site: &Site) -> Result<Self> {
        let [address] = free_addresses()?;
        let file = |name| site.data().join("authority").join(name).display().to_string();
        let config = format!(
            "user root\nlog_type error\nlistener {} {}\ncafile {}\ncertfile {}\nkeyfile {}\n\
             require_certificate true\nuse_identity_as_username true\nmax_queued_messages 0\n\
             max_inflight_messages 0\n",
            address.port(),
            address.ip(),
            file("ca.pem"),
            file("server.pem"),
            file("server.key"),
        );
        let config_file = dir.join("mosquitto.conf");
        std::fs::write(&config_file, config)?;
        // Debian keeps it where an ordinary user's path does not lead.
        let path = Path::new("/usr/sbin/mosquitto");
        let mut command = Command::new(if path.exists() { path } else { Path::new("mosquitto") });
        command.arg("-c").arg(&config_file);
        let program = Program::spawn(command, dir.join("mosquitto.log"))?;
        eventually("mosquitto listens", Duration::from_secs(10), async || {
            Ok(TcpStream::connect(address).await.ok())
        })
        .await
        .with_context(|| program.log_text())?;
        let subscriber = Reporter::enrol(&site.string(1).await?, CLIENTS + 1).await?;
        Ok(Self { port: address.port(), subscriber, _program: program })
    }

    /// Messages per second from the reporters to the subscriber.
    async fn forward(&self, reporters: &mut Vec<Reporter>, reports: &[Reports]) -> Result<f64> {
        let all = "wardwatch/v1/agents/+/reports".to_owned();
        let mut subscriber = Client::connect(&self.subscriber, self.port, all).await?;
        let received = tokio::spawn(async move {
            for _ in 0..usize::from(CLIENTS) * REPORTS {
                while !matches!(subscriber.next().await?, Packet::Publish(_)) {}
            }
            anyhow::Ok(Instant::now())
        });
        let begun = send(self.port, reporters, reports, Answer::PubAck).await?;
        Ok(rate(received.await?? - begun))
    }
}
