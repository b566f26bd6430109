//! The same tests on SQLite and, where `WARDWATCH_TEST_POSTGRES` names a server, on PostgreSQL.
use sqlx::Row;
use wardwatch_collector::store::Store;

#[tokio::test]
async fn opens() {
    let dir = tempfile::tempdir().unwrap();
    let mut urls = vec![format!("sqlite:{}/w.db", dir.path().display())];
    urls.extend(std::env::var("WARDWATCH_TEST_POSTGRES"));
    for url in urls {
        let store = Store::open(&url).await.unwrap();
        let mut tx = store.write().await.unwrap();
        sqlx::query("insert into enrolments (token, keys_digest, endpoint, reply) values ($1, $2, $3, $4)")
            .bind(1i64)
            .bind(vec![1u8, 2])
            .bind("a")
            .bind(vec![0u8, 255])
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let row = sqlx::query("select reply, endpoint from enrolments where keys_digest = $1")
            .bind(vec![1u8, 2])
            .fetch_one(store.reader())
            .await
            .unwrap();
        assert_eq!(row.get::<Vec<u8>, _>(0), vec![0u8, 255]);
        let row = sqlx::query("select stream from endpoints where id = $1")
            .bind("x")
            .fetch_optional(store.reader())
            .await
            .unwrap();
        assert!(row.is_none());
    }
}
