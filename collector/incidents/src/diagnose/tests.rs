use proptest::prelude::*;
use wardwatch_policies::detection::{self, Subject};
use wardwatch_policies::digest::Digest;
use wardwatch_policies::file::{FileKind, FileState, Sighting};
use wardwatch_policies::ids::EndpointKind;
use wardwatch_policies::procedure;
use wardwatch_policies::verdict::Verdict;

use super::*;
use crate::chain::{self, Head, LogEntry};
use crate::change::Actor;
use crate::incident::Incident;

/// What the collector holds, in miniature: findings go in, the log grows, alerts and incidents follow.
#[derive(Default)]
struct Watch {
    log: Vec<LogEntry>,
    alerts: Vec<Alert>,
    incidents: Vec<Incident>,
}

impl Watch {
    /// Diagnoses one finding of `endpoint` in ward 1, by the shipped rules.
    fn find(&mut self, endpoint: &str, finding: &Finding) -> Vec<Change> {
        let kind = EndpointKind::OfficePc;
        let subject = Subject { finding, kind, check_severity: Some(Severity::High) };
        let Some(rule) = detection::city().matching(subject) else { return Vec::new() };
        let (endpoint, unit) = (endpoint.parse().unwrap(), "phuong-1".parse().unwrap());
        let context = Context {
            endpoint: &endpoint,
            hostname: "may-01",
            unit: &unit,
            now: UnixMillis(self.log.len() as i64),
            check_severity: subject.check_severity,
            procedure: &procedure::city().id,
        };
        let key = key(rule, &context, finding);
        let open = Open { alert: self.open_alert(&key), incident: self.open_incident(&endpoint, &key) };
        let next = Next {
            alert: AlertId(self.alerts.len() as i64 + 1),
            incident: IncidentId { year: 2026, number: self.incidents.len() as u32 + 1 },
        };
        let changes = diagnose(rule, &context, finding, open, next);
        self.record(&Actor::Rule(rule.id.clone()), changes.clone());
        changes
    }

    fn open_alert(&self, key: &Key<'_>) -> Option<&Alert> {
        self.alerts.iter().find(|alert| {
            !alert.is_closed()
                && alert.fingerprint == key.fingerprint
                && key.endpoint.map_or(alert.unit == *key.unit, |endpoint| alert.endpoint == *endpoint)
        })
    }

    fn open_incident(&self, endpoint: &AgentId, key: &Key<'_>) -> Option<IncidentId> {
        let rules: Vec<_> = detection::city().rules_of_group(key.group?).collect();
        let of_group = |alert: &Alert| alert.endpoint == *endpoint && rules.contains(&&alert.rule);
        self.incidents
            .iter()
            .find(|incident| {
                incident.is_open()
                    && self.alerts.iter().any(|alert| alert.incident == Some(incident.id) && of_group(alert))
            })
            .map(|incident| incident.id)
    }

    fn record(&mut self, actor: &Actor, changes: Vec<Change>) {
        for change in changes {
            let head = self.log.last().map_or(Head::EMPTY, LogEntry::head);
            let at = UnixMillis(head.length as i64);
            let entry = chain::append(head, at, actor.clone(), change);
            let change = &entry.change;
            self.alerts = std::mem::take(&mut self.alerts)
                .into_iter()
                .map(|alert| alert.apply(at, actor, change).unwrap())
                .chain(Alert::raised(at, change).filter(|_| matches!(change, Change::AlertRaised { .. })))
                .collect();
            self.incidents = std::mem::take(&mut self.incidents)
                .into_iter()
                .map(|incident| incident.apply(at, actor, change).unwrap())
                .collect();
            self.incidents.extend(Incident::raised(procedure::city(), at, actor, change));
            self.log.push(entry);
        }
    }

    fn states(&self) -> Vec<&'static str> {
        self.alerts.iter().map(|alert| alert.state.as_str()).collect()
    }
}

