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
