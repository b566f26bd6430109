//! Response procedures as data: phases, steps, who leads and supports, and the rules that a program can hold.
//!
//! What has been done of a procedure in an incident is the incidents crate's concern. Nothing legal is written
//! in code: a change of the plan is a new file below `procedures/`.

mod parse;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::defect::Defects;
use crate::ids::{ProcedureId, StepId};
use crate::text::{Language, Text};

/// One response procedure, examined: every step and party it names exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Procedure {
    pub id: ProcedureId,
    pub title: Text,
    /// The document the procedure stands in.
    pub source: Text,
    /// Those whom the procedure names, by their abbreviation.
    pub parties: BTreeMap<PartyId, Text>,
    pub phases: Vec<Phase>,
}

/// The abbreviation of someone whom a procedure names, as in `BCĐ`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartyId(String);

impl PartyId {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Phase {
    /// In Roman numerals.
    pub id: String,
    pub name: Text,
    pub steps: Vec<Step>,
}

/// A column of the procedure's table: the parties, and the document's own words for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Responsible {
    pub parties: Vec<PartyId>,
    pub words_vi: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    pub id: StepId,
    pub name: Text,
    /// Vietnamese: the document's words. English: what they mean.
    pub content: Text,
    pub lead: Responsible,
    pub support: Responsible,
    /// Whom the text itself makes act; empty where it names nobody. Not always those in the lead column.
    pub actors: Vec<PartyId>,
    /// When the step applies, in words.
    pub condition: Option<Text>,
    /// What the step leaves behind as evidence.
    pub must_leave: Text,
    pub only_if: Option<Condition>,
    pub examination: Option<Examination>,
    /// A hard gate: the step cannot be settled before this examination is passed.
    pub waits_for: Option<StepId>,
    /// Advice: the step is better done after these.
    pub advised_after: Vec<StepId>,
    /// Settling this step closes the incident.
    pub closes: bool,
    /// May be recorded at any time while the incident is open, and again.
    pub never_blocked: bool,
}

/// A condition that decides whether a step applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// The incident has been assessed as serious.
    Serious,
}

/// A step that is passed or failed. A fail opens a new round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Examination {
    /// What a new round may repeat besides the examination itself; all of it if nothing is chosen.
    pub reopens: Vec<StepId>,
}

impl Procedure {
    /// Reads a procedure. `file` is the name that faults are reported under.
    ///
    /// # Errors
    /// All faults of the text, each with line, column and remedy.
    pub fn parse(file: &str, text: &str) -> Result<Self, Defects> {
        parse::parse(file, text)
    }

    /// All steps in the document's order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.phases.iter().flat_map(|phase| &phase.steps)
    }

    #[must_use]
    pub fn step(&self, id: &StepId) -> Option<&Step> {
        self.steps().find(|step| step.id == *id)
    }

    /// Names of parties for a person, as one line.
    #[must_use]
    pub fn party_names(&self, parties: &[PartyId], language: Language) -> String {
        let names: Vec<_> =
            parties.iter().filter_map(|id| self.parties.get(id)).map(|name| name.get(language)).collect();
        names.join("; ")
    }

    /// A column for a person: in Vietnamese the document's words, in English the parties' names.
    #[must_use]
    pub fn responsible_names(&self, responsible: &Responsible, language: Language) -> String {
        match language {
            Language::Vi => responsible.words_vi.clone(),
            Language::En => self.party_names(&responsible.parties, language),
        }
    }
}

static SHIPPED: LazyLock<Vec<Procedure>> = LazyLock::new(|| {
    [("procedures/nha-trang-2024.toml", include_str!("../procedures/nha-trang-2024.toml"))]
        .map(|(file, text)| Procedure::parse(file, text).expect("a test reads every shipped procedure"))
        .into()
});

/// All procedures that come with the program.
#[must_use]
pub fn all_shipped() -> &'static [Procedure] {
    &SHIPPED
}

/// A procedure that comes with the program.
#[must_use]
pub fn shipped(id: &ProcedureId) -> Option<&'static Procedure> {
    SHIPPED.iter().find(|procedure| procedure.id == *id)
}

/// The procedure of an incident for which no other was chosen: the city's plan.
#[must_use]
pub fn city() -> &'static Procedure {
    &SHIPPED[0]
}

#[cfg(test)]
mod tests;
