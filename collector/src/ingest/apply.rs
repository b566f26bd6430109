//! One committed report becomes stored facts and findings. What changed is judged by what is stored, so a
//! report told twice finds nothing the second time.

use std::collections::BTreeMap;

use sqlx::AnyConnection;
use wardwatch_policies::file::Sighting;
use wardwatch_policies::finding::{Finding, StreamReason};
use wardwatch_policies::ids::{AgentId, CheckId};
use wardwatch_policies::time::UnixMillis;
use wardwatch_policies::verdict::{CheckResult, PolicyResults};
use wardwatch_wire::downlink::CommandId;
use wardwatch_wire::report::{Body, Report, StopReason};

use super::inventory::Inventory;
use crate::store::reports::{Link, Standing};
use crate::store::rollouts::Counted;
use crate::store::{files, hosts, releases, rollouts, verdicts};

/// What a report brought about.
pub(super) struct Applied {
    pub(super) findings: Vec<Finding>,
    /// It told what came of an upgrade, and that counts for a roll-out.
    pub(super) counted: bool,
}

/// Stores what the report tells, files at the latest with [`Inventory::write`], and returns what was found.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub(super) async fn apply(
    db: &mut AnyConnection,
    endpoint: &AgentId,
    standing: &mut Standing,
    inventory: &mut Inventory,
    report: &Report,
    now: UnixMillis,
) -> Result<Applied, sqlx::Error> {
    let stream = report.position.stream;
    let mut counted = false;
    let findings = match &report.body {
        Body::StreamOpened { reason } => {
            inventory.write(db, endpoint, now).await?;
            // An agent starts for the first time once: what an earlier stream had left to tell is gone.
            let again = *reason == StreamReason::FirstStart && standing.progress.current.is_some();
            vec![Finding::StreamOpened { reason: if again { StreamReason::StateLost } else { *reason } }]
        }
        Body::Host(facts) => {
            hosts::keep(db, endpoint, facts).await?;
            Vec::new()
        }
        Body::Files(seen) => {
            inventory.load(db, endpoint, seen.iter().map(|seen| &seen.path).collect()).await?;
            let complete = standing.inventory_complete;
            let found = seen.iter().filter_map(|seen| inventory.see(stream, seen, complete)).collect();
            unexplained(db, endpoint, found).await?
        }
        Body::InventoryComplete { .. } => {
            let gone = inventory.gone(db, endpoint, stream, now).await?;
            standing.inventory_complete = true;
            gone
        }
        Body::Coverage(coverage) => {
            files::keep_coverage(db, endpoint, coverage).await?;
            Vec::new()
        }
        Body::Blind { root, from, to, reason } => {
            vec![Finding::Blind { root: root.clone(), from: *from, to: *to, reason: reason.clone() }]
        }
        Body::Verdicts(results) => changed_verdicts(db, endpoint, results, now).await?,
        // Stopped alone, without its machine, an agent is not off: its silence is to be noticed.
        Body::Stopping { reason: StopReason::Service } => Vec::new(),
        Body::Stopping { reason: StopReason::Shutdown } => {
            standing.link = Link::Off;
            Vec::new()
        }
        Body::Upgrade { command, version, outcome } => {
            let asked = match rollouts::keep_outcome(db, endpoint, *command, outcome, now).await? {
                Counted::Yes(asked) => {
                    counted = true;
                    Some(asked)
                }
                Counted::Said(asked) => {
                    not_counted(endpoint, *command, "said-before");
                    Some(asked)
                }
                Counted::Unasked => {
                    not_counted(endpoint, *command, "unasked");
                    None
                }
            };
            vec![Finding::Upgrade { version: version.or(asked), outcome: outcome.clone() }]
        }
    };
    Ok(Applied { findings, counted })
}

/// Whoever holds an endpoint's keys can say anything of upgrades; it must not stop those of others.
fn not_counted(endpoint: &AgentId, command: CommandId, reason: &'static str) {
    tracing::warn!(%endpoint, command = command.0, reason, "what came of an upgrade is not counted");
    metrics::counter!("wardwatch_upgrade_outcomes_not_counted_total", "reason" => reason).increment(1);
}

/// Leaves out the agent's own program where it became a release that this collector holds: an upgrade is no
/// attack. That it changed is on record with the file.
async fn unexplained(
    db: &mut AnyConnection,
    endpoint: &AgentId,
    findings: Vec<Finding>,
) -> Result<Vec<Finding>, sqlx::Error> {
    const PROGRAMS: [&[u8]; 2] = [b"wardwatch-agent", b"wardwatch-agent.exe"];
    let mut unexplained = Vec::with_capacity(findings.len());
    for finding in findings {
        let explained = match &finding {
            Finding::File { path, new: Sighting::Present(state), .. }
                if PROGRAMS.contains(&path.file_name()) =>
            {
                releases::explains(db, endpoint, state.digest).await?
            }
            _ => false,
        };
        if !explained {
            unexplained.push(finding);
        }
    }
    Ok(unexplained)
}

async fn changed_verdicts(
    db: &mut AnyConnection,
    endpoint: &AgentId,
    results: &PolicyResults,
    now: UnixMillis,
) -> Result<Vec<Finding>, sqlx::Error> {
    let stored = verdicts::verdicts(db, endpoint, &results.policy).await?;
    let told: BTreeMap<&CheckId, &CheckResult> = results.results.iter().map(|r| (&r.check, r)).collect();
    verdicts::keep(db, endpoint, results, now).await?;
    Ok(told
        .into_values()
        .filter(|result| stored.get(&result.check) != Some(&result.verdict))
        .map(|result| Finding::Check {
            policy: results.policy.clone(),
            old: stored.get(&result.check).cloned(),
            check: result.check.clone(),
            new: result.verdict.clone(),
            evidence: result.evidence.clone(),
        })
        .collect())
}
