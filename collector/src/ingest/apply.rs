//! One committed report becomes stored facts and findings. What changed is judged by what is stored, so a
//! report told twice finds nothing the second time.

use std::collections::BTreeMap;

use sqlx::AnyConnection;
use wardwatch_policies::file::{FileSighting, Sighting};
use wardwatch_policies::finding::Finding;
use wardwatch_policies::ids::AgentId;
use wardwatch_policies::path::EndpointPath;
use wardwatch_policies::time::UnixMillis;
use wardwatch_policies::verdict::PolicyResults;
use wardwatch_wire::report::{Body, Report, StopReason, StreamId};

use crate::store::reports::{Link, Standing};
use crate::store::{files, hosts, verdicts};

/// Files that went missing, taken from the store at a time.
const UNTOLD_AT_ONCE: u32 = 1000;

/// Stores what the report tells and returns what was found.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub(super) async fn apply(
    db: &mut AnyConnection,
    endpoint: &AgentId,
    standing: &mut Standing,
    report: &Report,
    now: UnixMillis,
) -> Result<Vec<Finding>, sqlx::Error> {
    let stream = report.position.stream;
    Ok(match &report.body {
        Body::StreamOpened { reason } => vec![Finding::StreamOpened { reason: *reason }],
        Body::Host(facts) => {
            hosts::keep(db, endpoint, facts).await?;
            Vec::new()
        }
        Body::Files(seen) => files_seen(db, endpoint, standing, stream, seen, now).await?,
        Body::InventoryComplete { .. } => {
            let gone = gone(db, endpoint, stream, now).await?;
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
    })
}

async fn files_seen(
    db: &mut AnyConnection,
    endpoint: &AgentId,
    standing: &Standing,
    stream: StreamId,
    seen: &[FileSighting],
    now: UnixMillis,
) -> Result<Vec<Finding>, sqlx::Error> {
    // The last word on a path counts when one report names it twice.
    let seen: BTreeMap<&EndpointPath, &FileSighting> = seen.iter().map(|s| (&s.path, s)).collect();
    let paths: Vec<&EndpointPath> = seen.keys().copied().collect();
    let stored = files::sightings(db, endpoint, &paths).await?;
    let (same, differing): (Vec<&FileSighting>, Vec<&FileSighting>) =
        seen.into_values().partition(|s| stored.get(&s.path) == Some(&s.sighting));
    files::keep(db, endpoint, stream, &differing, now).await?;
    let same: Vec<&EndpointPath> = same.iter().map(|s| &s.path).collect();
    files::mark_told(db, endpoint, stream, &same).await?;
    Ok(differing
        .into_iter()
        .filter_map(|s| match stored.get(&s.path) {
            Some(old) => Some((old.clone(), s)),
            None if standing.inventory_complete => Some((Sighting::Absent, s)),
            None => None,
        })
        .filter(|(old, s)| *old != s.sighting)
        .map(|(old, s)| Finding::File { path: s.path.clone(), old, new: s.sighting.clone() })
        .collect())
}

async fn gone(
    db: &mut AnyConnection,
    endpoint: &AgentId,
    stream: StreamId,
    now: UnixMillis,
) -> Result<Vec<Finding>, sqlx::Error> {
    let mut findings = Vec::new();
    loop {
        let untold = files::untold(db, endpoint, stream, UNTOLD_AT_ONCE).await?;
        let sightings: Vec<FileSighting> = untold
            .iter()
            .map(|(path, _)| FileSighting { path: path.clone(), sighting: Sighting::Absent, seen: now })
            .collect();
        files::keep(db, endpoint, stream, &sightings.iter().collect::<Vec<_>>(), now).await?;
        let last = untold.len() < UNTOLD_AT_ONCE as usize;
        findings.extend(untold.into_iter().map(|(path, old)| Finding::File {
            path,
            old,
            new: Sighting::Absent,
        }));
        if last {
            return Ok(findings);
        }
    }
}

async fn changed_verdicts(
    db: &mut AnyConnection,
    endpoint: &AgentId,
    results: &PolicyResults,
    now: UnixMillis,
) -> Result<Vec<Finding>, sqlx::Error> {
    let stored = verdicts::verdicts(db, endpoint, &results.policy).await?;
    let changed = PolicyResults {
        results: results
            .results
            .iter()
            .filter(|result| stored.get(&result.check) != Some(&result.verdict))
            .cloned()
            .collect(),
        ..results.clone()
    };
    verdicts::keep(db, endpoint, &changed, now).await?;
    Ok(changed
        .results
        .into_iter()
        .map(|result| Finding::Check {
            policy: results.policy.clone(),
            old: stored.get(&result.check).cloned(),
            check: result.check,
            new: result.verdict,
            evidence: result.evidence,
        })
        .collect())
}
