//! What a person asks of an endpoint.

use reqwest::StatusCode;
use wardwatch_collector::store::users::Role;
use wardwatch_tests::database::Database;

use crate::record;
use crate::site::{Site, target};

#[tokio::test]
async fn a_click_asks_the_endpoint_to_look_again_and_shows_what_waits() {
    for database in Database::each().await {
        let site = Site::open(&database.url).await;
        record::endpoint(&site, "pc-1", "Máy 01").await;
        let mut lan = site.signed_in("lan", Role::Staff).await;
        assert!(!lan.page("/endpoints/pc-1").await.contains("lệnh chưa đến thiết bị"));
        let answer = lan.submit("/endpoints/pc-1", "/endpoints/pc-1/command", &[("action", "rescan")]).await;
        assert_eq!(target(&answer), "/endpoints/pc-1#commands");
        assert!(lan.page("/endpoints/pc-1").await.contains("1 lệnh chưa đến thiết bị"));
        assert!(lan.page("/log").await.contains("Gửi lệnh “Quét lại toàn bộ tệp” đến thiết bị"));
    }
}

#[tokio::test]
async fn what_no_agent_knows_is_not_asked_for() {
    let database = Database::sqlite();
    let site = Site::open(&database.url).await;
    record::endpoint(&site, "pc-1", "Máy 01").await;
    let mut lan = site.signed_in("lan", Role::Staff).await;
    for (id, action, status) in
        [("pc-1", "reboot", StatusCode::BAD_REQUEST), ("pc-2", "rescan", StatusCode::CONFLICT)]
    {
        let answer =
            lan.submit("/endpoints/pc-1", &format!("/endpoints/{id}/command"), &[("action", action)]).await;
        assert_eq!(answer.status(), status, "{action} on {id}");
    }
}
