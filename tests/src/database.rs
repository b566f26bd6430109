//! Fresh databases to run one test on both kinds: SQLite always, PostgreSQL where `WARDWATCH_TEST_POSTGRES`
//! names a database of a server whose user may create others (`tests/run` starts one).

use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// An empty database of one test's own.
pub struct Database {
    /// As the collector's configuration has it.
    pub url: String,
    _dir: Option<tempfile::TempDir>,
}

impl Database {
    /// One of each kind.
    ///
    /// # Panics
    /// A database cannot be made.
    pub async fn each() -> Vec<Self> {
        let mut all = vec![Self::sqlite()];
        if let Ok(server) = std::env::var("WARDWATCH_TEST_POSTGRES") {
            all.push(Self::postgres(&server).await);
        }
        all
    }

    /// A SQLite file that is removed with the value.
    ///
    /// # Panics
    /// There is no room for temporary files.
    #[must_use]
    pub fn sqlite() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        Self { url: format!("sqlite:{}", dir.path().join("wardwatch.db").display()), _dir: Some(dir) }
    }

    async fn postgres(server: &str) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}_{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let mut connection = PgConnection::connect(server).await.expect("the PostgreSQL of the tests");
        sqlx::raw_sql(AssertSqlSafe(format!("drop database if exists {name}")))
            .execute(&mut connection)
            .await
            .expect("an old database goes");
        sqlx::raw_sql(AssertSqlSafe(format!("create database {name}")))
            .execute(&mut connection)
            .await
            .expect("a new database");
        let (address, _) = server.rsplit_once('/').expect("an address that ends in /NAME");
        Self { url: format!("{address}/{name}"), _dir: None }
    }
}
