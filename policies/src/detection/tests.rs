use super::*;
use crate::digest::Digest;
use crate::file::{FileKind, FileState, Sighting};
use crate::finding::StreamReason;
use crate::release::UpgradeOutcome;
use crate::time::UnixMillis;
use crate::verdict::Verdict;

const TEXT: &str = include_str!("../../detections/city.toml");

fn present(content: &str, kind: FileKind, mode: u32) -> Sighting {
    Sighting::Present(FileState {
        digest: Digest::of(content.as_bytes()),
        size: content.len() as u64,
        kind,
        mode: Some(mode),
        owner: Some((0, 0)),
    })
}

fn elf(content: &str) -> Sighting {
    present(content, FileKind::Elf, 0o755)
}

fn file(path: &str, old: Sighting, new: Sighting) -> Finding {
    Finding::File { path: path.parse().unwrap(), old, new }
}

fn check(old: Option<Verdict>, new: Verdict) -> Finding {
    Finding::Check {
        policy: "office-pc-linux".parse().unwrap(),
        check: "ssh-root-login".parse().unwrap(),
        old,
        new,
        evidence: Vec::new(),
    }
}

fn rule_for(finding: &Finding) -> Option<&'static Rule> {
    city().matching(Subject { finding, kind: EndpointKind::OfficePc, check_severity: None })
}

fn id_for(finding: &Finding) -> Option<&'static str> {
    rule_for(finding).map(|rule| rule.id.as_str())
}

#[test]
fn every_shipped_rule_speaks_both_languages() {
    for rule in &city().rules {
        for text in [&rule.title, &rule.why, &rule.first] {
            assert!(text.is_complete(), "{}", rule.id);
        }
    }
}

#[test]
fn an_overwritten_system_executable_is_an_incident() {
    for path in [
        "/usr/bin/ls",
        "/opt/nvr/bin/recorder",
        "/usr/lib/x86_64-linux-gnu/libc.so.6",
        r"C:\WINDOWS\system32\lsass.exe",
    ] {
        let rule = rule_for(&file(path, elf("a"), elf("b"))).unwrap();
        assert_eq!(rule.id.as_str(), "system-executable-changed", "{path}");
        assert_eq!(rule.group().map(Group::as_str), Some("integrity"));
    }
}

#[test]
fn an_overwritten_executable_in_any_watched_folder_is_an_incident() {
    let rule = rule_for(&file("/srv/tools/backup", elf("a"), present("b", FileKind::Script, 0o755))).unwrap();
    assert_eq!(rule.id.as_str(), "executable-changed");
    assert!(rule.group().is_some());
}

#[test]
fn a_program_overwritten_by_something_else_still_counts_as_an_executable() {
    let changed = file("/usr/bin/ls", elf("a"), present("", FileKind::Other, 0o755));
    assert_eq!(id_for(&changed), Some("system-executable-changed"));
}

#[test]
fn a_set_id_file_is_critical_however_it_came_about() {
    let set_id = |content| present(content, FileKind::Elf, 0o4755);
    for finding in [
        file("/usr/bin/sudo", set_id("a"), set_id("b")),
        file("/usr/bin/ls", elf("a"), set_id("a")),
        file("/home/lan/x", Sighting::Absent, set_id("a")),
    ] {
        assert_eq!(id_for(&finding), Some("set-id-changed"));
    }
}

#[test]
fn the_agents_own_file_comes_before_all_other_rules() {
    for new in [elf("b"), Sighting::Absent] {
        let finding = file("/usr/local/bin/wardwatch-agent", elf("a"), new);
        assert_eq!(id_for(&finding), Some("agent-file-changed"));
    }
}

#[test]
fn new_removed_and_unreadable_executables_raise_alerts_only() {
    let unreadable = || Sighting::Unreadable("permission denied".into());
    for (finding, expected) in [
        (file("/usr/bin/new", Sighting::Absent, elf("a")), "system-executable-appeared"),
        (file("/srv/new", Sighting::Absent, elf("a")), "executable-appeared"),
        (file("/usr/bin/ls", elf("a"), Sighting::Absent), "executable-removed"),
        (file("/usr/bin/ls", elf("a"), unreadable()), "executable-unreadable"),
        (file("/usr/bin/ls", unreadable(), elf("a")), "executable-readable-again"),
        (file("/usr/bin/ls", elf("a"), present("a", FileKind::Elf, 0o777)), "executable-rights-changed"),
    ] {
        let rule = rule_for(&finding).unwrap();
        assert_eq!(rule.id.as_str(), expected);
        assert!(rule.group().is_none(), "{expected}");
    }
}

