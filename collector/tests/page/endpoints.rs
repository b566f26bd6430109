//! What a person asks of an endpoint.

use reqwest::StatusCode;
use wardwatch_collector::store::users::Role;
use wardwatch_collector::store::verdicts;
use wardwatch_policies::digest::Digest;
use wardwatch_policies::verdict::{CheckResult, Evidence, PolicyResults, Verdict};
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
async fn the_gravest_failed_check_stands_first_and_tells_what_it_found_in_the_language_of_the_page() {
    let database = Database::sqlite();
    let site = Site::open(&database.url).await;
    record::endpoint(&site, "pc-1", "Máy 01").await;
    let check = |check: &str| CheckResult {
        check: check.parse().unwrap(),
        verdict: Verdict::Fail,
        evidence: vec![Evidence {
            subject: "service auditd".into(),
            expected: "enabled".into(),
            found: "not installed".into(),
        }],
    };
    let results = PolicyResults {
        policy: "office-pc-linux".parse().unwrap(),
        version: Digest::ZERO,
        results: vec![check("audit"), check("empty-passwords"), check("firewall")],
    };
    let mut tx = site.fleet.store.write().await.unwrap();
    verdicts::keep(&mut tx, &"pc-1".parse().unwrap(), &results, site.now()).await.unwrap();
    tx.commit().await.unwrap();

    let mut lan = site.signed_in("lan", Role::Staff).await;
    let vi = lan.page("/endpoints/pc-1").await;
    let places = ["empty-passwords", "firewall", "audit"].map(|check| vi.find(&format!("linux/{check}<")));
    assert!(places.is_sorted() && places[0].is_some(), "{places:?}");
    assert!(vi.contains("dịch vụ auditd") && vi.contains("tự khởi động") && vi.contains("chưa cài"));
    lan.post("/language", &[("language", "en"), ("back", "/")]).await;
    let en = lan.page("/endpoints/pc-1").await;
    assert!(en.contains("service auditd") && en.contains("not installed"));
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
