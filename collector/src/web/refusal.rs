//! Refused commands in the page's words.

use wardwatch_incidents::operate::Refused;
use wardwatch_policies::text::Language;

use super::language::{self, Key};

/// Problem and remedy.
pub(super) fn sentences(language: Language, refused: &Refused) -> (String, String) {
    language::with_remedy(language, key(refused), &values(refused))
}

const fn key(refused: &Refused) -> Key {
    match refused {
        Refused::IncidentClosed { .. } => Key("refused-incident-closed"),
        Refused::UnknownStep { .. } => Key("refused-unknown-step"),
        Refused::Waits { .. } => Key("refused-waits"),
        Refused::NotSerious { .. } => Key("refused-not-serious"),
        Refused::Settled { .. } => Key("refused-settled"),
        Refused::Pending { .. } => Key("refused-pending"),
        Refused::EarlierRound { .. } => Key("refused-earlier-round"),
        Refused::RestsOn { .. } => Key("refused-rests-on"),
        Refused::Indispensable { .. } => Key("refused-indispensable"),
        Refused::EvidenceMissing { .. } => Key("refused-evidence-missing"),
        Refused::TooMuchEvidence { .. } => Key("refused-too-much-evidence"),
        Refused::FindingElsewhere { .. } => Key("refused-finding-elsewhere"),
        Refused::OutcomeMissing { .. } => Key("refused-outcome-missing"),
        Refused::NoExamination { .. } => Key("refused-no-examination"),
        Refused::NothingToRepeat { .. } => Key("refused-nothing-to-repeat"),
        Refused::CannotRepeat { .. } => Key("refused-cannot-repeat"),
        Refused::ReasonMissing => Key("refused-reason-missing"),
        Refused::TitleMissing => Key("refused-title-missing"),
        Refused::TooLong => Key("refused-too-long"),
        Refused::AlertClosed { .. } => Key("refused-alert-closed"),
        Refused::AlertElsewhere { .. } => Key("refused-alert-elsewhere"),
        Refused::SilenceOver => Key("refused-silence-over"),
    }
}

fn values(refused: &Refused) -> Vec<(&'static str, String)> {
    match refused {
        Refused::IncidentClosed { incident } => vec![("incident", incident.to_string())],
        Refused::Waits { step, examination } => {
            vec![("step", step.to_string()), ("other", examination.to_string())]
        }
        Refused::RestsOn { step, other } => vec![("step", step.to_string()), ("other", other.to_string())],
        Refused::CannotRepeat { step, allowed } => {
            let allowed: Vec<_> = allowed.iter().map(ToString::to_string).collect();
            vec![("step", step.to_string()), ("allowed", allowed.join(", "))]
        }
        Refused::UnknownStep { step }
        | Refused::NotSerious { step }
        | Refused::Settled { step }
        | Refused::Pending { step }
        | Refused::EarlierRound { step }
        | Refused::Indispensable { step }
        | Refused::EvidenceMissing { step }
        | Refused::TooMuchEvidence { step }
        | Refused::OutcomeMissing { step }
        | Refused::NoExamination { step }
        | Refused::NothingToRepeat { step } => vec![("step", step.to_string())],
        Refused::FindingElsewhere { alert } | Refused::AlertClosed { alert } => {
            vec![("alert", alert.to_string())]
        }
        Refused::AlertElsewhere { alert, incident } => {
            vec![("alert", alert.to_string()), ("incident", incident.to_string())]
        }
        Refused::ReasonMissing | Refused::TitleMissing | Refused::TooLong | Refused::SilenceOver => {
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_problem_and_remedy_in_both_languages() {
        let refused =
            Refused::Waits { step: "III.4".parse().unwrap(), examination: "III.3".parse().unwrap() };
        assert_eq!(
            sentences(Language::Vi, &refused),
            (
                "Bước III.4 phải chờ bước III.3 có kết quả đạt.".into(),
                "Hãy ghi nhận bước III.3 với kết quả đạt trước.".into()
            )
        );
        assert_eq!(
            sentences(Language::En, &refused),
            (
                "Step III.4 waits until step III.3 is passed.".into(),
                "Record step III.3 as passed first.".into()
            )
        );
    }
}
