//! From text to rules that fit together. Every fault is reported, not only the first.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use toml::Spanned;

use super::{Detection, Grade, Group, Patience, Rule, Scope, Silence, Then, When};
use crate::defect::{Defects, Examiner};
use crate::ids::{EndpointKind, RuleId};
use crate::text::Text;

const FORM: &str = "write it as the head of detections/city.toml describes";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawDetection {
    silence: RawSilence,
    rules: Vec<RawRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSilence {
    utc_offset_minutes: Spanned<i32>,
    patience: Spanned<BTreeMap<EndpointKind, Patience>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    id: Spanned<RuleId>,
    when: When,
    #[serde(default)]
    scope: Option<RawScope>,
    severity: Option<Spanned<String>>,
    incident: Option<Spanned<String>>,
    #[serde(default)]
    closes: bool,
    title: Spanned<Text>,
    why: Spanned<Text>,
    first: Spanned<Text>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum RawScope {
    Endpoint,
    Unit,
}

pub(super) fn parse(file: &str, text: &str) -> Result<Detection, Defects> {
    let mut examiner = Examiner::new(file, text);
    let raw: RawDetection = match toml::from_str(text) {
        Ok(raw) => raw,
        Err(error) => {
            examiner.report_toml(&error, FORM);
            return Err(examiner.fail());
        }
    };
    let mut seen = BTreeSet::new();
    let mut rules = Vec::new();
    for raw in raw.rules {
        if !seen.insert(raw.id.get_ref().clone()) {
            let problem = format!("rule {} stands here twice", raw.id.get_ref());
            examiner.report(raw.id.span(), problem, "give it another id");
        }
        rules.extend(rule(raw, &mut examiner));
    }
    let silence = silence(raw.silence, &mut examiner);
    examiner.finish(Detection { rules, silence })
}

fn silence(raw: RawSilence, examiner: &mut Examiner<'_>) -> Silence {
    for kind in EndpointKind::ALL {
        if !raw.patience.get_ref().contains_key(&kind) {
            let problem = format!("nothing says how long an endpoint of kind {kind} may be silent");
            examiner.report(raw.patience.span(), problem, "add a line with minutes or working_days");
        }
    }
    if !(-12 * 60..=14 * 60).contains(raw.utc_offset_minutes.get_ref()) {
        examiner.report(
            raw.utc_offset_minutes.span(),
            "no place on earth is so far from UTC",
            "write minutes between -720 and 840; 420 in Vietnam",
        );
    }
    Silence { utc_offset_minutes: raw.utc_offset_minutes.into_inner(), patience: raw.patience.into_inner() }
}

fn rule(raw: RawRule, examiner: &mut Examiner<'_>) -> Option<Rule> {
    for text in [&raw.title, &raw.why, &raw.first] {
        if !text.get_ref().is_complete() {
            examiner.report(text.span(), "one of the languages is empty", "write both `vi` and `en`");
        }
    }
    let scope = match raw.scope {
        Some(RawScope::Unit) => Scope::Unit,
        Some(RawScope::Endpoint) | None => Scope::Endpoint,
    };
    let id = raw.id.get_ref();
    let then = if raw.closes {
        if let Some(span) = raw.severity.as_ref().or(raw.incident.as_ref()).map(Spanned::span) {
            examiner.report(
                span,
                format!("rule {id} closes and raises"),
                "leave out `closes`, or `severity` and `incident`",
            );
        }
        Then::Close { scope }
    } else {
        let incident = raw.incident.map(|group| Group(group.into_inner()));
        Then::Alert { severity: severity(id, raw.id.span(), raw.severity, examiner)?, scope, incident }
    };
    Some(Rule {
        when: raw.when,
        then,
        title: raw.title.into_inner(),
        why: raw.why.into_inner(),
        first: raw.first.into_inner(),
        id: raw.id.into_inner(),
    })
}

fn severity(
    id: &RuleId,
    span: std::ops::Range<usize>,
    raw: Option<Spanned<String>>,
    examiner: &mut Examiner<'_>,
) -> Option<Grade> {
    const REMEDY: &str = "write severity = \"low\", \"medium\", \"high\", \"critical\" or \"of-check\"";
    let Some(raw) = raw else {
        examiner.report(span, format!("rule {id} has no severity"), REMEDY);
        return None;
    };
    match raw.get_ref().as_str() {
        "of-check" => Some(Grade::OfCheck),
        text => match text.parse() {
            Ok(severity) => Some(Grade::Fixed(severity)),
            Err(_) => {
                examiner.report(raw.span(), format!("\"{text}\" is not a severity"), REMEDY);
                None
            }
        },
    }
}
