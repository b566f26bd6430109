//! Endpoints, files and alerts, put into the store by the functions that the collector itself uses.

use wardwatch_collector::store::endpoints::{self, Endpoint, State};
use wardwatch_collector::store::reports::{self, Link, Told};
use wardwatch_collector::store::{files, hosts, verdicts};
use wardwatch_incidents::change::{Actor, AlertId, Change};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::file::{Coverage, FileKind, FileSighting, FileState, Sighting, Watch};
use wardwatch_policies::finding::Finding;
use wardwatch_policies::host::{Disk, HostFacts};
use wardwatch_policies::ids::EndpointKind;
use wardwatch_policies::severity::Severity;
use wardwatch_policies::time::UnixMillis;
use wardwatch_policies::verdict::{CheckResult, Evidence, PolicyResults, Verdict};
use wardwatch_wire::report::{AgentTime, StreamId};

use crate::site::Site;

pub(crate) const OLD: &str = "1111111111111111111111111111111111111111111111111111111111111111";
pub(crate) const NEW: &str = "2222222222222222222222222222222222222222222222222222222222222222";

fn present(digest: &str) -> Sighting {
    Sighting::Present(FileState {
        digest: digest.parse().unwrap(),
        size: 1_536_000,
        kind: FileKind::Elf,
        mode: Some(0o755),
        owner: Some((0, 0)),
    })
}

/// An office PC of the ward Nha Trang.
pub(crate) async fn endpoint(site: &Site, id: &str, hostname: &str) {
    let endpoint = Endpoint {
        id: id.parse().unwrap(),
        unit: "phuong-nha-trang".parse().unwrap(),
        kind: EndpointKind::OfficePc,
        hostname: hostname.to_owned(),
        state: State::Active,
        serial: "1".into(),
        report_key: ed25519_dalek::SigningKey::from_bytes(&[7; 32]).verifying_key(),
        enrolled: site.now(),
    };
    let mut tx = site.fleet.store.write().await.unwrap();
    let change = endpoints::enrol(&mut tx, &endpoint, 1).await.unwrap();
    let events =
        site.fleet.workflow.record(&mut tx, &Actor::Collector, vec![change], site.now()).await.unwrap();
    tx.commit().await.unwrap();
    site.fleet.workflow.announce(events);
    site.fleet.registry.put(endpoint);
}

/// An alert over an executable that is not what it was.
pub(crate) async fn changed_file(site: &Site, alert: i64, endpoint: &str, path: &str) {
    let rule = "system-executable-changed";
    let finding = Finding::File { path: path.parse().unwrap(), old: present(OLD), new: present(NEW) };
    let change = Change::AlertRaised {
        alert: AlertId(alert),
        endpoint: endpoint.parse().unwrap(),
        unit: "phuong-nha-trang".parse().unwrap(),
        rule: rule.parse().unwrap(),
        severity: Severity::High,
        fingerprint: finding.fingerprint(),
        finding,
    };
    let mut tx = site.fleet.store.write().await.unwrap();
    let actor = Actor::Rule(rule.parse().unwrap());
    let events = site.fleet.workflow.record(&mut tx, &actor, vec![change], site.now()).await.unwrap();
    tx.commit().await.unwrap();
    site.fleet.workflow.announce(events);
}

/// All that an endpoint reports: host, two files, coverage, three verdicts, a clock.
pub(crate) async fn state(site: &Site, id: &str, wall: UnixMillis) {
    let (id, now) = (id.parse().unwrap(), site.now());
    let file = |path: &str, digest| FileSighting {
        path: path.parse().unwrap(),
        sighting: present(digest),
        seen: now,
    };
    let (ssh, other) = (file("/usr/bin/ssh", OLD), file("/opt/Phường/tiện ích", NEW));
    let coverage = |root: &str, watch| Coverage {
        root: root.parse().unwrap(),
        watch,
        hashed_files: 1234,
        unreadable: 0,
    };
    let check = |check: &str, verdict| CheckResult {
        check: check.parse().unwrap(),
        verdict,
        evidence: vec![Evidence {
            subject: "/etc/ssh/sshd_config: PermitRootLogin".into(),
            expected: "no".into(),
            found: "yes".into(),
        }],
    };
    let facts = HostFacts {
        hostname: "Máy 01".into(),
        os: "Debian GNU/Linux 12".into(),
        kernel: "6.1.0-18".into(),
        architecture: "x86_64".into(),
        cpu: "Intel(R) Core(TM) i3-10100".into(),
        cpu_count: 4,
        memory_bytes: 8 << 30,
        disks: vec![Disk {
            mount: "/".into(),
            file_system: "ext4".into(),
            total_bytes: 256 << 30,
            free_bytes: 100 << 30,
        }],
        addresses: vec!["192.0.2.7/24".into()],
        agent_version: "0.1.0".into(),
        target: "x86_64-unknown-linux-musl".parse().ok(),
        limits: vec!["not root: 12 files below /usr/sbin cannot be read".into()],
    };
    let mut tx = site.fleet.store.write().await.unwrap();
    hosts::keep(&mut tx, &id, &facts).await.unwrap();
    let seen = [&ssh, &other].map(|file| (&file.path, &file.sighting));
    files::keep(&mut tx, &id, StreamId([1; 16]), &seen, now).await.unwrap();
    let roots = [
        coverage("/usr", Watch::Live),
        coverage("/mnt/chia-se", Watch::Skipped("network file system".into())),
    ];
    files::keep_coverage(&mut tx, &id, &roots).await.unwrap();
    let results = PolicyResults {
        policy: "office-pc-linux".parse().unwrap(),
        version: Digest::ZERO,
        results: vec![
            check("ssh-root-login", Verdict::Fail),
            check("firewall", Verdict::Unknown("not root".into())),
            check("time-synchronised", Verdict::Pass),
        ],
    };
    verdicts::keep(&mut tx, &id, &results, now).await.unwrap();
    let mut standing = reports::standing(&mut tx, &id).await.unwrap().unwrap();
    standing.link = Link::Heard;
    standing.last_seen = Some(now);
    standing.inventory_complete = true;
    let time = AgentTime { wall, uptime_ms: 1000, proved: Some(now) };
    let told = Told { time: Some(time), outbox_reports: Some(3) };
    reports::keep_standing(&mut tx, &id, &standing, told).await.unwrap();
    tx.commit().await.unwrap();
}
