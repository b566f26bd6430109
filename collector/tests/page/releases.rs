//! Releases and roll-outs for a person, and who may do something about them.

use reqwest::StatusCode;
use wardwatch_collector::authority::Authority;
use wardwatch_collector::releases::reason::RolloutStop;
use wardwatch_collector::releases::{Plan, Releases};
use wardwatch_collector::store::blobs::BlobDir;
use wardwatch_collector::store::releases::{self, Held};
use wardwatch_collector::store::users::Role;
use wardwatch_incidents::change::Actor;
use wardwatch_policies::digest::Digest;
use wardwatch_tests::database::Database;
use wardwatch_wire::release::{Release, seal_release};

use crate::record;
use crate::site::{Site, target};

fn desk(site: &Site) -> Releases {
    let dir = tempfile::tempdir().unwrap();
    Releases {
        store: site.fleet.store.clone(),
        workflow: site.fleet.workflow.clone(),
        authority: site.fleet.authority.clone(),
        blobs: BlobDir::open(dir.path()).unwrap(),
    }
}

/// Version 1.2.0 on its way to the canaries of all endpoints.
async fn rolling_out(site: &Site) -> u64 {
    let desk = desk(site);
    let version = "1.2.0".parse().unwrap();
    let release = Release {
        version,
        target: "x86_64-unknown-linux-musl".parse().unwrap(),
        digest: Digest::of(b"program"),
        size: 4_200_000,
        made: site.now(),
    };
    let mut tx = site.fleet.store.write().await.unwrap();
    let key = site.fleet.authority.ca_file().with_file_name("release.key");
    let key = Authority::read_release_key(&key).unwrap();
    let sealed = seal_release(&key, &release).unwrap().into_bytes();
    releases::add(&mut tx, &Held { release, sealed, added: site.now() }).await.unwrap();
    tx.commit().await.unwrap();
    let plan = Plan { version, unit: None, kind: None, canary_percent: 10 };
    desk.roll_out(&Actor::LocalAdmin, plan, site.now()).await.unwrap()
}

#[tokio::test]
async fn an_administrator_widens_and_stops_with_plain_forms() {
    for database in Database::each().await {
        let site = Site::open(&database.url).await;
        record::endpoint(&site, "pc-1", "Máy 01").await;
        let id = rolling_out(&site).await;
        let mut lan = site.signed_in("lan", Role::Admin).await;
        let shown = lan.page("/releases").await;
        for text in ["1.2.0", "x86_64-unknown-linux-musl", "Chỉ thiết bị thí điểm", "Mở rộng"] {
            assert!(shown.contains(text), "{text}");
        }

        assert!(!shown.contains("đã quay về phiên bản trước"), "none has failed");
        let failed = "insert into upgrades (rollout, endpoint, version, command, canary, asked, outcome, told) \
                      values (1, 'pc-1', '1.2.0', 1, 1, 0, 'returned', 1)";
        let mut tx = site.fleet.store.write().await.unwrap();
        sqlx::query(failed).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        let failed = lan.page("/releases").await;
        assert!(failed.contains(r#"<a href="/endpoints/pc-1">Máy 01 (pc-1)</a>"#), "{failed}");

        let widen = format!("/releases/{id}/widen");
        assert!(
            shown.contains(&format!(r#"class="button secondary" href="{widen}""#)),
            "no canary is healthy"
        );
        assert!(shown.contains("1 thiết bị trong nhóm chưa báo về nền tảng"), "{shown}");
        assert!(!shown.contains("chưa có bản phát hành dành cho"), "{shown}");
        let asked = lan.page(&widen).await;
        assert!(asked.contains("0 / 0") && asked.contains("Chưa phải mọi thiết bị thí điểm"), "{asked}");
        let widened = lan.submit(&widen, &widen, &[]).await;
        assert_eq!(target(&widened), format!("/releases#rollout-{id}"));
        assert!(lan.page("/releases").await.contains("Toàn nhóm</span>"));

        let without = lan.submit("/releases", &format!("/releases/{id}/stop"), &[("reason", " ")]).await;
        assert_eq!(without.status(), StatusCode::CONFLICT);
        lan.submit("/releases", &format!("/releases/{id}/stop"), &[("reason", "sai <bản>")]).await;
        let stopped = lan.page("/releases").await;
        assert!(stopped.contains("sai &#60;bản&#62;") && stopped.contains("Đã dừng"), "{stopped}");
        let again = lan.submit("/", &format!("/releases/{id}/widen"), &[]).await;
        assert_eq!(again.status(), StatusCode::CONFLICT);
        assert!(lan.page("/log").await.contains("Mở rộng đợt nâng cấp"));
    }
}

#[tokio::test]
async fn the_collectors_own_reason_to_stop_is_said_in_the_readers_language() {
    let database = Database::sqlite();
    let site = Site::open(&database.url).await;
    let id = rolling_out(&site).await;
    let reason = RolloutStop::CanaryFailed.to_string();
    desk(&site).stop(&Actor::Collector, id, &reason, site.now()).await.unwrap();
    let mut lan = site.signed_in("lan", Role::Admin).await;
    for path in ["/releases", "/log"] {
        let shown = lan.page(path).await;
        assert!(shown.contains("Thiết bị thí điểm không nhận") && !shown.contains(&reason), "{shown}");
    }
}

#[tokio::test]
async fn staff_see_how_far_it_has_come_and_decide_nothing() {
    let database = Database::sqlite();
    let site = Site::open(&database.url).await;
    record::endpoint(&site, "pc-1", "Máy 01").await;
    let id = rolling_out(&site).await;
    let mut minh = site.signed_in("minh", Role::Staff).await;
    assert!(!minh.page("/releases").await.contains("Mở rộng cho"));
    assert_eq!(minh.get(&format!("/releases/{id}/widen")).await.status(), StatusCode::FORBIDDEN);
    for act in ["widen", "stop"] {
        let answer = minh.submit("/", &format!("/releases/{id}/{act}"), &[("reason", "x")]).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn administrators_are_warned_until_the_offline_keys_are_gone() {
    let database = Database::sqlite();
    let site = Site::open(&database.url).await;
    let mut lan = site.signed_in("lan", Role::Admin).await;
    let mut minh = site.signed_in("minh", Role::Staff).await;
    let keys = site.fleet.authority.keys_online();
    assert_eq!(keys.len(), 2);
    let shown = lan.page("/releases").await;
    assert!(shown.contains("root.key") && shown.contains("release.key"), "{shown}");
    assert!(!minh.page("/releases").await.contains("root.key"), "staff need not know where");
    for key in keys {
        std::fs::remove_file(key).unwrap();
    }
    assert!(!lan.page("/releases").await.contains("release.key"));
}
