//! A release on its way to endpoints: whom a roll-out asks, what their answers bring about, and that the agent's
//! own program may become it without an alarm.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use wardwatch_collector::authority::Authority;
use wardwatch_collector::clock;
use wardwatch_collector::releases::intake::News;
use wardwatch_collector::releases::watch::Watcher;
use wardwatch_collector::releases::{Plan, ReleaseError, Releases};
use wardwatch_collector::store::blobs::BlobDir;
use wardwatch_collector::workflow::Event;
use wardwatch_incidents::change::Actor;
use wardwatch_policies::digest::Digest;
use wardwatch_policies::file::{FileKind, FileSighting, FileState, Sighting};
use wardwatch_policies::finding::StreamReason;
use wardwatch_policies::host::HostFacts;
use wardwatch_policies::ids::EndpointKind;
use wardwatch_policies::release::UpgradeOutcome;
use wardwatch_policies::time::UnixMillis;
use wardwatch_tests::database::Database;
use wardwatch_wire::downlink::{Action, CommandId};
use wardwatch_wire::release::{Release, seal_release};
use wardwatch_wire::report::Body;

use crate::office::Office;
use crate::reporter::Reporter;
use crate::setup::value;

const ADMIN: Actor = Actor::LocalAdmin;
const TARGET: &str = "x86_64-unknown-linux-musl";

/// The head of a program for x86-64, and whatever makes it differ from others.
fn program(content: &str) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01".to_vec();
    bytes.resize(18, 0);
    bytes.extend([62, 0]);
    bytes.extend(content.as_bytes());
    bytes
}

struct Desk {
    releases: Releases,
    dir: tempfile::TempDir,
}

impl Desk {
    fn of(office: &Office) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let fleet = &office.fleet;
        let releases = Releases {
            store: fleet.store.clone(),
            workflow: fleet.workflow.clone(),
            authority: fleet.authority.clone(),
            blobs: BlobDir::open(dir.path()).unwrap(),
        };
        Self { releases, dir }
    }

    fn sealed(&self, version: &str, target: &str, program: &[u8]) -> Vec<u8> {
        let keys = self.releases.authority.ca_file();
        let key = Authority::read_release_key(&keys.with_file_name("release.key")).unwrap();
        let release = Release {
            version: version.parse().unwrap(),
            target: target.parse().unwrap(),
            digest: Digest::of(program),
            size: program.len() as u64,
            made: UnixMillis(0),
        };
        seal_release(&key, &release).unwrap().into_bytes()
    }

    async fn add(&self, version: &str) -> Release {
        let program = program(version);
        let sealed = self.sealed(version, TARGET, &program);
        self.releases.add(&ADMIN, sealed, &program, clock::now()).await.unwrap().release
    }

    async fn roll_out(&self, version: &str, canary_percent: u8) -> u64 {
        self.try_to_roll_out(version, None, canary_percent).await.unwrap()
    }

    async fn try_to_roll_out(
        &self,
        version: &str,
        kind: Option<EndpointKind>,
        canary_percent: u8,
    ) -> Result<u64, ReleaseError> {
        let plan = Plan { version: version.parse().unwrap(), unit: None, kind, canary_percent };
        self.releases.roll_out(&ADMIN, plan, clock::now()).await
    }

    async fn look(&self) {
        Watcher::new(self.releases.clone()).look(clock::now()).await.unwrap();
    }

    /// The collector with a new release key, as after `releases new-key` and a start.
    fn with_new_key(&self) -> Self {
        let keys = self.releases.authority.ca_file().parent().unwrap().to_owned();
        Authority::replace_release_key(&keys, &keys.join("root.key"), None, clock::now()).unwrap();
        let authority = Arc::new(Authority::open(&keys).unwrap());
        let dir = tempfile::tempdir().unwrap();
        let blobs = BlobDir::open(dir.path()).unwrap();
        Self { releases: Releases { authority, blobs, ..self.releases.clone() }, dir }
    }

    /// Rolls a first release out, until the canary has the command; the numbers of both.
    async fn ask(&self, canary: &mut Reporter) -> (u64, CommandId) {
        self.add("0.2.0").await;
        let id = self.roll_out("0.2.0", 50).await;
        self.look().await;
        canary.beat(1).await;
        (id, canary.command().await.id)
    }

    /// State, waiting, healthy, returned and refused.
    async fn progress(&self, id: u64) -> (&'static str, [usize; 4]) {
        let one = self.releases.progress_of(id).await.unwrap();
        let tally = one.tally;
        (one.rollout.state.as_str(), [tally.waiting, tally.healthy, tally.returned, tally.refused])
    }
}