#[test]
fn what_no_rule_matches_raises_nothing() {
    let first_start = Finding::StreamOpened { reason: StreamReason::FirstStart };
    let unreadable = || Sighting::Unreadable("permission denied".into());
    for finding in [
        first_start,
        file("/srv/notes.txt", Sighting::Absent, present("a", FileKind::Other, 0o644)),
        file("/srv/x", unreadable(), Sighting::Absent),
        check(None, Verdict::Unknown("not root".into())),
        check(Some(Verdict::Fail), Verdict::Unknown("not root".into())),
        check(Some(Verdict::Fail), Verdict::NotApplicable),
    ] {
        assert_eq!(id_for(&finding), None, "{finding:?}");
    }
}

#[test]
fn only_what_is_well_again_closes() {
    let closing: Vec<_> =
        city().rules.iter().filter(|rule| matches!(rule.then, Then::Close { .. })).collect();
    assert_eq!(
        closing.iter().map(|rule| rule.id.as_str()).collect::<Vec<_>>(),
        ["check-passed", "heard-again", "upgrade-healthy"]
    );
    assert_eq!(id_for(&check(Some(Verdict::Fail), Verdict::Pass)), Some("check-passed"));
    assert_eq!(id_for(&Finding::Heard), Some("heard-again"));
    assert_eq!(id_for(&upgrade(UpgradeOutcome::Healthy)), Some("upgrade-healthy"));
}

fn upgrade(outcome: UpgradeOutcome) -> Finding {
    Finding::Upgrade { version: "0.2.0".parse().ok(), outcome }
}

#[test]
fn an_upgrade_that_came_to_nothing_is_an_alert() {
    let reason = || "the probe failed".to_owned();
    let returned = upgrade(UpgradeOutcome::Returned { reason: reason() });
    assert_eq!(id_for(&returned), Some("upgrade-returned"));
    let refused = upgrade(UpgradeOutcome::Refused { reason: reason() });
    assert_eq!(id_for(&refused), Some("upgrade-refused"));
    assert_eq!(returned.fingerprint(), upgrade(UpgradeOutcome::Healthy).fingerprint());
    assert_ne!(refused.fingerprint(), returned.fingerprint(), "nothing that goes well ends it");
    for nothing_failed in [UpgradeOutcome::NotAllowed, UpgradeOutcome::Withdrawn] {
        assert_eq!(id_for(&upgrade(nothing_failed)), None);
    }
}

#[test]
fn a_failed_check_takes_the_severity_of_its_policy() {
    let rule = rule_for(&check(Some(Verdict::Pass), Verdict::Fail)).unwrap();
    let Then::Alert { severity, .. } = &rule.then else { panic!("a failed check raises an alert") };
    assert_eq!(severity.resolve(Some(Severity::Critical)), Severity::Critical);
    assert_eq!(severity.resolve(None), Severity::Medium);
}

#[test]
fn what_was_never_in_order_is_an_alert_only_where_it_is_grave() {
    let first = check(None, Verdict::Fail);
    let rule = |severity| {
        let subject =
            Subject { finding: &first, kind: EndpointKind::OfficePc, check_severity: Some(severity) };
        city().matching(subject).map(|rule| rule.id.as_str())
    };
    assert_eq!(rule(Severity::Medium), None);
    assert_eq!(rule(Severity::High), Some("check-failed-grave"));
    assert_eq!(id_for(&check(Some(Verdict::Pass), Verdict::Fail)), Some("check-failed"));
}

#[test]
fn copied_identities_and_forks_are_one_group_of_incidents() {
    let group = rule_for(&Finding::IdentityCloned).unwrap().group().unwrap();
    let rules: Vec<_> = city().rules_of_group(group).map(RuleId::as_str).collect();
    assert_eq!(rules, ["identity-cloned", "fork-refused"]);
}

#[test]
fn silence_is_one_alert_for_a_unit_and_weighs_by_the_kind_of_endpoint() {
    let finding = Finding::Silent { since: UnixMillis(0) };
    for (kind, expected) in
        [(EndpointKind::OfficePc, "office-pc-silent"), (EndpointKind::CameraRecorder, "recorder-silent")]
    {
        let rule = city().matching(Subject { finding: &finding, kind, check_severity: None }).unwrap();
        assert_eq!((rule.id.as_str(), rule.scope()), (expected, Scope::Unit));
    }
}

