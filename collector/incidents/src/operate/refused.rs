//! Why a command is refused, in words: problem and remedy, with a stable code for other languages.

use serde::Serialize;
use wardwatch_policies::ids::StepId;

use crate::change::{AlertId, IncidentId};
use crate::operate::{MAX_EVIDENCE, MAX_TEXT_CHARS};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; {remedy}", problem = self.problem(), remedy = self.remedy())]
pub enum Refused {
    IncidentClosed { incident: IncidentId },
    UnknownStep { step: StepId },
    Waits { step: StepId, examination: StepId },
    NotSerious { step: StepId },
    Settled { step: StepId },
    Pending { step: StepId },
    EarlierRound { step: StepId },
    RestsOn { step: StepId, other: StepId },
    Indispensable { step: StepId },
    EvidenceMissing { step: StepId },
    TooMuchEvidence { step: StepId },
    FindingElsewhere { alert: AlertId },
    OutcomeMissing { step: StepId },
    NoExamination { step: StepId },
    NothingToRepeat { step: StepId },
    CannotRepeat { step: StepId, allowed: Vec<StepId> },
    ReasonMissing,
    TitleMissing,
    TooLong,
    AlertClosed { alert: AlertId },
    AlertElsewhere { alert: AlertId, incident: IncidentId },
    SilenceOver,
}

/// A refusal as the HTTP API gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Words {
    pub code: &'static str,
    pub problem: String,
    pub remedy: String,
}

impl Refused {
    #[must_use]
    pub fn words(&self) -> Words {
        Words { code: self.code(), problem: self.problem(), remedy: self.remedy() }
    }

    /// Never changes its meaning; pages translate by it.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::IncidentClosed { .. } => "incident-closed",
            Self::UnknownStep { .. } => "unknown-step",
            Self::Waits { .. } => "waits-for-examination",
            Self::NotSerious { .. } => "not-serious",
            Self::Settled { .. } => "step-settled",
            Self::Pending { .. } => "step-pending",
            Self::EarlierRound { .. } => "earlier-round",
            Self::RestsOn { .. } => "other-step-rests-on-it",
            Self::Indispensable { .. } => "step-indispensable",
            Self::EvidenceMissing { .. } => "evidence-missing",
            Self::TooMuchEvidence { .. } => "too-much-evidence",
            Self::FindingElsewhere { .. } => "finding-elsewhere",
            Self::OutcomeMissing { .. } => "outcome-missing",
            Self::NoExamination { .. } => "no-examination",
            Self::NothingToRepeat { .. } => "nothing-to-repeat",
            Self::CannotRepeat { .. } => "cannot-repeat",
            Self::ReasonMissing => "reason-missing",
            Self::TitleMissing => "title-missing",
            Self::TooLong => "too-long",
            Self::AlertClosed { .. } => "alert-closed",
            Self::AlertElsewhere { .. } => "alert-elsewhere",
            Self::SilenceOver => "silence-over",
        }
    }

    #[must_use]
    pub fn problem(&self) -> String {
        match self {
            Self::IncidentClosed { incident } => format!("incident {incident} is closed"),
            Self::UnknownStep { step } => format!("the procedure has no step {step}"),
            Self::Waits { step, examination } => {
                format!("step {step} waits until step {examination} is passed")
            }
            Self::NotSerious { step } => {
                format!("step {step} is for serious incidents, and this one is not assessed as serious")
            }
            Self::Settled { step } => format!("step {step} is already done or not applicable"),
            Self::Pending { step } => format!("step {step} is still open, so there is nothing to take back"),
            Self::EarlierRound { step } => {
                format!("step {step} was settled in an earlier round, which can only be read")
            }
            Self::RestsOn { step, other } => {
                format!("step {other} was settled because step {step} was passed")
            }
            Self::Indispensable { step } => format!("step {step} decides whether the incident may end"),
            Self::EvidenceMissing { step } => format!("step {step} has no evidence"),
            Self::TooMuchEvidence { step } => {
                format!("step {step} has more than {MAX_EVIDENCE} files or findings")
            }
            Self::FindingElsewhere { alert } => format!("alert {alert} does not belong to this incident"),
            Self::OutcomeMissing { step } => format!("step {step} is an examination and has no result"),
            Self::NoExamination { step } => format!("step {step} is no examination and has no result"),
            Self::NothingToRepeat { step } => {
                format!("steps are repeated only after a failed examination, and step {step} is not failed")
            }
            Self::CannotRepeat { step, .. } => format!("step {step} cannot be repeated in a new round"),
            Self::ReasonMissing => "there is no reason".into(),
            Self::TitleMissing => "there is no title".into(),
            Self::TooLong => format!("a text has more than {MAX_TEXT_CHARS} characters"),
            Self::AlertClosed { alert } => format!("alert {alert} is closed"),
            Self::AlertElsewhere { alert, incident } => {
                format!("alert {alert} already belongs to incident {incident}")
            }
            Self::SilenceOver => "the silence would already be over".into(),
        }
    }

    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::IncidentClosed { .. } => "raise a new incident if the matter goes on".into(),
            Self::UnknownStep { .. } => "look up the steps with `incidents show`".into(),
            Self::Waits { examination, .. } => format!("record step {examination} with the result pass"),
            Self::NotSerious { step } => {
                format!("assess the incident as serious first, or mark step {step} not applicable")
            }
            Self::Settled { .. } => "reopen it first if it was wrong".into(),
            Self::Pending { .. } => "complete it, or mark it not applicable with a reason".into(),
            Self::EarlierRound { .. } => {
                "say so in the note of a later step, or repeat it in a new round after a failed examination"
                    .into()
            }
            Self::RestsOn { other, .. } => format!("reopen step {other} first"),
            Self::Indispensable { step } => format!("carry step {step} out and record it"),
            Self::EvidenceMissing { .. } => "add a file, a finding, or a note that says what was done".into(),
            Self::TooMuchEvidence { .. } => "pack the files into one archive".into(),
            Self::FindingElsewhere { alert } => format!("attach alert {alert} to the incident first"),
            Self::OutcomeMissing { .. } => "record it with the result pass or fail".into(),
            Self::NoExamination { .. } | Self::NothingToRepeat { .. } => "leave that out".into(),
            Self::CannotRepeat { allowed, .. } => {
                let allowed: Vec<_> = allowed.iter().map(StepId::as_str).collect();
                format!("choose from {}", allowed.join(", "))
            }
            Self::ReasonMissing => "write why".into(),
            Self::TitleMissing => "write in a few words what happened".into(),
            Self::TooLong => "shorten it, and put the whole into a file".into(),
            Self::AlertClosed { .. } => "it comes back by itself when the finding does".into(),
            Self::AlertElsewhere { incident, .. } => format!("go on in incident {incident}"),
            Self::SilenceOver => "choose a time to come".into(),
        }
    }
}
