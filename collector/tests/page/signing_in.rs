//! Getting in, and being kept out.

use reqwest::{Method, StatusCode};
use wardwatch_collector::store::users::Role;
use wardwatch_tests::database::Database;

use crate::site::{PASSWORD, Site, target};

#[tokio::test]
async fn the_one_time_password_must_be_replaced_before_anything_is_shown() {
    for database in Database::each().await {
        let site = Site::open(&database.url).await;
        let one_time = site.user("lan", Role::Staff).await;
        let mut lan = site.visitor();
        let answer = lan.get("/alerts").await;
        assert_eq!((answer.status(), target(&answer)), (StatusCode::SEE_OTHER, "/sign-in?next=/alerts"));
        assert_eq!(target(&lan.sign_in("lan", &one_time).await), "/");
        assert_eq!(target(&lan.get("/").await), "/password");
        let short = [("current", one_time.as_str()), ("new", "ngắn"), ("again", "ngắn")];
        let answer = lan.submit("/password", "/password", &short).await;
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert!(answer.text().await.unwrap().contains("ít hơn 14 ký tự"));
        let good = [("current", one_time.as_str()), ("new", PASSWORD), ("again", PASSWORD)];
        assert_eq!(target(&lan.submit("/password", "/password", &good).await), "/");
        assert!(lan.page("/").await.contains("Việc cần xử lý"));
        let mut again = site.visitor();
        assert_eq!(again.sign_in("lan", &one_time).await.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(again.sign_in("lan", PASSWORD).await.status(), StatusCode::SEE_OTHER);
    }
}

#[tokio::test]
async fn five_wrong_passwords_lock_an_account_for_five_minutes() {
    let database = Database::sqlite();
    let site = Site::open(&database.url).await;
    site.signed_in("lan", Role::Staff).await;
    let mut guesser = site.visitor();
    for _ in 0..5 {
        assert_eq!(guesser.sign_in("lan", "sai mật khẩu").await.status(), StatusCode::UNAUTHORIZED);
    }
    let locked = guesser.sign_in("lan", PASSWORD).await;
    assert_eq!(locked.status(), StatusCode::UNAUTHORIZED);
    let unknown = guesser.sign_in("khong-co", PASSWORD).await;
    let without_name = |text: String| text.replace("khong-co", "lan");
    assert_eq!(
        locked.text().await.unwrap(),
        without_name(unknown.text().await.unwrap()),
        "a locked user and one who does not exist look the same"
    );
    site.pass(5 * 60 * 1000 - 1);
    assert_eq!(guesser.sign_in("lan", PASSWORD).await.status(), StatusCode::UNAUTHORIZED);
    site.pass(1);
    assert_eq!(guesser.sign_in("lan", PASSWORD).await.status(), StatusCode::SEE_OTHER);
}

#[tokio::test]
async fn a_session_ends_when_idle_and_after_a_working_day() {
    let minute = 60_000;
    let database = Database::sqlite();
    let site = Site::open(&database.url).await;
    let mut lan = site.signed_in("lan", Role::Staff).await;
    site.pass(29 * minute);
    lan.page("/").await;
    for _ in 0..23 {
        site.pass(29 * minute);
        lan.page("/").await;
    }
    site.pass(29 * minute);
    assert_eq!(target(&lan.get("/").await), "/sign-in", "twelve hours are over");
    lan.sign_in("lan", PASSWORD).await;
    lan.page("/").await;
    for _ in 0..2 {
        site.pass(16 * minute);
        let refreshed = lan.request(Method::GET, "/").header("hx-request", "true");
        lan.send(refreshed).await;
    }
    assert_eq!(target(&lan.get("/").await), "/sign-in", "a page that refreshes itself is nobody's action");
}

#[tokio::test]
async fn signing_out_ends_the_session_and_not_only_the_cookie() {
    let database = Database::sqlite();
    let site = Site::open(&database.url).await;
    let mut lan = site.signed_in("lan", Role::Staff).await;
    let kept = lan.request(Method::GET, "/").build().unwrap().headers()["cookie"].clone();
    assert_eq!(target(&lan.submit("/", "/sign-out", &[]).await), "/sign-in");
    let mut thief = site.visitor();
    let request = thief.request(Method::GET, "/").header("cookie", kept);
    assert_eq!(target(&thief.send(request).await), "/sign-in");
}

#[tokio::test]
async fn a_form_without_this_sessions_token_or_from_another_site_changes_nothing() {
    let database = Database::sqlite();
    let site = Site::open(&database.url).await;
    let mut lan = site.signed_in("lan", Role::Staff).await;
    let mut other = site.signed_in("minh", Role::Staff).await;
    let foreign = other.token("/").await;
    for token in ["", "x", foreign.as_str()] {
        let answer = lan.post("/sign-out", &[("csrf", token)]).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        assert!(answer.text().await.unwrap().contains("không có gì được thay đổi"));
    }
    let token = lan.token("/").await;
    let body = format!("csrf={token}");
    let cross = lan
        .request(Method::POST, "/sign-out")
        .header("sec-fetch-site", "cross-site")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    assert_eq!(lan.send(cross).await.status(), StatusCode::FORBIDDEN);
    lan.page("/").await;
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let database = Database::sqlite();
    let site = Site::open(&database.url).await;
    let mut anyone = site.visitor();
    for path in ["/sign-in", "/no-such-page", "/assets/style.css", "/healthz", "/"] {
        let answer = anyone.get(path).await;
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        let policy = header("content-security-policy");
        assert!(policy.contains("default-src 'self'") && policy.contains("script-src 'self'"), "{path}");
        assert!(!policy.contains("unsafe"), "{path}");
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
    }
    let text = anyone.page("/sign-in").await;
    assert!(!text.contains("<style") && !text.contains(" style=") && !text.contains(" onclick="));
}

#[tokio::test]
async fn the_chosen_language_is_there_in_the_next_browser() {
    let database = Database::sqlite();
    let site = Site::open(&database.url).await;
    let mut lan = site.signed_in("lan", Role::Staff).await;
    lan.post("/language", &[("language", "en"), ("back", "/")]).await;
    let mut elsewhere = site.visitor();
    elsewhere.sign_in("lan", PASSWORD).await;
    assert!(elsewhere.page("/").await.contains("<html lang=\"en\""));
}

#[tokio::test]
async fn the_language_is_chosen_on_every_page_and_vietnamese_at_first() {
    let database = Database::sqlite();
    let site = Site::open(&database.url).await;
    let mut lan = site.signed_in("lan", Role::Staff).await;
    assert!(lan.page("/endpoints").await.contains("<html lang=\"vi\">"));
    let answer = lan.post("/language", &[("language", "en"), ("back", "/endpoints")]).await;
    assert_eq!(target(&answer), "/endpoints");
    let text = lan.page("/endpoints").await;
    assert!(text.contains("<html lang=\"en\">") && text.contains("There are no endpoints yet"));
    let answer = lan.post("/language", &[("language", "vi"), ("back", "//evil.example")]).await;
    assert_eq!(target(&answer), "/");
}