#[test]
fn the_first_matching_rule_wins() {
    let text = TEXT.replace("\"recorder-silent\"", "\"zz\"");
    let one = Detection::parse("d.toml", &text).unwrap();
    let subject = Subject {
        finding: &Finding::Silent { since: UnixMillis(0) },
        kind: EndpointKind::Server,
        check_severity: None,
    };
    assert_eq!(one.matching(subject).unwrap().id.as_str(), "zz");
}

mod silence {
    use super::*;

    const MINUTE: i64 = 60_000;
    const DAY: i64 = 24 * 60 * MINUTE;
    /// Monday, 2026-11-23 00:00 in Việt Nam (UTC+7).
    const MONDAY: UnixMillis = UnixMillis(1_795_366_800_000);

    fn at(day: i64, hour: i64) -> UnixMillis {
        MONDAY.plus(day * DAY + hour * 60 * MINUTE)
    }

    fn silent(kind: EndpointKind, last_seen: UnixMillis, now: UnixMillis) -> bool {
        is_silent(kind, last_seen, now, &city().silence)
    }

    #[test]
    fn recorders_and_servers_are_silent_after_a_quarter_of_an_hour_day_and_night() {
        for kind in [EndpointKind::CameraRecorder, EndpointKind::Server] {
            for day in 0..7 {
                assert!(!silent(kind, at(day, 3), at(day, 3).plus(15 * MINUTE)));
                assert!(silent(kind, at(day, 3), at(day, 3).plus(15 * MINUTE + 1)));
            }
        }
    }

    #[test]
    fn an_office_pc_is_silent_after_three_whole_working_days() {
        let monday_evening = at(0, 17);
        assert!(!silent(EndpointKind::OfficePc, monday_evening, at(4, 0).plus(-1)));
        assert!(silent(EndpointKind::OfficePc, monday_evening, at(4, 0)));
    }

    #[test]
    fn weekends_do_not_count_for_an_office_pc() {
        for last_seen in [at(4, 8), at(4, 23), at(5, 10), at(6, 23)] {
            assert!(!silent(EndpointKind::OfficePc, last_seen, at(10, 0).plus(-1)), "{last_seen:?}");
            assert!(silent(EndpointKind::OfficePc, last_seen, at(10, 0)), "{last_seen:?}");
        }
        assert!(
            !silent(EndpointKind::OfficePc, at(2, 8), at(6, 23)),
            "Wednesday to Sunday: two working days"
        );
    }

    #[test]
    fn days_begin_at_midnight_in_viet_nam() {
        let sunday_in_utc_but_monday_here = MONDAY.plus(60 * MINUTE);
        assert!(!silent(EndpointKind::OfficePc, sunday_in_utc_but_monday_here, at(3, 23)));
        assert!(silent(EndpointKind::OfficePc, MONDAY.plus(-1), at(3, 0)));
    }

    #[test]
    fn a_clock_set_back_is_no_silence() {
        for kind in EndpointKind::ALL {
            assert!(!silent(kind, at(0, 0), UnixMillis(0)));
            assert!(!silent(kind, at(0, 0), UnixMillis(i64::MIN)));
            assert!(silent(kind, UnixMillis(i64::MIN), at(0, 0)));
        }
    }
}

fn defect(from: &str, to: &str) -> String {
    assert!(TEXT.contains(from), "{from}");
    Detection::parse("d.toml", &TEXT.replacen(from, to, 1)).unwrap_err().to_string()
}

#[test]
fn a_fault_names_file_line_column_and_remedy() {
    let faults = [
        defect("\nid = \"set-id-changed\"", "\nid = \"agent-file-changed\""),
        defect("\nseverity = \"critical\"", "\nseverity = \"terrible\""),
        defect("\nseverity = \"critical\"\n", "\n"),
        defect("\ncloses = true", "\ncloses = true\nseverity = \"low\""),
        defect("\nserver = { minutes = 15 }", "\n"),
        defect("utc_offset_minutes = 420", "utc_offset_minutes = 25200"),
        defect("set_id = true", "setid = true"),
        defect("finding = \"fork\"", "finding = \"spoon\""),
        defect("title.en = \"An executable was removed\"", "title.en = \"\""),
    ];
    insta::assert_snapshot!(faults.join("\n"));
}