fn facts(version: &str) -> Body {
    Body::Host(HostFacts {
        hostname: "pc".into(),
        os: "Debian".into(),
        kernel: "6.1".into(),
        architecture: "x86_64".into(),
        cpu: "c".into(),
        cpu_count: 2,
        memory_bytes: 1,
        disks: Vec::new(),
        addresses: Vec::new(),
        agent_version: version.into(),
        target: TARGET.parse().ok(),
        limits: Vec::new(),
    })
}

async fn endpoint(office: &Office, name: &str) -> Reporter {
    let mut pc = office.reporter(name).await;
    pc.open(1, StreamReason::FirstStart).await;
    pc.tell(facts("0.1.0")).await;
    pc
}

#[tokio::test]
async fn a_failed_canary_stops_the_roll_out_and_a_later_release_that_is_well_closes_the_alert() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let desk = Desk::of(&office);
        let mut pc = endpoint(&office, "pc-1").await;
        desk.add("0.2.0").await;
        let first = desk.roll_out("0.2.0", 50).await;
        desk.look().await;
        desk.look().await;
        assert_eq!(office.count("commands where action = 'upgrade'").await, 1, "asked once");
        pc.beat(1).await;
        let command = pc.command().await;
        let Action::Upgrade(sealed) = command.action else { panic!("{command:?}") };
        let (release, serial) = sealed.open(office.fleet.authority.root_digest()).unwrap();
        assert_eq!((release.version.to_string().as_str(), serial), ("0.2.0", 1));
        assert_eq!(desk.progress(first).await, ("canary", [1, 0, 0, 0]));

        let returned = UpgradeOutcome::Returned { reason: "it ended\0 with 1".into() };
        let version = "0.2.0".parse().ok();
        pc.tell(Body::Upgrade { command: command.id, version, outcome: returned }).await;
        assert_eq!(office.alert_lines().await, ["upgrade-returned open 1"]);
        desk.look().await;
        assert_eq!(desk.progress(first).await, ("stopped", [0, 0, 1, 0]));
        let failed = desk.releases.progress_of(first).await.unwrap().failed;
        assert_eq!(failed.iter().map(|(endpoint, _)| endpoint.as_str()).collect::<Vec<_>>(), ["pc-1"]);
        desk.look().await;
        assert_eq!(office.count("commands where action = 'upgrade'").await, 1, "nobody more is asked");

        desk.add("0.3.0").await;
        let second = desk.roll_out("0.3.0", 100).await;
        desk.look().await;
        pc.beat(2).await;
        let command = pc.command().await.id;
        let version = "0.3.0".parse().ok();
        pc.tell(Body::Upgrade { command, version, outcome: UpgradeOutcome::Healthy }).await;
        pc.tell(facts("0.3.0")).await;
        assert_eq!(office.alert_lines().await, ["upgrade-returned closed 1"]);
        assert_eq!(desk.progress(second).await, ("wide", [0, 1, 0, 0]));
        for change in ["release-added", "rollout-begun", "rollout-stopped"] {
            let logged = format!("log where change_body like '%{change}%'");
            assert!(office.count(&logged).await > 0, "{change}");
        }
        office.close().await;
        drop(desk.dir);
    }
}