fn state(content: &str) -> Sighting {
    Sighting::Present(FileState {
        digest: Digest::of(content.as_bytes()),
        size: content.len() as u64,
        kind: FileKind::Elf,
        mode: Some(0o755),
        owner: Some((0, 0)),
    })
}

fn file(path: &str, old: Sighting, new: Sighting) -> Finding {
    Finding::File { path: path.parse().unwrap(), old, new }
}

fn changed(path: &str) -> Finding {
    file(path, state("a"), state("b"))
}

fn check(old: Option<Verdict>, new: Verdict) -> Finding {
    let (policy, check) = ("office-pc-linux".parse().unwrap(), "ssh-root-login".parse().unwrap());
    Finding::Check { policy, check, old, new, evidence: Vec::new() }
}

fn silent(since: i64) -> Finding {
    Finding::Silent { since: UnixMillis(since) }
}

#[test]
fn raises_an_alert_and_an_incident_by_rule() {
    let mut watch = Watch::default();
    let changes = watch.find("pc-1", &changed("/usr/bin/ls"));
    let [Change::AlertRaised { alert, finding, .. }, Change::IncidentRaised { alerts, title, severity, .. }] =
        &changes[..]
    else {
        panic!("{changes:?}")
    };
    assert_eq!(alerts, &[*alert]);
    assert_eq!(*finding, changed("/usr/bin/ls"), "both hashes stand in the record");
    assert_eq!(*severity, Severity::High);
    assert_eq!(title.en, "An executable in a system directory changed: /usr/bin/ls (may-01)");
    assert_eq!(title.vi, "Tệp thực thi trong thư mục hệ thống bị thay đổi: /usr/bin/ls (may-01)");
}

#[test]
fn raises_nothing_twice_for_the_same_finding() {
    let mut watch = Watch::default();
    for finding in [changed("/usr/bin/ls"), check(None, Verdict::Fail), silent(1), Finding::IdentityCloned] {
        assert!(!watch.find("pc-1", &finding).is_empty());
        assert_eq!(watch.find("pc-1", &finding), [], "{finding:?}");
    }
}

#[test]
fn repeats_count_up_one_alert() {
    let mut watch = Watch::default();
    watch.find("pc-1", &changed("/usr/bin/ls"));
    let again = watch.find("pc-1", &file("/usr/bin/ls", state("b"), state("c")));
    assert!(matches!(&again[..], [Change::AlertRepeated { .. }]), "{again:?}");
    assert_eq!((watch.alerts.len(), watch.alerts[0].count), (1, 2));
}

#[test]
fn three_hundred_changed_files_are_one_incident() {
    let mut watch = Watch::default();
    for number in 0..300 {
        watch.find("pc-1", &changed(&format!("/usr/bin/tool-{number}")));
    }
    assert_eq!((watch.alerts.len(), watch.incidents.len()), (300, 1));
    assert_eq!(watch.incidents[0].alerts.len(), 300);
}

#[test]
fn incidents_of_another_endpoint_or_group_stay_apart() {
    let mut watch = Watch::default();
    watch.find("pc-1", &changed("/usr/bin/ls"));
    watch.find("pc-2", &changed("/usr/bin/ls"));
    watch.find("pc-1", &Finding::IdentityCloned);
    watch.find("pc-1", &Finding::Fork { seq: 3 });
    assert_eq!(watch.incidents.len(), 3);
}

#[test]
fn a_closed_incident_is_not_joined_but_a_new_one_raised() {
    let mut watch = Watch::default();
    watch.find("pc-1", &changed("/usr/bin/ls"));
    let incident = watch.incidents[0].id;
    watch.record(&Actor::LocalAdmin, vec![Change::IncidentClosed { incident }]);
    assert_eq!(watch.states(), ["closed"], "an incident's alerts end with it");
    watch.find("pc-1", &file("/usr/bin/ls", state("b"), state("c")));
    assert_eq!(watch.states(), ["closed", "open"]);
    assert_eq!(watch.incidents.len(), 2);
}

