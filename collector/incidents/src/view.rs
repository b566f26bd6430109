//! What a page and the command line show of an incident's steps: state, gate, advice.
//!
//! A gate refuses; advice is shown and recorded, and refuses nothing.

use serde::Serialize;
use wardwatch_policies::ids::StepId;
use wardwatch_policies::procedure::{Condition, Phase, Procedure, Step};
use wardwatch_policies::text::Text;

use crate::incident::{Incident, StepState};

/// Why a step cannot be done now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "gate")]
pub enum Gate {
    /// An examination has to be passed first.
    WaitsFor { examination: StepId },
    /// The step applies to serious incidents only, and this one has not been assessed as serious.
    NotSerious,
}

/// What is better done first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "advice")]
pub enum Advice {
    /// The procedure puts this step first.
    After { step: StepId },
    /// The step at hand closes the incident, and this one is still open.
    StillOpen { step: StepId },
}

/// One step of an incident, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepView<'a> {
    #[serde(skip)]
    pub phase: &'a Phase,
    #[serde(skip)]
    pub step: &'a Step,
    pub id: &'a StepId,
    /// The round whose record this is.
    pub round: u32,
    /// The record stands in an earlier round than the current one and still counts.
    pub carried_over: bool,
    #[serde(flatten)]
    pub state: &'a StepState,
    pub superseded: &'a [StepState],
    /// Only of pending steps of an open incident.
    pub gate: Option<Gate>,
    /// Only of pending steps of an open incident.
    pub advice: Vec<Advice>,
    /// To be done now.
    pub is_next: bool,
}

impl Gate {
    #[must_use]
    pub fn text(&self) -> Text {
        match self {
            Self::WaitsFor { examination } => Text {
                vi: format!("Chờ bước {examination} đạt"),
                en: format!("Waits for step {examination} to be passed"),
            },
            Self::NotSerious => Text {
                vi: "Chỉ thực hiện khi sự cố được đánh giá là nghiêm trọng".into(),
                en: "Only when the incident is assessed as serious".into(),
            },
        }
    }
}

impl Advice {
    /// The step that is better settled first.
    #[must_use]
    pub const fn step(&self) -> &StepId {
        match self {
            Self::After { step } | Self::StillOpen { step } => step,
        }
    }

    #[must_use]
    pub fn text(&self) -> Text {
        match self {
            Self::After { step } => Text {
                vi: format!("Nên hoàn thành bước {step} trước"),
                en: format!("Step {step} is better done first"),
            },
            Self::StillOpen { step } => Text {
                vi: format!("Bước {step} chưa hoàn thành; thực hiện bước này sẽ đóng sự cố"),
                en: format!("Step {step} is still open, and this step closes the incident"),
            },
        }
    }
}

/// What holds a step back. Advice and evidence are asked elsewhere.
#[must_use]
pub fn gate(incident: &Incident, step: &Step) -> Option<Gate> {
    match (&step.waits_for, step.only_if) {
        _ if step.never_blocked => None,
        (Some(examination), _) if !incident.has_passed(examination) => {
            Some(Gate::WaitsFor { examination: examination.clone() })
        }
        (_, Some(Condition::Serious)) if !incident.is_serious() => Some(Gate::NotSerious),
        _ => None,
    }
}

/// What is better settled before a step, in the procedure's order.
#[must_use]
pub fn advice(procedure: &Procedure, incident: &Incident, step: &Step) -> Vec<Advice> {
    let open = |other: &Step| !incident.is_settled(&other.id);
    if step.closes {
        let others = procedure.steps().filter(|other| other.id != step.id && open(other));
        return others.map(|other| Advice::StillOpen { step: other.id.clone() }).collect();
    }
    let earlier = procedure.steps().filter(|other| step.advised_after.contains(&other.id) && open(other));
    earlier.map(|other| Advice::After { step: other.id.clone() }).collect()
}

/// All steps as they count now, in the procedure's order.
#[must_use]
pub fn steps<'a>(procedure: &'a Procedure, incident: &'a Incident) -> Vec<StepView<'a>> {
    let current = incident.current_round().number;
    let next = incident.next_steps(procedure);
    let records = with_phase(procedure).filter_map(|(phase, step)| {
        incident.step(&step.id).map(|(round, record)| (phase, step, round, record))
    });
    records
        .map(|(phase, step, round, record)| {
            let waiting = incident.is_open() && !record.state.is_settled();
            StepView {
                phase,
                step,
                id: &step.id,
                round,
                carried_over: round < current && record.state.is_settled(),
                state: &record.state,
                superseded: &record.superseded,
                gate: if waiting { gate(incident, step) } else { None },
                advice: if waiting { advice(procedure, incident, step) } else { Vec::new() },
                is_next: next.iter().any(|next| next.id == step.id),
            }
        })
        .collect()
}

/// What one round holds, read-only, in the procedure's order.
#[must_use]
pub fn round<'a>(procedure: &'a Procedure, incident: &'a Incident, number: u32) -> Vec<StepView<'a>> {
    let Some(round) = incident.rounds.iter().find(|round| round.number == number) else {
        return Vec::new();
    };
    let records = with_phase(procedure)
        .filter_map(|(phase, step)| round.steps.get(&step.id).map(|record| (phase, step, record)));
    records
        .map(|(phase, step, record)| StepView {
            phase,
            step,
            id: &step.id,
            round: number,
            carried_over: false,
            state: &record.state,
            superseded: &record.superseded,
            gate: None,
            advice: Vec::new(),
            is_next: false,
        })
        .collect()
}

fn with_phase(procedure: &Procedure) -> impl Iterator<Item = (&Phase, &Step)> {
    procedure.phases.iter().flat_map(|phase| phase.steps.iter().map(move |step| (phase, step)))
}
