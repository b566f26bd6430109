//! `audit verify` on real logs: what was written passes, and whatever was changed afterwards is named.

use ed25519_dalek::SigningKey;
use proptest::prelude::*;
use sqlx::{AssertSqlSafe, Row};
use wardwatch_collector::store::endpoints::{Endpoint, State};
use wardwatch_collector::store::{Difference, Store, log};
use wardwatch_collector::witness::{self, Projected, VerifyError};
use wardwatch_collector::workflow::Workflow;
use wardwatch_incidents::chain::{self, Head, Problem};
use wardwatch_incidents::change::{Actor, AlertId, Change, IncidentId};
use wardwatch_incidents::operate::{Command, Completion};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::file::{FileKind, FileState, Sighting};
use wardwatch_policies::finding::Finding;
use wardwatch_policies::time::UnixMillis;
use wardwatch_policies::verdict::Verdict;
use wardwatch_tests::database::Database;

const NOW: UnixMillis = UnixMillis(1_790_000_000_000);
const INCIDENT: IncidentId = IncidentId { year: 2026, number: 1 };

struct Record {
    store: Store,
    workflow: Workflow,
    key: SigningKey,
}

impl Record {
    async fn open(database: &Database) -> Self {
        let store = Store::open(&database.url).await.unwrap();
        Self { workflow: Workflow::new(store.clone()), store, key: SigningKey::from_bytes(&[3; 32]) }
    }

    /// A changed file with its incident, a failed check that passed again, a token revoked, a step done.
    async fn lived(database: &Database) -> Self {
        let record = Self::open(database).await;
        record.observe(1, &[file("/usr/bin/ls", 2), check(Verdict::Fail), check(Verdict::Pass)]).await;
        let mut tx = record.store.write().await.unwrap();
        let revoked = vec![Change::TokenRevoked { token: 1 }];
        record.workflow.record(&mut tx, &Actor::LocalAdmin, revoked, NOW).await.unwrap();
        tx.commit().await.unwrap();
        record.operate(done("I.1")).await.unwrap();
        record
    }

