//! One committed report becomes stored facts and findings. What changed is judged by what is stored, so a
//! report told twice finds nothing the second time.

use std::collections::BTreeMap;

use sqlx::AnyConnection;
use wardwatch_policies::file::Sighting;
use wardwatch_policies::finding::{Finding, StreamReason};
use wardwatch_policies::foreign::shorten_to_chars;
use wardwatch_policies::ids::{AgentId, CheckId};
use wardwatch_policies::time::UnixMillis;
use wardwatch_policies::verdict::{CheckResult, PolicyResults};
use wardwatch_wire::report::{Body, Report, StopReason};

use super::inventory::Inventory;
use super::upgrade::{self, Word};
use crate::store::reports::{Link, Standing};
use crate::store::{files, hosts, releases, verdicts};

/// Why an agent was blind needs no more.
const MAX_REASON_CHARS: usize = 300;

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
            let reason = shorten_to_chars(reason, MAX_REASON_CHARS);
            vec![Finding::Blind { root: root.clone(), from: *from, to: *to, reason }]
        }
        Body::Verdicts(results) => changed_verdicts(db, endpoint, results, now).await?,
        // Stopped alone, without its machine, an agent is not off: its silence is to be noticed.
        Body::Stopping { reason: StopReason::Service } => Vec::new(),
        Body::Stopping { reason: StopReason::Shutdown } => {
            standing.link = Link::Off;
            Vec::new()
        }
        Body::Upgrade { command, outcome, .. } => {
            match upgrade::take(db, endpoint, *command, outcome, now).await? {
                Word::Counted(found) => {
                    counted = true;
                    found.into_iter().collect()
                }
                Word::NotCounted(found) => found.into_iter().collect(),
            }
        }
    };
    Ok(Applied { findings, counted })
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
