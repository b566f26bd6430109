//! The unit directory.

use sqlx::{AnyConnection, AnyPool, Row};
use wardwatch_policies::ids::UnitId;
use wardwatch_policies::text::Text;
use wardwatch_policies::unit::Unit;

use super::Corrupt;

/// Adds units that are not there yet; those that are keep their names.
///
/// # Errors
/// The database fails.
pub async fn add_missing(db: &mut AnyConnection, units: &[Unit]) -> Result<(), sqlx::Error> {
    for unit in units {
        sqlx::query(
            "insert into units (id, name_vi, name_en) values ($1, $2, $3) on conflict (id) do nothing",
        )
        .bind(unit.id.as_str())
        .bind(&unit.name.vi)
        .bind(&unit.name.en)
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

/// All units by id.
///
/// # Errors
/// The database fails, or holds what this program did not write.
pub async fn all(pool: &AnyPool) -> Result<Vec<Unit>, sqlx::Error> {
    let rows = sqlx::query("select id, name_vi, name_en from units order by id").fetch_all(pool).await?;
    rows.iter()
        .map(|row| {
            let id: UnitId = row.try_get::<String, _>(0)?.parse().map_err(|_| Corrupt("units.id"))?;
            Ok(Unit { id, name: Text { vi: row.try_get(1)?, en: row.try_get(2)? } })
        })
        .collect()
}