#[tokio::test]
async fn only_the_first_word_of_an_endpoint_that_was_asked_counts() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let desk = Desk::of(&office);
        let mut pc = endpoint(&office, "pc-1").await;
        let (id, command) = desk.ask(&mut pc).await;
        let version = "0.2.0".parse().ok();
        let said = |outcome| Body::Upgrade { command, version, outcome };
        let returned = || UpgradeOutcome::Returned { reason: "so says its owner".into() };

        let mut owned = endpoint(&office, "owned").await;
        owned.tell(said(returned())).await;
        desk.look().await;
        assert_eq!(desk.progress(id).await, ("canary", [2, 0, 0, 0]), "nobody asked it this");

        pc.tell(said(UpgradeOutcome::Healthy)).await;
        pc.tell(said(UpgradeOutcome::Refused { reason: "so says its owner".into() })).await;
        desk.look().await;
        assert_eq!(desk.progress(id).await, ("canary", [1, 1, 0, 0]), "it had said otherwise");
        for reason in ["unasked", "said-before"] {
            let series = format!("wardwatch_upgrade_outcomes_not_counted_total{{reason=\"{reason}\"}} ");
            assert!(value(&series) > 0, "{reason}");
        }
        assert_eq!(
            office.alert_lines().await,
            ["upgrade-returned open 1"],
            "only of the one that nobody asked"
        );
        office.close().await;
        drop(desk.dir);
    }
}

#[tokio::test]
async fn an_endpoint_whose_settings_forbid_upgrades_is_counted_and_stops_nothing() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let desk = Desk::of(&office);
        let mut pc = endpoint(&office, "pc-1").await;
        let (id, command) = desk.ask(&mut pc).await;
        pc.tell(Body::Upgrade { command, version: None, outcome: UpgradeOutcome::NotAllowed }).await;
        desk.look().await;
        assert_eq!(desk.progress(id).await, ("canary", [0, 0, 0, 0]));
        let progress = desk.releases.progress().await.unwrap();
        assert_eq!(progress[0].tally.not_allowed, 1);
        assert_eq!(office.alert_lines().await, [""; 0], "its owner decided so");
        office.close().await;
        drop(desk.dir);
    }
}

#[tokio::test]
async fn the_agents_program_may_become_a_held_release_and_nothing_else() {
    fn seen(path: &str, content: &[u8]) -> Body {
        let state = FileState {
            digest: Digest::of(content),
            size: content.len() as u64,
            kind: FileKind::Elf,
            mode: Some(0o755),
            owner: Some((0, 0)),
        };
        let path = path.parse().unwrap();
        Body::Files(vec![FileSighting { path, sighting: Sighting::Present(state), seen: UnixMillis(0) }])
    }
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let desk = Desk::of(&office);
        let mut pc = endpoint(&office, "pc-1").await;
        let (own, other) = ("/usr/sbin/wardwatch-agent", "/usr/sbin/sshd");
        pc.tell(seen(own, b"as installed")).await;
        pc.tell(seen(other, b"as installed")).await;
        pc.tell(Body::InventoryComplete { files: 2 }).await;
        desk.add("0.0.9").await;
        desk.add("0.2.0").await;

        pc.tell(seen(own, &program("0.2.0"))).await;
        let slot = "/var/lib/wardwatch-agent/slots/a/wardwatch-agent";
        pc.tell(seen(slot, &program("0.2.0"))).await;
        assert_eq!(office.alert_lines().await, [""; 0], "an upgrade is no alarm");

        pc.tell(seen(own, &program("0.0.9"))).await;
        assert_eq!(
            office.alert_lines().await,
            ["agent-file-changed open 1"],
            "a return to an old release is"
        );
        pc.tell(seen(slot, b"an attacker's")).await;
        pc.tell(seen(other, &program("0.2.0"))).await;
        assert_eq!(
            office.alert_lines().await,
            ["agent-file-changed open 1", "agent-file-changed open 1", "system-executable-changed open 1"]
        );
        office.close().await;
    }
}

