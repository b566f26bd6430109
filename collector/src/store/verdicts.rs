//! The last verdict of every check on every endpoint.

use std::collections::BTreeMap;

use sqlx::{AnyConnection, AssertSqlSafe, Row};
use wardwatch_policies::ids::{AgentId, CheckId, PolicyId};
use wardwatch_policies::time::UnixMillis;
use wardwatch_policies::verdict::{CheckResult, PolicyResults, Verdict};

use super::{Corrupt, ROWS, placeholders, text};

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
            let verdict = Verdict::parse(&row.try_get::<String, _>(1)?, row.try_get(2)?);
            Ok((check, verdict.ok_or(Corrupt("verdicts.verdict"))?))
        })
        .collect()
}

/// Writes results of one policy; the last word on a check counts. When a verdict last changed stays as it is
/// where only its evidence differs.
///
/// # Errors
/// The database fails.
pub async fn keep(
    db: &mut AnyConnection,
    endpoint: &AgentId,
    PolicyResults { policy, version, results }: &PolicyResults,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    let results: BTreeMap<&CheckId, &CheckResult> = results.iter().map(|r| (&r.check, r)).collect();
    let results: Vec<&CheckResult> = results.into_values().collect();
    for chunk in results.chunks(ROWS) {
        let mut sql = String::from(
            "insert into verdicts (check_id, verdict, reason, evidence, endpoint, policy, version, changed) values ",
        );
        for row in 0..chunk.len() {
            sql.push_str(if row == 0 { "(" } else { ", (" });
            placeholders(&mut sql, 5 + row * 4, 4);
            sql.push_str(", $1, $2, $3, $4)");
        }
        sql.push_str(
            " on conflict (endpoint, policy, check_id) do update set \
             version = excluded.version, verdict = excluded.verdict, reason = excluded.reason, \
             evidence = excluded.evidence, changed = case when verdicts.verdict = excluded.verdict \
             and coalesce(verdicts.reason, '') = coalesce(excluded.reason, '') \
             then verdicts.changed else excluded.changed end",
        );
        let mut query = sqlx::query(AssertSqlSafe(sql))
            .bind(endpoint.as_str())
            .bind(policy.as_str())
            .bind(version.to_string())
            .bind(now.0);
        for result in chunk {
            let reason = match &result.verdict {
                Verdict::Unknown(reason) => Some(text(reason)),
                _ => None,
            };
            query =
                query.bind(result.check.as_str()).bind(result.verdict.as_str()).bind(reason).bind(
                    serde_json::to_string(&result.evidence).map_err(|e| sqlx::Error::Encode(e.into()))?,
                );
        }
        query.execute(&mut *db).await?;
    }
    Ok(())
}
