//! The last verdict of every check on every endpoint.

use std::collections::BTreeMap;

use sqlx::{AnyConnection, Row};
use wardwatch_policies::ids::{AgentId, CheckId, PolicyId};
use wardwatch_policies::time::UnixMillis;
use wardwatch_policies::verdict::{PolicyResults, Verdict};

use super::Corrupt;

/// The stored verdicts of one policy.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn verdicts(
    db: &mut AnyConnection,
    endpoint: &AgentId,
    policy: &PolicyId,
) -> Result<BTreeMap<CheckId, Verdict>, sqlx::Error> {
    let rows =
        sqlx::query("select check_id, verdict, reason from verdicts where endpoint = $1 and policy = $2")
            .bind(endpoint.as_str())
            .bind(policy.as_str())
            .fetch_all(db)
            .await?;
    rows.iter()
        .map(|row| {
            let check = row.try_get::<String, _>(0)?.parse().map_err(|_| Corrupt("verdicts.check_id"))?;
            let verdict = match row.try_get::<String, _>(1)?.as_str() {
                "pass" => Verdict::Pass,
                "fail" => Verdict::Fail,
                "not-applicable" => Verdict::NotApplicable,
                "unknown" => Verdict::Unknown(row.try_get::<Option<String>, _>(2)?.unwrap_or_default()),
                _ => return Err(Corrupt("verdicts.verdict").into()),
            };
            Ok((check, verdict))
        })
        .collect()
}

/// Writes the results of one policy.
///
/// # Errors
/// The database fails.
pub async fn keep(
    db: &mut AnyConnection,
    endpoint: &AgentId,
    results: &PolicyResults,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    for result in &results.results {
        let evidence = serde_json::to_string(&result.evidence).map_err(|e| sqlx::Error::Encode(e.into()))?;
        let reason = match &result.verdict {
            Verdict::Unknown(reason) => Some(reason.as_str()),
            _ => None,
        };
        sqlx::query(
            "insert into verdicts (endpoint, policy, check_id, version, verdict, reason, evidence, changed) \
             values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (endpoint, policy, check_id) do update set \
             version = excluded.version, verdict = excluded.verdict, reason = excluded.reason, \
             evidence = excluded.evidence, changed = excluded.changed",
        )
        .bind(endpoint.as_str())
        .bind(results.policy.as_str())
        .bind(result.check.as_str())
        .bind(results.version.to_string())
        .bind(result.verdict.as_str())
        .bind(reason)
        .bind(evidence)
        .bind(now.0)
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}
