//! The releases that this collector holds. The programs themselves lie in [`super::blobs`].

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AnyPool, Row};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::ids::AgentId;
use wardwatch_policies::release::Version;
use wardwatch_policies::time::UnixMillis;
use wardwatch_wire::release::Release;

use super::{Corrupt, digest};

/// A release with the envelope it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub release: Release,
    /// As the release key signed it.
    pub sealed: Vec<u8>,
    pub added: UnixMillis,
}

/// Keeps a release.
///
/// # Errors
/// The database fails, or one of its version and target is held.
pub async fn add(db: &mut AnyConnection, held: &Held) -> Result<(), sqlx::Error> {
    let Release { version, target, digest, size, made } = &held.release;
    sqlx::query(
        "insert into releases (digest, version, target, size, made, sealed, added) \
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(digest.as_bytes().to_vec())
    .bind(version.to_string())
    .bind(target.as_str())
    .bind(size.cast_signed())
    .bind(made.0)
    .bind(held.sealed.clone())
    .bind(held.added.0)
    .execute(db)
    .await?;
    Ok(())
}

/// Keeps another signature of a release that is held.
///
/// # Errors
/// The database fails.
pub async fn sign_anew(db: &mut AnyConnection, held: &Held) -> Result<(), sqlx::Error> {
    sqlx::query("update releases set sealed = $3, made = $4 where version = $1 and target = $2")
        .bind(held.release.version.to_string())
        .bind(held.release.target.as_str())
        .bind(held.sealed.clone())
        .bind(held.release.made.0)
        .execute(db)
        .await?;
    Ok(())
}

/// All releases, newest first.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn all(db: &AnyPool) -> Result<Vec<Held>, sqlx::Error> {
    let rows = sqlx::query("select digest, version, target, size, made, sealed, added from releases")
        .fetch_all(db)
        .await?;
    let mut held: Vec<Held> = rows.iter().map(read).collect::<Result<_, _>>()?;
    held.sort_by(|a, b| {
        let key = |held: &Held| (held.release.version, held.release.target.clone());
        key(b).cmp(&key(a))
    });
    Ok(held)
}

/// The releases of one version, for all their targets.
///
/// # Errors
/// As [`all`].
pub async fn of_version(db: &mut AnyConnection, version: Version) -> Result<Vec<Held>, sqlx::Error> {
    let rows = sqlx::query(
        "select digest, version, target, size, made, sealed, added from releases \
         where version = $1 order by target",
    )
    .bind(version.to_string())
    .fetch_all(db)
    .await?;
    rows.iter().map(read).collect()
}

/// Whether a program with this digest is a release for this endpoint's target, not older than what the endpoint
/// says it is.
///
/// # Errors
/// As [`all`].
pub async fn explains(
    db: &mut AnyConnection,
    endpoint: &AgentId,
    program: Digest,
) -> Result<bool, sqlx::Error> {
    let rows = sqlx::query(
        "select r.version, e.agent_version from releases r \
         join endpoints e on e.target = r.target where r.digest = $1 and e.id = $2",
    )
    .bind(program.as_bytes().to_vec())
    .bind(endpoint.as_str())
    .fetch_all(db)
    .await?;
    for row in &rows {
        let released: Version = parse_version(&row.try_get::<String, _>(0)?)?;
        let runs = row.try_get::<Option<String>, _>(1)?.and_then(|text| text.parse::<Version>().ok());
        if runs.is_some_and(|runs| released >= runs) {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn parse_version(text: &str) -> Result<Version, Corrupt> {
    text.parse().map_err(|_| Corrupt("releases.version"))
}

fn read(row: &AnyRow) -> Result<Held, sqlx::Error> {
    Ok(Held {
        release: Release {
            digest: digest(&row.try_get::<Vec<u8>, _>("digest")?)?,
            version: parse_version(&row.try_get::<String, _>("version")?)?,
            target: row.try_get::<String, _>("target")?.parse().map_err(|_| Corrupt("releases.target"))?,
            size: row.try_get::<i64, _>("size")?.unsigned_abs(),
            made: UnixMillis(row.try_get("made")?),
        },
        sealed: row.try_get("sealed")?,
        added: UnixMillis(row.try_get("added")?),
    })
}