#[tokio::test]
async fn only_what_the_release_key_signed_for_its_own_machine_is_taken_in() {
    let database = Database::sqlite();
    let office = Office::open(&database).await;
    let desk = Desk::of(&office);
    let program = program("0.2.0");
    let add = async |sealed, content: &[u8]| desk.releases.add(&ADMIN, sealed, content, clock::now()).await;
    let good = || desk.sealed("0.2.0", TARGET, &program);

    let forged = add(office.fleet.authority.collector_word().to_vec(), &program).await;
    assert!(matches!(forged, Err(ReleaseError::Untrusted(_))), "{forged:?}");
    let cut = add(good(), &program[..program.len() - 1]).await;
    assert!(matches!(cut, Err(ReleaseError::OtherProgram)), "{cut:?}");
    let foreign = add(desk.sealed("0.2.0", "aarch64-unknown-linux-musl", &program), &program).await;
    assert!(matches!(foreign, Err(ReleaseError::Unfit(_))), "{foreign:?}");
    assert_eq!(add(good(), &program).await.unwrap().news, News::Release);
    assert_eq!(add(good(), &program).await.unwrap().news, News::Nothing);
    let other = crate::upgrades::program("another 0.2.0");
    let taken = add(desk.sealed("0.2.0", TARGET, &other), &other).await;
    assert!(matches!(taken, Err(ReleaseError::Taken(..))), "{taken:?}");
    // An endpoint asks the program for its version, and refuses it.
    let mislabelled = add(desk.sealed("0.2.1", TARGET, &program), &program).await;
    assert!(matches!(mislabelled, Err(ReleaseError::OtherVersion(_))), "{mislabelled:?}");
    let kept = std::fs::read_dir(desk.dir.path().join("blobs")).unwrap().count();
    assert_eq!(kept, 1, "what is refused is not kept");
    office.close().await;
}

/// What is logged in this thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_release_of_a_replaced_key_goes_to_nobody_until_it_is_signed_anew() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut pc = endpoint(&office, "pc-1").await;
        let desk = Desk::of(&office);
        desk.add("0.2.0").await;
        let begun = desk.roll_out("0.2.0", 100).await;

        let desk = desk.with_new_key();
        let refused = desk.try_to_roll_out("0.2.0", None, 100).await.unwrap_err();
        assert!(matches!(refused, ReleaseError::SignedByReplacedKey(..)), "{refused:?}");
        let lines = Lines::default();
        let writer = lines.clone();
        let log = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        let guard = tracing::subscriber::set_default(log);
        let mut watcher = Watcher::new(desk.releases.clone());
        watcher.look(clock::now()).await.unwrap();
        watcher.look(clock::now()).await.unwrap();
        drop(guard);
        let logged = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(logged.matches("a release is not sent").count(), 1, "{logged}");
        assert!(!logged.contains("asked to upgrade"), "{logged}");
        assert_eq!(office.count("commands").await, 0);
        assert_eq!(office.count("upgrades").await, 0);

        let program = program("0.2.0");
        let sealed = desk.sealed("0.2.0", TARGET, &program);
        let added = desk.releases.add(&ADMIN, sealed, &program, clock::now()).await.unwrap();
        assert_eq!(added.news, News::Signature);
        assert_eq!(office.count("log where change_body like '%release-signed-anew%'").await, 1);
        watcher.look(clock::now()).await.unwrap();
        assert_eq!(desk.progress(begun).await.0, "wide");
        pc.beat(1).await;
        let Action::Upgrade(sealed) = pc.command().await.action else { panic!("no upgrade") };
        let (_, serial) = sealed.open(office.fleet.authority.root_digest()).expect("the chain holds");
        assert!(serial > 1, "{serial}");
        office.close().await;
    }
}

#[tokio::test]
async fn of_two_live_roll_outs_only_the_higher_asks_an_endpoint_that_both_reach() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let desk = Desk::of(&office);
        let mut pc = endpoint(&office, "pc-1").await;
        desk.add("0.2.0").await;
        desk.add("0.3.0").await;
        let kind = office.kind("pc-1").await;
        let lower = desk.roll_out("0.2.0", 100).await;
        let higher = desk.try_to_roll_out("0.3.0", Some(kind), 100).await.unwrap();
        desk.look().await;
        desk.look().await;
        assert_eq!(office.count("commands where action = 'upgrade'").await, 1, "one order for one endpoint");
        pc.beat(1).await;
        let command = pc.command().await.id;
        let version = "0.3.0".parse().ok();
        pc.tell(Body::Upgrade { command, version, outcome: UpgradeOutcome::Healthy }).await;
        pc.tell(facts("0.3.0")).await;
        desk.look().await;
        assert_eq!(office.count("commands where action = 'upgrade'").await, 1);
        assert_eq!(desk.progress(higher).await, ("wide", [0, 1, 0, 0]));
        assert_eq!(desk.progress(lower).await, ("wide", [0, 1, 0, 0]), "it runs a newer one");
        office.close().await;
    }
}

