mod gates;
mod lawful;
mod rounds;
mod words;

use wardwatch_policies::digest::Digest;
use wardwatch_policies::procedure;

use super::*;
use crate::alert::Alert;
use crate::chain::{self, Head, LogEntry};
use crate::change::Actor;

const INCIDENT: IncidentId = IncidentId { year: 2026, number: 7 };
const ALL: [&str; 12] =
    ["I.1", "I.2", "I.3", "I.4", "I.5", "I.6", "II.1", "III.1", "III.2", "III.3", "III.4", "IV.1"];

/// An office at work on one incident: commands go in, the log grows, the state follows.
pub(crate) struct Desk {
    pub(crate) log: Vec<LogEntry>,
    pub(crate) incident: Incident,
}

pub(crate) fn id(step: &str) -> StepId {
    step.parse().unwrap()
}

pub(crate) fn done(step: &str) -> Completion {
    Completion {
        step: id(step),
        note: format!("{step} carried out"),
        evidence: Vec::new(),
        findings: Vec::new(),
        outcome: None,
        repeat: Vec::new(),
    }
}

pub(crate) fn examined(step: &str, outcome: Outcome) -> Completion {
    Completion { outcome: Some(outcome), ..done(step) }
}

pub(crate) fn assess(serious: bool) -> Command {
    Command::AssessSeriousness { serious, reason: "criteria of the plan".into() }
}

pub(crate) fn not_applicable(step: &str) -> Command {
    Command::MarkNotApplicable { step: id(step), reason: "nobody was hurt".into() }
}

pub(crate) fn reopen(step: &str) -> Command {
    Command::Reopen { step: id(step), reason: "wrong file".into() }
}

impl Desk {
    pub(crate) fn new() -> Self {
        let wish = Raise {
            title: "Cuộc gọi từ phường 1".into(),
            severity: Severity::High,
            reason: "a ward called".into(),
        };
        let changes = raise(procedure::city(), INCIDENT, wish, &[]).unwrap();
        let entry = chain::append(Head::EMPTY, UnixMillis(0), Actor::User("lan".into()), changes[0].clone());
        let incident = Incident::replay(procedure::city(), [&entry]).unwrap().unwrap();
        Self { log: vec![entry], incident }
    }

    pub(crate) fn ask(&self, command: Command) -> Result<Vec<Change>, Refused> {
        operate(procedure::city(), &self.incident, command)
    }

    pub(crate) fn record(&mut self, changes: Vec<Change>) {
        for change in changes {
            let head = self.log.last().map_or(Head::EMPTY, LogEntry::head);
            let at = UnixMillis(head.length as i64);
            let entry = chain::append(head, at, Actor::User("lan".into()), change);
            self.incident = self.incident.clone().apply(entry.at, &entry.actor, &entry.change).unwrap();
            self.log.push(entry);
        }
    }

    pub(crate) fn accept(&mut self, command: Command) -> Vec<Change> {
        let changes = self.ask(command).unwrap();
        self.record(changes.clone());
        changes
    }

    pub(crate) fn complete(&mut self, steps: &[&str]) {
        for step in steps {
            self.accept(Command::Complete(done(step)));
        }
    }

    fn state(&self, step: &str) -> &'static str {
        self.incident.step(&id(step)).unwrap().1.state.as_str()
    }

    fn next(&self) -> Vec<&'static str> {
        self.incident.next_steps(procedure::city()).into_iter().map(|step| step.id.as_str()).collect()
    }
}

fn evidence() -> EvidenceFile {
    EvidenceFile { digest: Digest::of(b"photo"), name: "ảnh.jpg".into(), size: 5 }
}

fn alert(number: i64, incident: Option<IncidentId>) -> Alert {
    let change = Change::AlertRaised {
        alert: AlertId(number),
        endpoint: "pc-1".parse().unwrap(),
        unit: "phuong-1".parse().unwrap(),
        rule: "fork-refused".parse().unwrap(),
        severity: Severity::High,
        fingerprint: "fork".into(),
        finding: wardwatch_policies::finding::Finding::Fork { seq: 3 },
    };
    Alert { incident, ..Alert::raised(UnixMillis(0), &change).unwrap() }
}
