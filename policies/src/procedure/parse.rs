//! From text to a procedure whose parts fit together. Every fault is reported, not only the first.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::{Condition, Examination, PartyId, Phase, Procedure, Responsible, Step};
use crate::defect::{Defects, Examiner};
use crate::ids::{ProcedureId, StepId};
use crate::text::Text;

const FORM: &str = "write it as the head of procedures/nha-trang-2024.toml describes";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProcedure {
    id: ProcedureId,
    title: Spanned<Text>,
    source: Spanned<Text>,
    parties: BTreeMap<PartyId, Spanned<Text>>,
    phases: Vec<RawPhase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPhase {
    id: Spanned<String>,
    name: Spanned<Text>,
    steps: Vec<RawStep>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    id: Spanned<StepId>,
    name: Spanned<Text>,
    content: Spanned<Text>,
    lead: Spanned<Vec<Spanned<PartyId>>>,
    lead_vi: Spanned<String>,
    support: Spanned<Vec<Spanned<PartyId>>>,
    support_vi: Spanned<String>,
    actors: Vec<Spanned<PartyId>>,
    condition: Option<Spanned<Text>>,
    must_leave: Spanned<Text>,
    only_if: Option<Condition>,
    examination: Option<RawExamination>,
    waits_for: Option<Spanned<StepId>>,
    #[serde(default)]
    advised_after: Vec<Spanned<StepId>>,
    #[serde(default)]
    closes: bool,
    #[serde(default)]
    never_blocked: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExamination {
    reopens: Spanned<Vec<Spanned<StepId>>>,
}

pub(super) fn parse(file: &str, text: &str) -> Result<Procedure, Defects> {
    let mut examiner = Examiner::new(file, text);
    let raw: RawProcedure = match toml::from_str(text) {
        Ok(raw) => raw,
        Err(error) => {
            examiner.report_toml(&error, FORM);
            return Err(examiner.fail());
        }
    };
    examine_order(&raw, &mut examiner);
    let mut reader = Reader { parties: &raw.parties, examiner: &mut examiner };
    for name in raw.parties.values().chain([&raw.title, &raw.source]) {
        reader.text(name);
    }
    let phases = raw
        .phases
        .iter()
        .map(|phase| Phase {
            id: phase.id.get_ref().clone(),
            name: reader.text(&phase.name),
            steps: phase.steps.iter().map(|step| reader.step(step)).collect(),
        })
        .collect();
    let procedure = Procedure {
        id: raw.id,
        title: raw.title.into_inner(),
        source: raw.source.into_inner(),
        parties: raw.parties.into_iter().map(|(id, name)| (id, name.into_inner())).collect(),
        phases,
    };
    examiner.finish(procedure)
}

/// What the steps say of each other.
fn examine_order(raw: &RawProcedure, examiner: &mut Examiner<'_>) {
    let mut earlier: Vec<&RawStep> = Vec::new();
    for phase in &raw.phases {
        for step in &phase.steps {
            let id = step.id.get_ref();
            if id.as_str().split('.').next() != Some(phase.id.get_ref()) {
                examiner.report(
                    step.id.span(),
                    format!("step {id} stands in phase {}", phase.id.get_ref()),
                    "name the phase before the dot, or move the step",
                );
            }
            if earlier.iter().any(|other| other.id.get_ref() == id) {
                examiner.report(step.id.span(), format!("step {id} stands here twice"), "number it anew");
            }
            let known = |wanted: &StepId| earlier.iter().find(|other| other.id.get_ref() == wanted);
            for wanted in &step.advised_after {
                if known(wanted.get_ref()).is_none() {
                    examiner.report(
                        wanted.span(),
                        format!("no step {} stands before {id}", wanted.get_ref()),
                        "name an earlier step",
                    );
                }
            }
            if let Some(wanted) = &step.waits_for
                && known(wanted.get_ref()).is_none_or(|other| other.examination.is_none())
            {
                examiner.report(
                    wanted.span(),
                    format!("no examination {} stands before {id}", wanted.get_ref()),
                    "name an earlier step that has `examination`",
                );
            }
            for wanted in step.examination.iter().flat_map(|examination| examination.reopens.get_ref()) {
                let itself = wanted.get_ref() == id;
                if !itself && known(wanted.get_ref()).is_none_or(|other| other.waits_for.is_some()) {
                    examiner.report(
                        wanted.span(),
                        format!("{id} cannot reopen {}", wanted.get_ref()),
                        "name earlier steps that wait for nothing",
                    );
                }
            }
            earlier.push(step);
        }
    }
    let closing = earlier.iter().filter(|step| step.closes).count();
    if closing != 1 {
        let span = earlier.last().map_or(0..0, |step| step.id.span());
        examiner.report(
            span,
            format!("{closing} steps close the incident"),
            "set `closes = true` on one step",
        );
    }
}

struct Reader<'a, 'b> {
    parties: &'a BTreeMap<PartyId, Spanned<Text>>,
    examiner: &'a mut Examiner<'b>,
}

impl Reader<'_, '_> {
    fn text(&mut self, text: &Spanned<Text>) -> Text {
        if !text.get_ref().is_complete() {
            self.examiner.report(text.span(), "one of the languages is empty", "write both `vi` and `en`");
        }
        text.get_ref().clone()
    }

    fn parties(&mut self, parties: &[Spanned<PartyId>]) -> Vec<PartyId> {
        for party in parties {
            if !self.parties.contains_key(party.get_ref()) {
                self.examiner.report(
                    party.span(),
                    format!("\"{}\" is nobody whom this procedure names", party.get_ref().as_str()),
                    "add it to [parties], or correct the abbreviation",
                );
            }
        }
        parties.iter().map(|party| party.get_ref().clone()).collect()
    }

    fn responsible(
        &mut self,
        parties: &Spanned<Vec<Spanned<PartyId>>>,
        words: &Spanned<String>,
    ) -> Responsible {
        if parties.get_ref().is_empty() || words.get_ref().trim().is_empty() {
            self.examiner.report(
                parties.span(),
                "nobody is named here",
                "name at least one party and its words in the document",
            );
        }
        Responsible { parties: self.parties(parties.get_ref()), words_vi: words.get_ref().clone() }
    }

    fn step(&mut self, raw: &RawStep) -> Step {
        Step {
            id: raw.id.get_ref().clone(),
            name: self.text(&raw.name),
            content: self.text(&raw.content),
            lead: self.responsible(&raw.lead, &raw.lead_vi),
            support: self.responsible(&raw.support, &raw.support_vi),
            actors: self.parties(&raw.actors),
            condition: raw.condition.as_ref().map(|condition| self.text(condition)),
            must_leave: self.text(&raw.must_leave),
            only_if: raw.only_if,
            examination: raw
                .examination
                .as_ref()
                .map(|examination| Examination { reopens: plain(examination.reopens.get_ref()) }),
            waits_for: raw.waits_for.as_ref().map(|id| id.get_ref().clone()),
            advised_after: plain(&raw.advised_after),
            closes: raw.closes,
            never_blocked: raw.never_blocked,
        }
    }
}

fn plain(steps: &[Spanned<StepId>]) -> Vec<StepId> {
    steps.iter().map(|step| step.get_ref().clone()).collect()
}