#[tokio::test]
async fn a_roll_out_takes_the_place_of_a_lower_one_to_the_same_group() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let desk = Desk::of(&office);
        endpoint(&office, "pc-1").await;
        desk.add("0.2.0").await;
        desk.add("0.3.0").await;
        let kind = office.kind("pc-1").await;
        let narrower = desk.try_to_roll_out("0.2.0", Some(kind), 100).await.unwrap();
        desk.look().await;
        let lower = desk.roll_out("0.2.0", 100).await;
        let higher = desk.roll_out("0.3.0", 100).await;
        assert_eq!(desk.progress(narrower).await.0, "wide", "another group");
        let stopped = desk.releases.progress_of(lower).await.unwrap().rollout;
        let reason = stopped.reason.unwrap();
        assert!(reason.contains(&higher.to_string()) && reason.contains("0.3.0"), "{reason}");

        let replaced = desk.try_to_roll_out("0.3.0", Some(kind), 100).await.unwrap();
        assert_eq!(desk.progress(narrower).await.0, "stopped");
        assert_eq!(desk.progress(higher).await.0, "wide");
        let now = clock::now().0;
        assert_eq!(office.count(&format!("commands where expires > {now}")).await, 0, "withdrawn");
        assert_eq!(office.count("log where change_body like '%rollout-stopped%'").await, 2);
        desk.look().await;
        assert_eq!(office.count(&format!("commands where expires > {now}")).await, 1, "asked once");
        assert!(replaced > higher);
        office.close().await;
    }
}

#[tokio::test]
async fn a_live_roll_out_is_shown_however_many_were_begun_since() {
    let database = Database::sqlite();
    let office = Office::open(&database).await;
    let desk = Desk::of(&office);
    desk.add("0.2.0").await;
    let oldest = desk.roll_out("0.2.0", 10).await;
    let mut newest = oldest;
    for _ in 0..21 {
        newest = desk.roll_out("0.2.0", 10).await;
        desk.releases.stop(&ADMIN, newest, "done", clock::now()).await.unwrap();
    }
    let shown: Vec<_> = desk.releases.progress().await.unwrap().iter().map(|one| one.rollout.id).collect();
    assert_eq!((shown.len(), shown[0], shown[19]), (20, newest, oldest));
    // What was done to it is answered with how it stands, even when it is shown no more.
    desk.releases.widen(&ADMIN, oldest, clock::now()).await.unwrap();
    assert_eq!(desk.progress(oldest).await.0, "wide");
    desk.releases.stop(&ADMIN, oldest, "done", clock::now()).await.unwrap();
    assert_eq!(desk.progress(oldest).await.0, "stopped");
    let none = desk.releases.progress_of(newest + 1).await;
    assert!(matches!(none, Err(ReleaseError::NoSuchRollout(_))), "{none:?}");
    office.close().await;
}

#[tokio::test]
async fn only_a_word_that_counts_has_the_roll_outs_looked_at() {
    let database = Database::sqlite();
    let office = Office::open(&database).await;
    let desk = Desk::of(&office);
    let mut pc = endpoint(&office, "pc-1").await;
    let (_, command) = desk.ask(&mut pc).await;
    let mut events = desk.releases.workflow.subscribe();
    let mut woken = || {
        std::iter::from_fn(|| events.try_recv().ok())
            .filter(|event| matches!(event, Event::Upgrade(_)))
            .count()
    };
    let version = "0.2.0".parse().ok();
    let said = |command, outcome| Body::Upgrade { command, version, outcome };
    pc.tell(said(CommandId(99), UpgradeOutcome::Healthy)).await;
    pc.beat(2).await;
    assert_eq!(woken(), 0);
    pc.tell(said(command, UpgradeOutcome::Healthy)).await;
    pc.beat(3).await;
    assert_eq!(woken(), 1);
    pc.tell(said(command, UpgradeOutcome::Healthy)).await;
    pc.beat(4).await;
    assert_eq!(woken(), 0);
    office.close().await;
}
