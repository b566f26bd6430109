//! Verdicts as a table for a person and as JSON for a program.

use std::io::{self, Write};

use serde::Serialize;
use wardwatch_policies::evaluate;
use wardwatch_policies::policy::{Check, Policy};
use wardwatch_policies::severity::Severity;
use wardwatch_policies::verdict::{CheckResult, Evidence, PolicyResults, Verdict};

/// The narrowest terminal in use.
const WIDTH: usize = 80;
const INDENT: usize = 11;

type Listing<'a> = [(&'a Policy, &'a PolicyResults)];

/// Everything is listed; what failed or could not be seen with its evidence, what failed with its remedy.
pub(super) fn table(listing: &Listing<'_>, out: &mut dyn Write) -> io::Result<()> {
    for (policy, evaluated) in listing {
        writeln!(out, "{}: {}", policy.id, policy.title.en)?;
        for (check, result) in rows(policy, evaluated) {
            row(check, result, out)?;
        }
        writeln!(out)?;
    }
    totals(listing, out)
}

fn rows<'a>(
    policy: &'a Policy,
    evaluated: &'a PolicyResults,
) -> impl Iterator<Item = (&'a Check, &'a CheckResult)> {
    evaluated.results.iter().filter_map(|result| Some((policy.check(&result.check)?, result)))
}

fn row(check: &Check, result: &CheckResult, out: &mut dyn Write) -> io::Result<()> {
    let word = match result.verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "FAIL",
        Verdict::NotApplicable => "n/a",
        Verdict::Unknown(_) => "unknown",
    };
    let severity = match result.verdict {
        Verdict::Fail => format!(" ({})", check.severity),
        _ => String::new(),
    };
    paragraph(&format!("  {word:<9}"), &format!("{}{severity}: {}", check.id, check.title.en), out)?;
    let margin = " ".repeat(INDENT);
    match &result.verdict {
        Verdict::Fail => {
            for evidence in &result.evidence {
                paragraph(&margin, &format!("- {}", say(evidence)), out)?;
            }
            paragraph(&margin, &format!("> {}", check.remedy.en), out)
        }
        Verdict::Unknown(reason) => paragraph(&margin, &format!("? {reason}"), out),
        Verdict::Pass | Verdict::NotApplicable => Ok(()),
    }
}

fn say(evidence: &Evidence) -> String {
    format!("{}: expected {}, found {}", evidence.subject, evidence.expected, evidence.found)
}

/// Breaks text at spaces, so that with its margin it keeps within [`WIDTH`]; a longer word stands alone.
fn paragraph(first: &str, text: &str, out: &mut dyn Write) -> io::Result<()> {
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in text.split(' ') {
        let length = line.chars().count() + usize::from(!is_empty) + word.chars().count();
        if !is_empty && length > WIDTH {
            writeln!(out, "{line}")?;
            line = " ".repeat(INDENT + 2);
        } else if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    writeln!(out, "{line}")
}

fn totals(listing: &Listing<'_>, out: &mut dyn Write) -> io::Result<()> {
    let results = || listing.iter().flat_map(|(_, evaluated)| &evaluated.results);
    let count = |word: &str| results().filter(|result| result.verdict.as_str() == word).count();
    let score = match evaluate::score(results()) {
        Some(score) => format!("score {score} of 100"),
        None => "no score, as nothing could be decided".into(),
    };
    writeln!(
        out,
        "{} checks: {} passed, {} failed, {} not applicable, {} unknown; {score}",
        results().count(),
        count("pass"),
        count("fail"),
        count("not-applicable"),
        count("unknown"),
    )
}

#[derive(Serialize)]
struct Document<'a> {
    results: Vec<Row<'a>>,
    /// Whole percent of the decided checks; null when none was decided.
    score: Option<u8>,
}

#[derive(Serialize)]
struct Row<'a> {
    policy: &'a str,
    check: &'a str,
    severity: Severity,
    verdict: &'a str,
    /// Why it is unknown, or what decided a failure.
    reason: Option<String>,
    evidence: &'a [Evidence],
}

pub(super) fn json(listing: &Listing<'_>, out: &mut dyn Write) -> io::Result<()> {
    let results = listing
        .iter()
        .flat_map(|(policy, evaluated)| {
            rows(policy, evaluated).map(move |(check, result)| (policy, check, result))
        })
        .map(|(policy, check, result)| Row {
            policy: policy.id.as_str(),
            check: check.id.as_str(),
            severity: check.severity,
            verdict: result.verdict.as_str(),
            reason: match &result.verdict {
                Verdict::Unknown(reason) => Some(reason.clone()),
                Verdict::Fail => result.evidence.first().map(say),
                Verdict::Pass | Verdict::NotApplicable => None,
            },
            evidence: &result.evidence,
        })
        .collect();
    let score = evaluate::score(listing.iter().flat_map(|(_, evaluated)| &evaluated.results));
    serde_json::to_writer_pretty(&mut *out, &Document { results, score })?;
    writeln!(out)
}