#[test]
fn an_alert_that_turns_worse_leads_to_an_incident() {
    let mut watch = Watch::default();
    let unreadable = || Sighting::Unreadable("permission denied".into());
    watch.find("pc-1", &file("/usr/bin/ls", state("a"), unreadable()));
    assert_eq!(watch.incidents.len(), 0);
    let changes = watch.find("pc-1", &changed("/usr/bin/ls"));
    assert!(
        matches!(&changes[..], [Change::AlertRepeated { .. }, Change::IncidentRaised { .. }]),
        "{changes:?}"
    );
    assert_eq!(watch.alerts[0].severity, Severity::High);
}

#[test]
fn a_silenced_alert_counts_on_without_an_incident() {
    let mut watch = Watch::default();
    watch.find("pc-1", &file("/usr/bin/new", Sighting::Absent, state("a")));
    let silence =
        Change::AlertSilenced { alert: AlertId(1), until: UnixMillis(1_000), reason: "update".into() };
    watch.record(&Actor::LocalAdmin, vec![silence]);
    watch.find("pc-1", &changed("/usr/bin/new"));
    assert_eq!((watch.alerts[0].count, watch.incidents.len()), (2, 0));
}

#[test]
fn closes_on_recovery() {
    let mut watch = Watch::default();
    watch.find("pc-1", &check(None, Verdict::Fail));
    let changes = watch.find("pc-1", &check(Some(Verdict::Fail), Verdict::Pass));
    assert!(matches!(&changes[..], [Change::AlertClosed { .. }]), "{changes:?}");
    assert_eq!(
        watch.find("pc-1", &check(Some(Verdict::Fail), Verdict::Pass)),
        [],
        "nothing is left to close"
    );
}

#[test]
fn a_failure_after_recovery_is_a_new_alert() {
    let mut watch = Watch::default();
    watch.find("pc-1", &check(None, Verdict::Fail));
    watch.find("pc-1", &check(Some(Verdict::Fail), Verdict::Pass));
    watch.find("pc-1", &check(Some(Verdict::Pass), Verdict::Fail));
    assert_eq!(watch.states(), ["closed", "open"]);
}

#[test]
fn keeps_open_on_unknown_and_not_applicable() {
    let mut watch = Watch::default();
    watch.find("pc-1", &check(None, Verdict::Fail));
    watch.find("pc-1", &check(Some(Verdict::Fail), Verdict::Unknown("not root".into())));
    watch.find("pc-1", &check(Some(Verdict::Fail), Verdict::NotApplicable));
    assert_eq!(watch.states(), ["open"]);
}

#[test]
fn keeps_open_on_absence() {
    let mut watch = Watch::default();
    watch.find("pc-1", &changed("/usr/bin/ls"));
    watch.find("pc-1", &file("/usr/bin/ls", state("b"), Sighting::Absent));
    assert_eq!(watch.states(), ["open"]);
}

#[test]
fn keeps_open_when_a_file_is_changed_back() {
    let mut watch = Watch::default();
    watch.find("pc-1", &changed("/usr/bin/ls"));
    watch.find("pc-1", &file("/usr/bin/ls", state("b"), state("a")));
    assert_eq!(watch.states(), ["open"]);
}

#[test]
fn keeps_open_on_silence() {
    let mut watch = Watch::default();
    watch.find("pc-1", &check(None, Verdict::Fail));
    watch.find("pc-1", &silent(1));
    watch.find("pc-1", &Finding::Heard);
    assert_eq!(watch.states(), ["open", "closed"], "being heard ends the silence and nothing else");
}

