//! An incident from its raising to its end, by the page alone.

use reqwest::multipart::{Form, Part};
use reqwest::{Method, Response, StatusCode};
use wardwatch_collector::store::users::Role;
use wardwatch_policies::digest::Digest;
use wardwatch_tests::database::Database;

use crate::record;
use crate::site::{Site, Visitor, target};

const HERE: &str = "/incidents/2026-0001";

async fn begun(site: &Site) -> Visitor {
    record::endpoint(site, "pc-1", "Máy 01").await;
    record::changed_file(site, 1, "pc-1", "/usr/bin/ssh").await;
    let mut lan = site.signed_in("lan", Role::Staff).await;
    lan.submit("/alerts/1", "/alerts/1/raise", &[]).await;
    lan
}

async fn complete(visitor: &mut Visitor, step: &str, fill: impl FnOnce(Form) -> Form) -> Response {
    let form = fill(Form::new().text("csrf", visitor.token(HERE).await));
    let request = visitor.request(Method::POST, &format!("{HERE}/steps/{step}/complete")).multipart(form);
    visitor.send(request).await
}

async fn done(visitor: &mut Visitor, step: &str) {
    let answer = complete(visitor, step, |form| form.text("note", format!("đã làm bước {step}"))).await;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{step}");
}

/// The part of the page that is one step's card.
fn card<'a>(page: &'a str, step: &str) -> &'a str {
    let begin = page.find(&format!("id=\"step-{}\"", step.replace('.', "-"))).expect("the step is there");
    let rest = &page[begin..];
    &rest[..rest.find("</article>").unwrap()]
}

#[tokio::test]
async fn an_incident_is_led_through_all_steps_and_two_rounds() {
    for database in Database::each().await {
        let site = Site::open(&database.url).await;
        let mut lan = begun(&site).await;
        let page = lan.page(HERE).await;
        assert_eq!(page.matches("<article").count(), 12);
        let first = card(&page, "I.1");
        for words in [
            "Theo dõi, tiếp nhận, phân tích các cảnh báo",
            "Đơn vị chủ trì",
            "Đơn vị sử dụng, vận hành",
            "Cần làm ngay",
        ] {
            assert!(first.contains(words), "{words}");
        }
        assert!(card(&page, "III.4").contains("Chờ bước III.3 đạt"));
        assert!(!card(&page, "III.4").contains("<form"), "a gate leaves nothing to press");
        for step in ["I.1", "I.2", "I.3"] {
            done(&mut lan, step).await;
        }
        let criteria = [("serious", "no"), ("criterion", "1"), ("reason", "đã khôi phục trong ngày")];
        lan.submit(HERE, "/incidents/2026-0001/seriousness", &criteria).await;
        let page = lan.page(HERE).await;
        assert!(card(&page, "I.4").contains("Không áp dụng"));
        assert!(page.contains("Hệ thống bị gián đoạn dịch vụ; đã khôi phục trong ngày"));
        for step in ["I.5", "I.6", "II.1", "III.1", "III.2"] {
            done(&mut lan, step).await;
        }
        let failed = complete(&mut lan, "III.3", |form| {
            form.text("outcome", "fail")
                .text("repeat", "III.1")
                .text("repeat", "III.2")
                .text("note", "còn mã độc")
        });
        assert_eq!(failed.await.status(), StatusCode::SEE_OTHER);
        let page = lan.page(HERE).await;
        assert!(page.contains("Vòng 2 (hiện tại)") && page.contains("còn mã độc"));
        assert!(card(&page, "II.1").contains("ghi nhận ở vòng 1"));
        let earlier = lan.page("/incidents/2026-0001?round=1").await;
        assert!(card(&earlier, "III.1").contains("đã làm bước III.1") && !earlier.contains("/steps/"));
        for step in ["III.4", "IV.1"] {
            let refused = complete(&mut lan, step, |form| form.text("note", "x")).await;
            assert_eq!(refused.status(), StatusCode::CONFLICT);
            assert!(refused.text().await.unwrap().contains("phải chờ bước III.3"));
        }
        for step in ["III.1", "III.2"] {
            done(&mut lan, step).await;
        }
        let passed =
            complete(&mut lan, "III.3", |form| form.text("outcome", "pass").text("note", "ổn định")).await;
        assert_eq!(passed.status(), StatusCode::SEE_OTHER);
        done(&mut lan, "III.4").await;
        done(&mut lan, "IV.1").await;
        let page = lan.page(HERE).await;
        assert!(page.contains("Đóng sự cố") && !page.contains("/complete"));
        assert!(lan.page("/").await.contains("Không có sự cố nào đang xử lý"));
        assert!(lan.page("/log?verify=yes").await.contains("Nhật ký nguyên vẹn"));
    }
}

