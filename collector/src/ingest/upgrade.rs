//! What an endpoint says came of an upgrade: whether it counts, and whether it is found. Whoever holds an
//! endpoint's keys can say anything of upgrades, and as often as it likes; only its first word about what it was
//! asked for counts for a roll-out.

use sqlx::AnyConnection;
use wardwatch_policies::finding::Finding;
use wardwatch_policies::ids::AgentId;
use wardwatch_policies::release::UpgradeOutcome;
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::downlink::CommandId;

use crate::store::rollouts::{self, Counted};

/// What such a word is to this collector.
pub(super) enum Word {
    /// No roll-out counts it; it is logged and counted in a metric.
    NotCounted(Option<Finding>),
    Counted(Option<Finding>),
}

/// Keeps the word if it counts.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub(super) async fn take(
    db: &mut AnyConnection,
    endpoint: &AgentId,
    command: CommandId,
    outcome: &UpgradeOutcome,
    now: UnixMillis,
) -> Result<Word, sqlx::Error> {
    let outcome = outcome.clone().bounded();
    let version = match rollouts::keep_outcome(db, endpoint, command, &outcome, now).await? {
        Counted::Yes(version) => version,
        Counted::Said(_) => {
            note_not_counted(endpoint, command, "said-before");
            return Ok(Word::NotCounted(None));
        }
        Counted::Unasked => {
            note_not_counted(endpoint, command, "unasked");
            // An honest agent says so where somebody sent it a program in this collector's name.
            let failed = matches!(outcome, UpgradeOutcome::Refused { .. } | UpgradeOutcome::Returned { .. });
            return Ok(Word::NotCounted(failed.then_some(Finding::Upgrade { version: None, outcome })));
        }
    };
    // That it is well after an older order does not end what a newer one has raised.
    let overtaken =
        outcome == UpgradeOutcome::Healthy && rollouts::failed_since(db, endpoint, command).await?;
    Ok(Word::Counted((!overtaken).then_some(Finding::Upgrade { version: Some(version), outcome })))
}

fn note_not_counted(endpoint: &AgentId, command: CommandId, reason: &'static str) {
    tracing::warn!(%endpoint, command = command.0, reason, "what came of an upgrade is not counted");
    metrics::counter!("wardwatch_upgrade_outcomes_not_counted_total", "reason" => reason).increment(1);
}