#[test]
fn silent_endpoints_of_a_unit_are_one_alert_that_closes_with_the_last() {
    let mut watch = Watch::default();
    for pc in ["pc-1", "pc-2", "pc-3"] {
        watch.find(pc, &silent(1));
    }
    assert_eq!((watch.alerts.len(), watch.alerts[0].concerned.len()), (1, 3));
    for pc in ["pc-1", "pc-3"] {
        let changes = watch.find(pc, &Finding::Heard);
        assert!(matches!(&changes[..], [Change::AlertEased { .. }]), "{changes:?}");
    }
    assert_eq!(watch.find("pc-1", &Finding::Heard), [], "it is well already");
    assert_eq!(watch.states(), ["open"]);
    let changes = watch.find("pc-2", &Finding::Heard);
    assert!(matches!(&changes[..], [Change::AlertClosed { .. }]), "{changes:?}");
}

#[test]
fn being_heard_of_an_endpoint_that_was_not_silent_changes_nothing() {
    let mut watch = Watch::default();
    watch.find("pc-1", &silent(1));
    assert_eq!(watch.find("pc-2", &Finding::Heard), []);
    assert_eq!(watch.states(), ["open"]);
}

#[test]
fn a_title_shows_the_end_of_a_long_path() {
    let mut watch = Watch::default();
    watch.find("pc-1", &changed(&format!("/opt/{}/phần-mềm", "a".repeat(4_000))));
    let title = &watch.incidents[0].title.en;
    assert!(title.contains('…') && title.ends_with("/phần-mềm (may-01)"), "{title}");
    assert!(title.chars().count() < 250);
}

fn sighting() -> impl Strategy<Value = Sighting> {
    prop_oneof![
        4 => prop::sample::select(vec!["a", "b", "c"]).prop_map(state),
        1 => Just(Sighting::Absent),
        1 => Just(Sighting::Unreadable("permission denied".into())),
    ]
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop::sample::select(vec![
        Verdict::Pass,
        Verdict::Fail,
        Verdict::NotApplicable,
        Verdict::Unknown("not root".into()),
    ])
}

fn finding() -> impl Strategy<Value = Finding> {
    let path = prop::sample::select(vec!["/usr/bin/ls", "/srv/x", "/usr/bin/wardwatch-agent"]);
    prop_oneof![
        4 => (path, sighting(), sighting()).prop_map(|(path, old, new)| file(path, old, new)),
        2 => (prop::option::of(verdict()), verdict()).prop_map(|(old, new)| check(old, new)),
        1 => (0i64..3).prop_map(silent),
        1 => Just(Finding::Heard),
        1 => Just(Finding::IdentityCloned),
        1 => (1u64..3).prop_map(|seq| Finding::Fork { seq }),
    ]
}

proptest! {
    #[test]
    fn any_findings_leave_one_open_alert_a_fingerprint_and_a_log_that_replays(
        findings in prop::collection::vec((prop::sample::select(vec!["pc-1", "pc-2"]), finding()), 0..40)
    ) {
        let mut watch = Watch::default();
        for (endpoint, finding) in &findings {
            watch.find(endpoint, finding);
            prop_assert_eq!(watch.find(endpoint, finding), [], "a finding changes something once only");
        }
        for alert in &watch.alerts {
            let scope = |other: &&Alert| {
                !other.is_closed()
                    && other.fingerprint == alert.fingerprint
                    && (other.endpoint == alert.endpoint || alert.fingerprint == "silence")
            };
            prop_assert!(watch.alerts.iter().filter(scope).count() <= 1);
            prop_assert_eq!(&Alert::replay(alert.id, &watch.log).unwrap(), &Some(alert.clone()));
            let text = serde_json::to_string(alert).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Alert>(&text).unwrap(), alert);
        }
        let stored: Vec<_> = watch.log.iter().map(LogEntry::to_stored).collect();
        prop_assert!(chain::verify(&stored, Vec::new()).is_ok());
        for (entry, written) in stored.into_iter().zip(&watch.log) {
            prop_assert_eq!(&entry.decode().unwrap(), written);
        }
    }
}
