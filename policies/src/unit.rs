//! The offices, wards and communes that endpoints belong to.

use serde::{Deserialize, Serialize};

use crate::defect::{Defects, Examiner};
use crate::ids::UnitId;
use crate::text::Text;

/// One unit of the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    pub id: UnitId,
    pub name: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Directory {
    unit: Vec<Unit>,
}

/// Reads a unit directory. `file` is the name that faults are reported under.
///
/// # Errors
/// The text is not of the form, with line, column and remedy.
pub fn parse(file: &str, text: &str) -> Result<Vec<Unit>, Defects> {
    let mut examiner = Examiner::new(file, text);
    match toml::from_str::<Directory>(text) {
        Ok(directory) => examiner.finish(directory.unit),
        Err(error) => {
            examiner.report_toml(&error, "write [[unit]] with id, name.vi and name.en");
            Err(examiner.fail())
        }
    }
}

/// The directory to start from.
///
/// # Panics
/// Never: a test reads it.
#[must_use]
pub fn shipped() -> Vec<Unit> {
    parse("units/nha-trang.toml", include_str!("../units/nha-trang.toml")).expect("a test reads it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_directory_is_read_and_names_every_unit_in_both_languages() {
        let units = shipped();
        assert!(units.len() >= 6 && units.iter().all(|unit| unit.name.is_complete()));
    }

    #[test]
    fn a_fault_is_named_with_its_place() {
        let faults =
            parse("u.toml", "[[unit]]\nid = \"A b\"\nname.vi = \"x\"\nname.en = \"x\"\n").unwrap_err();
        assert!(faults.to_string().starts_with("u.toml:2:6: \"A b\" is not a unit id"), "{faults}");
    }
}
