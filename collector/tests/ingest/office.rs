//! A collector that takes reports, and what its store holds afterwards.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Row;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use wardwatch_collector::enrol::Reachable;
use wardwatch_collector::fleet::Fleet;
use wardwatch_collector::ingest::Ingest;
use wardwatch_collector::store::endpoints::{self, State};
use wardwatch_collector::store::reports::{self, Standing};
use wardwatch_collector::store::{Store, log};
use wardwatch_collector::workflow::Workflow;
use wardwatch_incidents::alert::Alert;
use wardwatch_incidents::chain::Head;
use wardwatch_incidents::incident::Incident;
use wardwatch_policies::ids::EndpointKind;
use wardwatch_tests::database::Database;

use crate::reporter::Reporter;
use crate::setup::{Agent, Doors, Identity, id};

/// A running collector without its page.
pub(crate) struct Office {
    pub(crate) fleet: Fleet,
    stop: watch::Sender<bool>,
    ingest: JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Office {
    pub(crate) async fn open(database: &Database) -> Self {
        let Doors { dir, authority, registry, broker, inbox } = Doors::open().await;
        let store = Store::open(&database.url).await.unwrap();
        let workflow = Workflow::new(store.clone());
        let (broker, authority) = (Arc::new(broker), Arc::new(authority));
        let key = authority.collector_key().clone();
        let ingest = Ingest::new(store.clone(), registry.clone(), workflow.clone(), key, broker.clone());
        let (stop, stopped) = watch::channel(false);
        let ingest = tokio::spawn(ingest.run(inbox, stopped));
        let reachable =
            Reachable { hosts: vec!["127.0.0.1".into()], enrol_port: 1, mqtt_port: broker.address().port() };
        let fleet = Fleet { store, workflow, registry, broker, authority, reachable: Arc::new(reachable) };
        Self { fleet, stop, ingest, _dir: dir }
    }

    /// An agent that is enrolled, active and connected.
    pub(crate) async fn reporter(&self, agent: &str) -> Reporter {
        let identity = self.enrol(agent, State::Active).await;
        self.connect(agent, &identity).await
    }

    pub(crate) async fn connect(&self, agent: &str, identity: &Identity) -> Reporter {
        let options = Doors::options_of(&self.fleet.authority, &self.fleet.broker, agent, Some(identity));
        let agent_connected = Agent::connect(options).await.expect("a good agent connects");
        Reporter::subscribe(id(agent), agent_connected, self.fleet.authority.collector_key().verifying_key())
            .await
    }

    pub(crate) async fn enrol(&self, agent: &str, state: State) -> Identity {
        let identity = Identity::of(&self.fleet.authority, agent);
        let endpoint = Doors::endpoint(agent, &identity, state);
        let mut tx = self.fleet.store.write().await.unwrap();
        endpoints::enrol(&mut tx, &endpoint, 1).await.unwrap();
        tx.commit().await.unwrap();
        self.fleet.registry.put(endpoint);
        identity
    }

    pub(crate) async fn kind(&self, agent: &str) -> EndpointKind {
        let mut db = self.fleet.store.reader().acquire().await.unwrap();
        endpoints::find(&mut db, &id(agent)).await.unwrap().expect("an endpoint").kind
    }

    /// All that the database holds of one endpoint's progress.
    pub(crate) async fn standing(&self, agent: &str) -> Standing {
        let mut db = self.fleet.store.reader().acquire().await.unwrap();
        reports::standing(&mut db, &id(agent)).await.unwrap().expect("an active endpoint")
    }

    /// The numbers of the committed reports, over all streams, in the order of their receipt.
    pub(crate) async fn committed(&self, agent: &str) -> Vec<i64> {
        let rows = sqlx::query("select seq from reports where endpoint = $1 order by received, seq")
            .bind(agent)
            .fetch_all(self.fleet.store.reader())
            .await
            .unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    pub(crate) async fn alerts(&self) -> Vec<Alert> {
        let rows =
            sqlx::query("select body from alerts order by id").fetch_all(self.fleet.store.reader()).await;
        rows.unwrap().iter().map(|row| serde_json::from_str(row.get(0)).unwrap()).collect()
    }

    /// Each alert as `rule state count`.
    pub(crate) async fn alert_lines(&self) -> Vec<String> {
        let line = |alert: Alert| format!("{} {} {}", alert.rule, alert.state.as_str(), alert.count);
        self.alerts().await.into_iter().map(line).collect()
    }

    pub(crate) async fn incidents(&self) -> Vec<Incident> {
        let rows =
            sqlx::query("select body from incidents order by id").fetch_all(self.fleet.store.reader()).await;
        rows.unwrap().iter().map(|row| serde_json::from_str(row.get(0)).unwrap()).collect()
    }

    pub(crate) async fn log_head(&self) -> Head {
        let mut db = self.fleet.store.reader().acquire().await.unwrap();
        log::head(&mut db).await.unwrap()
    }

    /// Counts the rows of a table, or of what else stands after `from`.
    pub(crate) async fn count(&self, from: &str) -> i64 {
        let sql = sqlx::AssertSqlSafe(format!("select count(*) from {from}"));
        sqlx::query(sql).fetch_one(self.fleet.store.reader()).await.unwrap().get(0)
    }

    pub(crate) async fn run_sql(&self, sql: &str) {
        let mut tx = self.fleet.store.write().await.unwrap();
        sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }

    pub(crate) async fn close(self) {
        self.stop.send(true).unwrap();
        timeout(Duration::from_secs(10), self.ingest).await.expect("ingest stops").unwrap();
        self.fleet.store.close().await;
    }
}
