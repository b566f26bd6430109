//! The store on SQLite and PostgreSQL.

use wardwatch_collector::store::Store;
use wardwatch_tests::database::Database;

#[tokio::test]
async fn bytes_and_nothing_come_back_as_they_went_in() {
    for database in Database::each().await {
        let store = Store::open(&database.url).await.unwrap();
        let mut tx = store.write().await.unwrap();
        sqlx::query("insert into enrolments (token, keys_digest, endpoint, reply) values ($1, $2, $3, $4)")
            .bind(1_i64)
            .bind(vec![1_u8, 2])
            .bind("a")
            .bind(vec![0_u8, 255])
            .execute(&mut *tx)
            .await
            .unwrap();
        tx.commit().await.unwrap();
        let reply: (Vec<u8>,) = sqlx::query_as("select reply from enrolments where keys_digest = $1")
            .bind(vec![1_u8, 2])
            .fetch_one(store.reader())
            .await
            .unwrap();
        assert_eq!(reply.0, [0, 255]);
        store.close().await;
    }
}

#[tokio::test]
async fn what_is_committed_after_the_disk_was_full_is_there_for_every_reader() {
    let database = Database::sqlite();
    let store = Store::open(&database.url).await.unwrap();
    for _ in 0..3 {
        let mut tx = store.write().await.unwrap();
        // The file may not grow from now on, as on a full disk; holds for this connection.
        sqlx::query("pragma max_page_count = 1").execute(&mut *tx).await.unwrap();
        let full = insert(&mut tx, vec![0; 1 << 20]).await;
        assert!(full.unwrap_err().to_string().contains("full"));
    }
    let mut tx = store.write().await.unwrap();
    insert(&mut tx, vec![7]).await.unwrap();
    tx.commit().await.unwrap();
    let seen: i64 =
        sqlx::query_scalar("select count(*) from enrolments").fetch_one(store.reader()).await.unwrap();
    assert_eq!(seen, 1);
    store.close().await;
}

async fn insert(db: &mut sqlx::AnyConnection, reply: Vec<u8>) -> Result<(), sqlx::Error> {
    sqlx::query("insert into enrolments (token, keys_digest, endpoint, reply) values (1, $1, 'a', $2)")
        .bind(vec![1_u8])
        .bind(reply)
        .execute(db)
        .await?;
    Ok(())
}