#[tokio::test]
async fn a_step_keeps_files_as_evidence_and_gives_them_back_unchanged() {
    let database = Database::sqlite();
    let site = Site::open(&database.url).await;
    let mut lan = begun(&site).await;
    let nothing =
        complete(&mut lan, "I.1", |form| form.part("file", Part::bytes(vec![]).file_name(""))).await;
    assert_eq!(nothing.status(), StatusCode::CONFLICT);
    assert!(nothing.text().await.unwrap().contains("chưa có chứng cứ"));
    let content = b"<script>alert(1)</script>".to_vec();
    let digest = Digest::of(&content);
    let file = Part::bytes(content.clone()).file_name("Biên bản/../xác minh.html");
    let answer = complete(&mut lan, "I.1", |form| form.text("alert", "1").part("file", file)).await;
    assert_eq!(target(&answer), "/incidents/2026-0001#step-I-1");
    let page = lan.page(HERE).await;
    assert!(card(&page, "I.1").contains("xác minh.html") && card(&page, "I.1").contains(&digest.to_string()));
    let answer = lan.get(&format!("/evidence/{digest}")).await;
    assert_eq!(answer.headers()["content-type"], "application/octet-stream");
    assert!(answer.headers()["content-disposition"].to_str().unwrap().starts_with("attachment"));
    assert_eq!(answer.bytes().await.unwrap(), content);
    let large = Part::bytes(vec![0; (20 << 20) + 1]).file_name("lớn.bin");
    let answer = complete(&mut lan, "I.2", |form| form.part("file", large)).await;
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let mut stranger = site.visitor();
    assert_eq!(stranger.get(&format!("/evidence/{digest}")).await.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_file_without_the_sessions_token_is_not_kept() {
    let database = Database::sqlite();
    let site = Site::open(&database.url).await;
    let mut lan = begun(&site).await;
    for form in [
        Form::new().text("csrf", "x").part("file", Part::bytes(b"abc".to_vec()).file_name("a")),
        Form::new().part("file", Part::bytes(b"abc".to_vec()).file_name("a")),
    ] {
        let request = lan.request(Method::POST, "/incidents/2026-0001/steps/I.1/complete").multipart(form);
        assert_eq!(lan.send(request).await.status(), StatusCode::FORBIDDEN);
    }
    let address = format!("/evidence/{}", Digest::of(b"abc"));
    assert_eq!(lan.get(&address).await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_settled_step_is_reopened_with_a_reason_and_its_record_stays_readable() {
    let database = Database::sqlite();
    let site = Site::open(&database.url).await;
    let mut lan = begun(&site).await;
    done(&mut lan, "I.1").await;
    let reopen = [("reason", "nhầm máy")];
    lan.submit(HERE, "/incidents/2026-0001/steps/I.1/reopen", &reopen).await;
    let page = lan.page(HERE).await;
    let first = card(&page, "I.1");
    assert!(first.contains("Các lần ghi nhận trước") && first.contains("đã làm bước I.1"));
    assert!(page.contains("nhầm máy") && first.contains("/steps/I.1/complete"));
    let skip = [("reason", "không có hệ thống nào khác liên quan")];
    lan.submit(HERE, "/incidents/2026-0001/steps/I.6/not-applicable", &skip).await;
    assert!(card(&lan.page(HERE).await, "I.6").contains("không có hệ thống nào khác"));
}

#[tokio::test]
async fn an_incident_is_raised_from_a_telephone_call() {
    let database = Database::sqlite();
    let site = Site::open(&database.url).await;
    let mut lan = site.signed_in("lan", Role::Staff).await;
    let told = [
        ("title", "Trang thông tin phường bị đổi giao diện"),
        ("severity", "high"),
        ("reason", "Phường báo qua điện thoại"),
    ];
    let answer = lan.submit("/incidents", "/incidents", &told).await;
    assert_eq!(target(&answer), HERE);
    assert!(lan.page("/incidents").await.contains("Trang thông tin phường bị đổi giao diện"));
    assert_eq!(lan.get("/incidents/2026-0002").await.status(), StatusCode::NOT_FOUND);
    assert_eq!(lan.get("/incidents/x").await.status(), StatusCode::NOT_FOUND);
}
