//! What endpoints say of their hardware and system.

use sqlx::{AnyConnection, AnyPool, Row};
use wardwatch_policies::host::HostFacts;
use wardwatch_policies::ids::AgentId;

use super::{Corrupt, text};

/// Writes the facts, and of them what lists show and roll-outs ask for.
///
/// # Errors
/// The database fails.
pub async fn keep(db: &mut AnyConnection, endpoint: &AgentId, facts: &HostFacts) -> Result<(), sqlx::Error> {
    let body = serde_json::to_string(facts).map_err(|e| sqlx::Error::Encode(e.into()))?;
    sqlx::query(
        "update endpoints set host = $2, hostname = $3, agent_version = $4, target = $5 where id = $1",
    )
    .bind(endpoint.as_str())
    .bind(body)
    .bind(text(&facts.hostname))
    .bind(text(&facts.agent_version))
    .bind(facts.target.as_ref().map(|target| target.as_str().to_owned()))
    .execute(db)
    .await?;
    Ok(())
}

/// Reads the facts; `None` before the endpoint's first report.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn facts(db: &AnyPool, endpoint: &str) -> Result<Option<HostFacts>, sqlx::Error> {
    let row =
        sqlx::query("select host from endpoints where id = $1").bind(endpoint).fetch_optional(db).await?;
    let text = row.map(|row| row.try_get::<Option<String>, _>(0)).transpose()?.flatten();
    text.map(|text| serde_json::from_str(&text).map_err(|_| Corrupt("endpoints.host").into())).transpose()
}