    async fn observe(&self, endpoint: u8, findings: &[Finding]) {
        let endpoint = Endpoint {
            id: format!("pc-{endpoint}").parse().unwrap(),
            unit: "phuong-1".parse().unwrap(),
            kind: "office-pc".parse().unwrap(),
            hostname: "máy".into(),
            state: State::Active,
            serial: "1".into(),
            report_key: self.key.verifying_key(),
            enrolled: NOW,
        };
        let mut tx = self.store.write().await.unwrap();
        let mut recording = self.workflow.begin(&mut tx, NOW).await.unwrap();
        recording.observe(&mut tx, &endpoint, findings).await.unwrap();
        recording.finish(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn operate(&self, command: Command) -> Result<(), wardwatch_collector::workflow::WorkflowError> {
        self.workflow.operate(&Actor::User("hoa".into()), INCIDENT, command, NOW).await
    }

    async fn verify(&self, witnesses: Vec<Head>) -> Result<Head, VerifyError> {
        let mut db = self.store.reader().acquire().await.unwrap();
        witness::verify(&mut db, &self.key.verifying_key(), witnesses).await
    }

    async fn run(&self, sql: &str) {
        let mut tx = self.store.write().await.unwrap();
        sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn set(&self, column: &str, index: i64, value: Value) {
        let sql = AssertSqlSafe(format!("update log set {column} = $1 where idx = $2"));
        let mut tx = self.store.write().await.unwrap();
        let query = sqlx::query(sql);
        let query = match value {
            Value::Text(text) => query.bind(text),
            Value::Number(number) => query.bind(number),
            Value::Bytes(bytes) => query.bind(bytes),
        };
        query.bind(index).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }
}

#[derive(Clone)]
enum Value {
    Text(String),
    Number(i64),
    Bytes(Vec<u8>),
}

fn file(path: &str, content: u8) -> Finding {
    let state = |content: u8| {
        Sighting::Present(FileState {
            digest: Digest::of(&[content]),
            size: 1,
            kind: FileKind::Elf,
            mode: None,
            owner: None,
        })
    };
    Finding::File { path: path.parse().unwrap(), old: state(content - 1), new: state(content) }
}

fn check(new: Verdict) -> Finding {
    let (policy, check) = ("office-pc-linux".parse().unwrap(), "ssh-root".parse().unwrap());
    Finding::Check { policy, check, old: None, new, evidence: Vec::new() }
}

fn done(step: &str) -> Command {
    Command::Complete(Completion {
        step: step.parse().unwrap(),
        note: "seen".into(),
        evidence: Vec::new(),
        findings: Vec::new(),
        outcome: None,
        repeat: Vec::new(),
    })
}

#[tokio::test]
async fn what_was_written_verifies_with_its_checkpoints_and_witnesses() {
    for database in Database::each().await {
        let record = Record::lived(&database).await;
        let early = record.verify(Vec::new()).await.unwrap();
        witness::sign(&record.store, &record.key).await.unwrap();
        record.observe(2, &[Finding::Fork { seq: 7 }]).await;
        witness::sign(&record.store, &record.key).await.unwrap();
        let head = record.verify(vec![early]).await.unwrap();
        assert!(head.length > early.length);
        assert_eq!(record.verify(vec![head, early]).await.unwrap(), head);
        record.store.close().await;
    }
}

#[tokio::test]
async fn one_changed_byte_in_any_column_names_its_entry() {
    for database in Database::each().await {
        let record = Record::lived(&database).await;
        let row = "select actor, change_body, at, digest, incident, alert from log where idx = 2";
        let row = sqlx::query(row).fetch_one(record.store.reader()).await.unwrap();
        let actor: String = row.get(0);
        let body: String = row.get(1);
        let at: i64 = row.get(2);
        let digest: Vec<u8> = row.get(3);
        let incident: String = row.get(4);
        let mut other_digest = digest.clone();
        other_digest[31] ^= 1;
        let changes = [
            ("actor", Value::Text(actor.clone()), Value::Text(actor.replacen('s', "t", 1))),
            ("change_body", Value::Text(body.clone()), Value::Text(body.replacen("2026", "2025", 1))),
            ("at", Value::Number(at), Value::Number(at + 1)),
            ("digest", Value::Bytes(digest), Value::Bytes(other_digest)),
            ("incident", Value::Text(incident), Value::Text("2026-0002".into())),
        ];
        for (column, old, new) in changes {
            record.set(column, 2, new).await;
            let error = record.verify(Vec::new()).await.unwrap_err();
            assert_eq!(error.entry(), Some(2), "{column}: {error}");
            record.set(column, 2, old).await;
            record.verify(Vec::new()).await.unwrap();
        }
        record.run("update log set alert = 9 where idx = 1").await;
        assert_eq!(record.verify(Vec::new()).await.unwrap_err().entry(), Some(1));
        record.store.close().await;
    }
}

#[tokio::test]
async fn a_log_that_was_cut_short_is_found_by_a_checkpoint_and_by_a_witness() {
    for database in Database::each().await {
        let record = Record::lived(&database).await;
        let seen = record.verify(Vec::new()).await.unwrap();
        witness::sign(&record.store, &record.key).await.unwrap();
        record.run(&format!("delete from log where idx = {}", seen.length)).await;
        let cut = |error: VerifyError| match error {
            VerifyError::Broken(broken) => (broken.index, broken.problem),
            other => panic!("{other}"),
        };
        let expected = (seen.length, Problem::Truncated { witnessed: seen.length });
        assert_eq!(cut(record.verify(Vec::new()).await.unwrap_err()), expected);
        record.run("delete from checkpoints").await;
        assert_eq!(cut(record.verify(vec![seen]).await.unwrap_err()), expected);
        record.store.close().await;
    }
}

#[tokio::test]
async fn a_log_computed_anew_as_a_whole_is_found_only_by_a_witness() {
    for database in Database::each().await {
        let record = Record::lived(&database).await;
        let seen = record.verify(Vec::new()).await.unwrap();
        let mut db = record.store.reader().acquire().await.unwrap();
        let entries = log::entries(&mut db, 0, 100).await.unwrap();
        drop(db);
        let mut head = Head::EMPTY;
        for entry in entries {
            let entry = entry.decode().unwrap();
            let change = match entry.change {
                Change::TokenRevoked { .. } => Change::TokenRevoked { token: 2 },
                other => other,
            };
            let forged = chain::append(head, entry.at, entry.actor, change);
            head = forged.head();
            let stored = forged.to_stored();
            let index = stored.index.cast_signed();
            record.set("change_body", index, Value::Text(stored.change_text)).await;
            record.set("digest", index, Value::Bytes(stored.digest.as_bytes().to_vec())).await;
        }
        record.verify(Vec::new()).await.expect("consistent in itself");
        let error = record.verify(vec![seen]).await.unwrap_err();
        assert!(matches!(&error, VerifyError::Broken(broken) if broken.problem == Problem::Rewritten));
        record.store.close().await;
    }
}

#[tokio::test]
async fn a_checkpoint_that_another_key_signed_is_named() {
    let database = Database::sqlite();
    let record = Record::lived(&database).await;
    witness::sign(&record.store, &SigningKey::from_bytes(&[4; 32])).await.unwrap();
    assert!(matches!(record.verify(Vec::new()).await, Err(VerifyError::Forged(_))));
}

#[tokio::test]
async fn an_alert_or_incident_that_is_not_as_the_log_tells_is_named() {
    use Difference::{Changed, Missing, Unheard};
    let (alert, incident) = (Projected::Alert(AlertId(1)), Projected::Incident(INCIDENT));
    for (sql, what, how) in [
        ("update alerts set state = 'closed' where id = 1", alert, Changed),
        ("update alerts set severity = 'low' where id = 1", alert, Changed),
        ("update alerts set count = count + 1 where id = 1", alert, Changed),
        ("update alerts set body = replace(body, 'pc-1', 'pc-9') where id = 1", alert, Changed),
        ("update alerts set finding = replace(finding, 'bin/ls', 'bin/la') where id = 1", alert, Changed),
        ("delete from alerts where id = 1", alert, Missing),
        (
            "insert into alerts select 9, endpoint, unit, rule, severity, fingerprint, state, silenced_until, \
             count, first_seen, last_seen, finding, incident, closed_reason, body from alerts where id = 1",
            Projected::Alert(AlertId(9)),
            Unheard,
        ),
        ("update incidents set state = 'closed', closed = 5", incident, Changed),
        ("update incidents set title_vi = 'x'", incident, Changed),
        ("update incidents set body = replace(body, 'seen', 'unseen')", incident, Changed),
        ("delete from incidents", incident, Missing),
    ] {
        for database in Database::each().await {
            let record = Record::lived(&database).await;
            record.run(sql).await;
            match record.verify(Vec::new()).await {
                Err(VerifyError::Projection { what: found, problem }) => {
                    assert_eq!((found, problem), (what, how), "{sql}");
                }
                other => panic!("{sql}: {other:?}"),
            }
            record.store.close().await;
        }
    }
}

/// One thing that may happen to the record.
#[derive(Debug, Clone)]
enum Event {
    Observed(u8, Vec<Finding>),
    Step(&'static str),
    Assessed(bool),
    AlertClosed(i64),
    AlertSilenced(i64),
    Attached(i64),
}

fn finding() -> impl Strategy<Value = Finding> {
    let verdict = prop_oneof![Just(Verdict::Fail), Just(Verdict::Pass), Just(Verdict::Unknown("?".into()))];
    prop_oneof![
        3 => (0u8..4, 1u8..3).prop_map(|(n, content)| file(&format!("/usr/bin/{n}"), content)),
        2 => verdict.prop_map(check),
        1 => (0u64..2).prop_map(|seq| Finding::Fork { seq }),
        1 => Just(Finding::IdentityCloned),
        2 => Just(Finding::Silent { since: NOW }),
        2 => Just(Finding::Heard),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let alert = || 1i64..6;
    prop_oneof![
        6 => (1u8..4, prop::collection::vec(finding(), 1..12)).prop_map(|(pc, all)| Event::Observed(pc, all)),
        3 => prop::sample::select(&["I.1", "I.2", "II.1", "III.1"][..]).prop_map(Event::Step),
        1 => any::<bool>().prop_map(Event::Assessed),
        2 => alert().prop_map(Event::AlertClosed),
        1 => alert().prop_map(Event::AlertSilenced),
        1 => alert().prop_map(Event::Attached),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever happens, a replay of the whole log gives the alerts and incidents that are stored.
    #[test]
    fn replay_of_any_history_gives_what_is_stored(events in prop::collection::vec(event(), 1..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let database = Database::sqlite();
            let record = Record::open(&database).await;
            let (actor, until) = (Actor::User("hoa".into()), NOW.plus(1000));
            for event in &events {
                // What is refused changes nothing, which the replay shows as well.
                match event {
                    Event::Observed(endpoint, findings) => record.observe(*endpoint, findings).await,
                    Event::Step(step) => drop(record.operate(done(step)).await),
                    Event::Assessed(serious) => {
                        let command = Command::AssessSeriousness { serious: *serious, reason: "r".into() };
                        drop(record.operate(command).await);
                    }
                    Event::AlertClosed(id) => {
                        drop(record.workflow.close_alert(&actor, AlertId(*id), "harmless", NOW).await);
                    }
                    Event::AlertSilenced(id) => {
                        let silenced = record.workflow.silence_alert(&actor, AlertId(*id), until, "later", NOW);
                        drop(silenced.await);
                    }
                    Event::Attached(id) => {
                        drop(record.workflow.attach(&actor, INCIDENT, AlertId(*id), NOW).await);
                    }
                }
            }
            record.verify(Vec::new()).await.expect("the log tells what is stored");
            record.store.close().await;
        });
    }
}
