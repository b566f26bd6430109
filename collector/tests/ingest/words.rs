//! What endpoints in foreign hands say of upgrades: it neither raises nor closes what it should not, and fills nothing.

use wardwatch_policies::finding::{Finding, StreamReason};
use wardwatch_policies::release::UpgradeOutcome;
use wardwatch_policies::time::UnixMillis;
use wardwatch_tests::database::Database;
use wardwatch_wire::downlink::CommandId;
use wardwatch_wire::report::Body;

use crate::office::Office;
use crate::reporter::Reporter;

async fn endpoint(office: &Office, name: &str) -> Reporter {
    let mut pc = office.reporter(name).await;
    pc.open(1, StreamReason::FirstStart).await;
    pc
}

/// As a roll-out does it, each roll-out with one command of the same number.
async fn ask(office: &Office, endpoint: &str, command: u64) {
    let sql = format!(
        "insert into upgrades (rollout, endpoint, version, command, canary, asked) \
         values ({command}, '{endpoint}', '0.{command}.0', {command}, 1, 0)"
    );
    office.run_sql(&sql).await;
}

fn said(command: u64, outcome: UpgradeOutcome) -> Body {
    Body::Upgrade { command: CommandId(command), version: "9.9.9".parse().ok(), outcome }
}

fn returned(reason: &str) -> UpgradeOutcome {
    UpgradeOutcome::Returned { reason: reason.into() }
}

#[tokio::test]
async fn of_what_nobody_asked_only_a_failure_is_found_and_it_closes_nothing() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut owned = endpoint(&office, "owned").await;
        owned.tell(said(7, UpgradeOutcome::Healthy)).await;
        owned.tell(said(7, UpgradeOutcome::NotAllowed)).await;
        assert_eq!(office.alert_lines().await, [""; 0]);
        owned.tell(said(8, UpgradeOutcome::Refused { reason: "it is not signed".into() })).await;
        owned.tell(said(8, UpgradeOutcome::Healthy)).await;
        assert_eq!(office.alert_lines().await, ["upgrade-refused open 1"], "somebody sent it a program");
        office.close().await;
    }
}

#[tokio::test]
async fn only_a_later_order_closes_what_an_endpoint_has_raised() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut owned = endpoint(&office, "owned").await;
        for command in [2, 3, 4] {
            ask(&office, "owned", command).await;
        }
        owned.tell(said(3, returned("so says its owner"))).await;
        owned.tell(said(3, UpgradeOutcome::Healthy)).await;
        assert_eq!(office.alert_lines().await, ["upgrade-returned open 1"], "its first word stays");
        owned.tell(said(99, UpgradeOutcome::Healthy)).await;
        assert_eq!(office.alert_lines().await, ["upgrade-returned open 1"], "nobody asked for this");
        owned.tell(said(2, UpgradeOutcome::Healthy)).await;
        assert_eq!(office.alert_lines().await, ["upgrade-returned open 1"], "asked for earlier");
        assert_eq!(office.count("upgrades where command = 2 and outcome = 'healthy'").await, 1, "counted");
        owned.tell(said(4, UpgradeOutcome::Healthy)).await;
        assert_eq!(office.alert_lines().await, ["upgrade-returned closed 1"], "asked for later");
        office.close().await;
    }
}

#[tokio::test]
async fn a_reason_is_kept_short_and_steers_no_terminal() {
    for database in Database::each().await {
        let office = Office::open(&database).await;
        let mut owned = endpoint(&office, "owned").await;
        ask(&office, "owned", 3).await;
        let book = "\u{1b}[2J\u{202e}ắ".repeat(8192);
        owned.tell(said(3, returned(&book))).await;
        let (root, at) = ("/etc".parse().unwrap(), UnixMillis(1));
        owned.tell(Body::Blind { root, from: at, to: at, reason: book.clone() }).await;
        let mut reasons = Vec::new();
        for alert in office.alerts().await {
            match alert.finding {
                Finding::Upgrade { version, outcome: UpgradeOutcome::Returned { reason } } => {
                    assert_eq!(version, "0.3.0".parse().ok(), "the collector knows what it asked for");
                    reasons.push(reason);
                }
                Finding::Blind { reason, .. } => reasons.push(reason),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(reasons.len(), 2);
        for reason in reasons {
            assert_eq!(reason.chars().count(), 300);
            assert!(reason.starts_with("\\u{1b}[2J\\u{202e}ắ") && reason.ends_with('…'), "{reason}");
        }
        assert_eq!(office.count("upgrades where length(reason) > 300").await, 0);
        assert_eq!(office.count("log where length(change_body) > 4000").await, 0);
        office.close().await;
    }
}
