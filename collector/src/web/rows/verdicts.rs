//! The verdicts of one endpoint's checks.

use serde::Serialize;
use sqlx::{AnyPool, Row};
use wardwatch_policies::time::UnixMillis;
use wardwatch_policies::verdict::{Evidence, Verdict};

use super::{as_rfc3339, json, time, word};

/// The newest answer of one check.
#[derive(Debug, Clone, Serialize)]
pub struct CheckVerdict {
    pub policy: String,
    pub check: String,
    #[serde(flatten)]
    pub verdict: Verdict,
    pub evidence: Vec<Evidence>,
    #[serde(serialize_with = "as_rfc3339")]
    pub changed: UnixMillis,
}

impl CheckVerdict {
    /// It passed, or does not apply here.
    #[must_use]
    pub const fn needs_nobody(&self) -> bool {
        matches!(self.verdict, Verdict::Pass | Verdict::NotApplicable)
    }

    /// Why it could not be seen.
    #[must_use]
    pub fn unknown_reason(&self) -> &str {
        match &self.verdict {
            Verdict::Unknown(reason) => reason,
            _ => "",
        }
    }
}

/// Failed and unknown ones first.
///
/// # Errors
/// The database does not answer, or a row cannot be read.
pub async fn list(db: &AnyPool, endpoint: &str) -> Result<Vec<CheckVerdict>, sqlx::Error> {
    let rows = sqlx::query(
        "select policy, check_id, verdict, reason, evidence, changed from verdicts where endpoint = $1 \
         order by case verdict when 'fail' then 0 when 'unknown' then 1 when 'pass' then 2 else 3 end, \
         policy, check_id",
    )
    .bind(endpoint)
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| {
            let reason: Option<String> = row.try_get("reason")?;
            Ok(CheckVerdict {
                policy: row.try_get("policy")?,
                check: row.try_get("check_id")?,
                verdict: word(row, "verdict", |text| Verdict::parse(text, reason))?,
                evidence: json(row, "evidence")?,
                changed: time(row, "changed")?,
            })
        })
        .collect()
}
