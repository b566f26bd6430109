//! A release on its way to endpoints: whom a roll-out asks, what their answers bring about, and that the agent's
//! own program may become it without an alarm.

use wardwatch_collector::authority::Authority;
use wardwatch_collector::clock;
use wardwatch_collector::releases::{Plan, ReleaseError, Releases, watch};
use wardwatch_collector::store::blobs::BlobDir;
use wardwatch_collector::store::releases;
use wardwatch_incidents::change::Actor;
use wardwatch_policies::digest::Digest;
use wardwatch_policies::file::{FileKind, FileSighting, FileState, Sighting};
use wardwatch_policies::finding::StreamReason;
use wardwatch_policies::host::HostFacts;
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
        self.releases.add(&ADMIN, sealed, &program, clock::now()).await.unwrap()
    }

    async fn roll_out(&self, version: &str, canary_percent: u8) -> u64 {
        let plan = Plan { version: version.parse().unwrap(), unit: None, kind: None, canary_percent };
        self.releases.roll_out(&ADMIN, plan, clock::now()).await.unwrap()
    }

    async fn look(&self) {
        watch::look(&self.releases, clock::now()).await.unwrap();
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
        let all = self.releases.progress().await.unwrap();
        let one = all.iter().find(|one| one.rollout.id == id).unwrap();
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
        assert_eq!(office.alert_lines().await.len(), 2, "each stands on its endpoint's page all the same");
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
    add(good(), &program).await.unwrap();
    add(good(), &program).await.expect("the same again is nothing new");
    let other = crate::upgrades::program("another");
    let taken = add(desk.sealed("0.2.0", TARGET, &other), &other).await;
    assert!(matches!(taken, Err(ReleaseError::Taken(..))), "{taken:?}");
    office.close().await;
}

/// What an endpoint gave up it takes only under a higher version, even if nothing was wrong with the program.
#[tokio::test]
async fn the_same_program_is_held_under_a_higher_version_too() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let desk = Desk::of(&office);
        let program = program("0.2.0");
        for version in ["0.2.0", "0.2.1"] {
            let sealed = desk.sealed(version, TARGET, &program);
            desk.releases.add(&ADMIN, sealed, &program, clock::now()).await.unwrap();
        }
        let held = releases::all(office.fleet.store.reader()).await.unwrap();
        let versions: Vec<_> = held.iter().map(|held| held.release.version.to_string()).collect();
        assert_eq!(versions, ["0.2.1", "0.2.0"]);
        office.close().await;
    }
}
