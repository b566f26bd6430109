//! Reports per second from the broker's queue to committed, against plain inserts of the same rows.
//!
//! `cargo bench -p wardwatch-collector --bench ingest` on SQLite; also on PostgreSQL where
//! `WARDWATCH_TEST_POSTGRES` names one. Not timed: sealing the reports, the network.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use ed25519_dalek::SigningKey;
use tokio::sync::{mpsc, watch};
use wardwatch_collector::authority::Authority;
use wardwatch_collector::broker::{Broker, Config, Inbound, Limits};
use wardwatch_collector::clock;
use wardwatch_collector::ingest::Ingest;
use wardwatch_collector::registry::Registry;
use wardwatch_collector::store::Store;
use wardwatch_collector::store::endpoints::{self, Endpoint, State};
use wardwatch_collector::workflow::Workflow;
use wardwatch_policies::digest::Digest;
use wardwatch_policies::file::{FileKind, FileSighting, FileState, Sighting};
use wardwatch_policies::finding::StreamReason;
use wardwatch_policies::ids::AgentId;
use wardwatch_policies::time::UnixMillis;
use wardwatch_tests::database::Database;
use wardwatch_wire::envelope::{self, Kind};
use wardwatch_wire::report::{AgentTime, Body, Position, Report, StreamId};

const AGENTS: usize = 40;
const BATCH: usize = 256;

#[tokio::main]
async fn main() {
    // Run as a test, it only shows that it still works.
    let reports_each = if std::env::args().any(|argument| argument == "--bench") { 500 } else { 10 };
    let inbound = sealed(reports_each);
    let count = inbound.len();
    println!("{count} reports of one file each, from {AGENTS} agents");
    let (ingest, plain) = (Database::each().await, Database::each().await);
    for (ingest, plain) in ingest.iter().zip(&plain) {
        let kind = ingest.url.split(':').next().unwrap_or_default();
        let ours = count as f64 / committed(ingest, &inbound).await;
        let yardstick = count as f64 / inserted(plain, &inbound).await;
        println!(
            "{kind}: ingest {ours:.0} reports/s; plain inserts of the same rows {yardstick:.0} reports/s; {:.0} %",
            100.0 * ours / yardstick
        );
    }
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn agent(n: usize) -> AgentId {
    format!("pc-{n}").parse().expect("an agent id")
}

/// Every agent's stream, in turn as a broker would bring them.
fn sealed(reports_each: u64) -> Vec<Inbound> {
    let mut last = vec![Digest::ZERO; AGENTS];
    let mut all = Vec::new();
    for seq in 1..=reports_each {
        for (n, last) in last.iter_mut().enumerate() {
            let body = match seq {
                1 => Body::StreamOpened { reason: StreamReason::FirstStart },
                _ => Body::Files(vec![sighting(seq)]),
            };
            let agent = agent(n);
            let position = Position { stream: StreamId([1; 16]), seq, previous: *last };
            let time = AgentTime { wall: UnixMillis(0), uptime_ms: 1, proved: None };
            let report = Report { agent: agent.clone(), position, time, body };
            let envelope = envelope::seal(Kind::Report, &agent, &key(), &report).expect("a small report");
            *last = envelope.digest();
            all.push(Inbound { agent, payload: envelope.into_bytes().into() });
        }
    }
    all
}

fn sighting(seq: u64) -> FileSighting {
    let state = FileState {
        digest: Digest::of(&seq.to_le_bytes()),
        size: 1000,
        kind: FileKind::Elf,
        mode: Some(0o755),
        owner: Some((0, 0)),
    };
    let path = format!("/usr/lib/x86_64-linux-gnu/lib-{seq}.so").parse().expect("a path");
    FileSighting { path, sighting: Sighting::Present(state), seen: UnixMillis(0) }
}

/// Seconds from the first report in the queue to the last one committed.
async fn committed(database: &Database, inbound: &[Inbound]) -> f64 {
    let store = Store::open(&database.url).await.expect("a database");
    let dir = tempfile::tempdir().expect("a folder");
    let authority = Authority::create(&dir.path().join("authority"), clock::now()).expect("keys");
    let registry = Registry::default();
    let mut tx = store.write().await.expect("a transaction");
    for n in 0..AGENTS {
        let endpoint = Endpoint {
            id: agent(n),
            unit: "phuong-1".parse().expect("a unit"),
            kind: "office-pc".parse().expect("a kind"),
            hostname: "pc".into(),
            state: State::Active,
            serial: n.to_string(),
            report_key: key().verifying_key(),
            enrolled: UnixMillis(0),
        };
        endpoints::enrol(&mut tx, &endpoint, 1).await.expect("a row");
        registry.put(endpoint);
    }
    tx.commit().await.expect("a commit");
    let config = Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        certificate: authority
            .ensure_server_certificate(&["127.0.0.1".into()], clock::now())
            .expect("a certificate"),
        ca_file: authority.ca_file(),
        limits: Limits::default(),
    };
    let (unused, _) = mpsc::channel(1);
    let broker = Arc::new(Broker::start(config, registry.clone(), unused).await.expect("a broker"));
    let workflow = Workflow::new(store.clone());
    let ingest = Ingest::new(store.clone(), registry, workflow, authority.collector_key().clone(), broker);
    let (_stop, stopped) = watch::channel(false);
    let (sink, queue) = mpsc::channel(1024);

    let began = Instant::now();
    let ingest = tokio::spawn(ingest.run(queue, stopped));
    for message in inbound {
        sink.send(message.clone()).await.expect("ingest works");
    }
    drop(sink);
    ingest.await.expect("ingest ends with its queue");
    let seconds = began.elapsed().as_secs_f64();
    let count: i64 =
        sqlx::query_scalar("select count(*) from reports").fetch_one(store.reader()).await.expect("a count");
    assert_eq!(usize::try_from(count), Ok(inbound.len()), "all are committed");
    store.close().await;
    seconds
}

/// Seconds for the same rows by one prepared statement a table, in one transaction for each 256 reports.
async fn inserted(database: &Database, inbound: &[Inbound]) -> f64 {
    let store = Store::open(&database.url).await.expect("a database");
    let began = Instant::now();
    let mut seq = 0;
    for batch in inbound.chunks(BATCH) {
        let mut tx = store.write().await.expect("a transaction");
        for message in batch {
            seq += 1_i64;
            sqlx::query(
                "insert into reports (endpoint, stream, seq, digest, received, size) values ($1, $2, $3, $4, $5, $6)",
            )
            .bind(message.agent.as_str())
            .bind(vec![1_u8; 16])
            .bind(seq)
            .bind(vec![2_u8; 32])
            .bind(0_i64)
            .bind(400_i64)
            .execute(&mut *tx)
            .await
            .expect("a row");
            sqlx::query(
                "insert into files (endpoint, path, sighting, digest, size, kind, mode, uid, gid, stream, \
                 first_seen, changed) values ($1, $2, 'present', $3, 1000, 'elf', 493, 0, 0, $4, 0, 0)",
            )
            .bind(message.agent.as_str())
            .bind(format!("/usr/lib/x86_64-linux-gnu/lib-{seq}.so").into_bytes())
            .bind(vec![2_u8; 32])
            .bind(vec![1_u8; 16])
            .execute(&mut *tx)
            .await
            .expect("a row");
        }
        tx.commit().await.expect("a commit");
    }
    let seconds = began.elapsed().as_secs_f64();
    store.close().await;
    seconds
}
