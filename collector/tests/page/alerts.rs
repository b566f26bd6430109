//! Alerts with their why, and what a person does with them.

use reqwest::{Method, StatusCode};
use wardwatch_collector::store::users::Role;
use wardwatch_policies::time::UnixMillis;
use wardwatch_tests::database::Database;

use crate::record::{self, NEW, OLD};
use crate::site::{Site, target};

#[tokio::test]
async fn an_alert_shows_its_why_with_both_hashes_in_both_languages() {
    for database in Database::each().await {
        let site = Site::open(&database.url).await;
        record::endpoint(&site, "pc-1", "Máy tiếp dân 01").await;
        record::changed_file(&site, 1, "pc-1", "/usr/bin/ssh").await;
        let mut lan = site.signed_in("lan", Role::Staff).await;
        let list = lan.page("/alerts").await;
        assert!(list.contains("Tệp bị thay đổi: /usr/bin/ssh") && list.contains("Máy tiếp dân 01"));
        let vi = lan.page("/alerts/1").await;
        for words in [
            OLD,
            NEW,
            "Tệp thực thi trong thư mục hệ thống bị thay đổi",
            "Kiểm tra lịch cập nhật",
            "Mong đợi",
        ] {
            assert!(vi.contains(words), "{words}");
        }
        lan.post("/language", &[("language", "en"), ("back", "/")]).await;
        let en = lan.page("/alerts/1").await;
        for words in [OLD, NEW, "An executable in a system directory changed", "Expected"] {
            assert!(en.contains(words), "{words}");
        }
    }
}

#[tokio::test]
async fn one_click_makes_an_incident_of_an_alert() {
    let database = Database::sqlite();
    let site = Site::open(&database.url).await;
    record::endpoint(&site, "pc-1", "Máy 01").await;
    record::changed_file(&site, 1, "pc-1", "/usr/bin/ssh").await;
    let mut lan = site.signed_in("lan", Role::Staff).await;
    let answer = lan.submit("/alerts/1", "/alerts/1/raise", &[]).await;
    assert_eq!(target(&answer), "/incidents/2026-0001");
    assert!(lan.page("/alerts").await.contains("1 cảnh báo"), "it is still open");
    let overview = lan.page("/").await;
    assert!(overview.contains("Không có cảnh báo nào chưa xử lý"), "the incident takes care of it");
    assert!(overview.contains("2026-0001 · Tệp bị thay đổi: /usr/bin/ssh (Máy 01)"), "{overview}");
    assert!(overview.contains("I.1 Tiếp nhận, xác minh sự cố"));
    let again = lan.submit("/", "/alerts/1/raise", &[]).await;
    assert_eq!(again.status(), StatusCode::CONFLICT);
    assert!(again.text().await.unwrap().contains("đã thuộc sự cố 2026-0001"));
}

#[tokio::test]
async fn closing_and_silencing_need_a_reason() {
    let database = Database::sqlite();
    let site = Site::open(&database.url).await;
    record::endpoint(&site, "pc-1", "Máy 01").await;
    record::changed_file(&site, 1, "pc-1", "/usr/bin/ssh").await;
    let mut lan = site.signed_in("lan", Role::Staff).await;
    let answer = lan.submit("/alerts/1", "/alerts/1/close", &[("reason", "  ")]).await;
    assert_eq!(answer.status(), StatusCode::CONFLICT);
    assert!(answer.text().await.unwrap().contains("Chưa ghi lý do"));
    let silence = [("reason", "đang nâng cấp"), ("hours", "24")];
    assert_eq!(target(&lan.submit("/alerts/1", "/alerts/1/silence", &silence).await), "/alerts/1");
    assert!(lan.page("/alerts").await.contains("Không có cảnh báo nào"));
    let close = [("reason", "đã nâng cấp xong <b>")];
    assert_eq!(target(&lan.submit("/alerts/1", "/alerts/1/close", &close).await), "/alerts/1");
    let closed = lan.page("/alerts/1").await;
    assert!(closed.contains("đã nâng cấp xong &#60;b&#62;") && !closed.contains("/alerts/1/close"));
    assert_eq!(lan.get("/alerts/2").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(lan.get("/alerts/x").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_open_page_hears_of_a_change_within_a_second() {
    let database = Database::sqlite();
    let site = Site::open(&database.url).await;
    record::endpoint(&site, "pc-1", "Máy 01").await;
    let mut lan = site.signed_in("lan", Role::Staff).await;
    let request = lan.request(Method::GET, "/live");
    let mut live = lan.send(request).await;
    assert_eq!(live.headers()["content-type"], "text/event-stream");
    record::changed_file(&site, 1, "pc-1", "/usr/bin/ssh").await;
    let heard = async {
        let mut text = String::new();
        // A browser drops events without data.
        while !text.contains("event: alerts\ndata: changed\n\n") {
            text.push_str(std::str::from_utf8(&live.chunk().await.unwrap().unwrap()).unwrap());
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(1), heard).await.expect("within a second");
    let mut stranger = site.visitor();
    let request = stranger.request(Method::GET, "/live").header("hx-request", "true");
    assert_eq!(stranger.send(request).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn an_endpoint_shows_contact_files_and_checks_and_only_an_administrator_removes_it() {
    for database in Database::each().await {
        let site = Site::open(&database.url).await;
        record::endpoint(&site, "pc-1", "Máy 01").await;
        record::state(&site, "pc-1", UnixMillis(site.now().0 + 3_600_000)).await;
        let mut lan = site.signed_in("lan", Role::Staff).await;
        let list = lan.page("/endpoints").await;
        for words in [
            "Máy 01",
            "UBND phường Nha Trang",
            "Máy tính văn phòng",
            "Đang liên lạc",
            "Sai giờ",
            "1 không đạt",
        ] {
            assert!(list.contains(words), "{words}");
        }
        let one = lan.page("/endpoints/pc-1").await;
        for words in [
            "Debian",
            "lệch 3600 giây",
            "/usr/bin/ssh",
            OLD,
            "Không theo dõi",
            "not root",
            "2 tệp",
            "Không cho phép root đăng nhập qua SSH",
        ] {
            assert!(one.contains(words), "{words}");
        }
        let found = lan.page("/endpoints/pc-1?search=Phường").await;
        assert!(found.contains("1 tệp") && found.contains("/opt/Phường/tiện ích"));
        let found = lan.page(&format!("/endpoints/pc-1?search={OLD}")).await;
        assert!(found.contains("1 tệp") && found.contains("/usr/bin/ssh"));
        assert_eq!(lan.get("/endpoints/pc-1/remove").await.status(), StatusCode::FORBIDDEN);
        let remove = [("reason", "thanh lý")];
        assert_eq!(lan.submit("/", "/endpoints/pc-1/remove", &remove).await.status(), StatusCode::FORBIDDEN);
        let mut admin = site.signed_in("quan-tri", Role::Admin).await;
        let answer = admin.submit("/endpoints/pc-1/remove", "/endpoints/pc-1/remove", &remove).await;
        assert_eq!(target(&answer), "/endpoints/pc-1");
        assert!(admin.page("/endpoints/pc-1").await.contains("Đã gỡ bỏ"));
    }
}
