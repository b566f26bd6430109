use super::*;

const TEXT: &str = include_str!("../../procedures/nha-trang-2024.toml");

fn ids(steps: &[&str]) -> Vec<StepId> {
    steps.iter().map(|id| id.parse().unwrap()).collect()
}

fn step(id: &str) -> &'static Step {
    city().step(&id.parse().unwrap()).unwrap()
}

#[test]
fn every_shipped_procedure_reads() {
    assert_eq!(all_shipped().len(), 1);
    assert_eq!(shipped(&"nha-trang-2024".parse().unwrap()), Some(city()));
}

#[test]
fn the_annex_has_its_twelve_steps_in_four_phases() {
    let steps: Vec<_> = city().steps().map(|step| step.id.clone()).collect();
    let expected =
        ["I.1", "I.2", "I.3", "I.4", "I.5", "I.6", "II.1", "III.1", "III.2", "III.3", "III.4", "IV.1"];
    assert_eq!(steps, ids(&expected));
    assert_eq!(city().phases.len(), 4);
}

#[test]
fn every_step_has_words_in_both_languages_and_someone_who_leads_and_supports() {
    for step in city().steps() {
        for text in [&step.name, &step.content, &step.must_leave] {
            assert!(text.is_complete(), "{}", step.id);
        }
        for responsible in [&step.lead, &step.support] {
            assert!(!responsible.parties.is_empty() && !responsible.words_vi.is_empty(), "{}", step.id);
            assert!(!city().responsible_names(responsible, Language::En).is_empty(), "{}", step.id);
        }
    }
}

/// A digest over the annex's words, so that no later hand corrects them in passing.
#[test]
fn the_annexs_words_stand_as_they_were_issued() {
    let mut words = String::new();
    for phase in &city().phases {
        for step in &phase.steps {
            let parts = [
                step.id.as_str(),
                &phase.name.vi,
                &step.name.vi,
                &step.content.vi,
                &step.lead.words_vi,
                &step.support.words_vi,
            ];
            for part in parts {
                words.push_str(part);
                words.push('\n');
            }
        }
    }
    assert_eq!(
        crate::digest::Digest::of(words.as_bytes()).to_string(),
        "04612ff8b536809b7ba0b9362fbd6d36534229971f9f6ef62019e95278e13faa"
    );
    assert!(step("IV.1").content.vi.contains("Ban Chỉ đạo chuyên đổi số tỉnh Khánh Hòa"));
}

#[test]
fn the_plans_rules_are_held_by_the_data() {
    assert_eq!(step("I.4").only_if, Some(Condition::Serious));
    assert_eq!(
        step("III.3").examination.as_ref().unwrap().reopens,
        ids(&["II.1", "III.1", "III.2", "III.3"])
    );
    for waiting in ["III.4", "IV.1"] {
        assert_eq!(step(waiting).waits_for, Some("III.3".parse().unwrap()));
    }
    assert!(step("IV.1").closes && step("I.5").never_blocked);
    assert_eq!(step("I.5").advised_after, ids(&["I.2"]));
}

#[test]
fn the_operating_unit_acts_where_the_column_names_the_office() {
    for id in ["III.1", "III.2"] {
        assert_eq!(step(id).lead.words_vi, "Văn phòng HĐND và UBND");
        assert_eq!(step(id).actors, [PartyId("ĐV".into())]);
    }
}

fn defect(from: &str, to: &str) -> String {
    assert!(TEXT.contains(from), "{from}");
    Procedure::parse("p.toml", &TEXT.replacen(from, to, 1)).unwrap_err().to_string()
}

#[test]
fn a_fault_names_file_line_column_and_remedy() {
    let faults = [
        defect("lead = [\"VP\", \"VHTT\", \"K\"]", "lead = [\"VP\", \"XY\"]"),
        defect("must_leave.en = \"A log of the measures taken\"", "must_leave.en = \"\""),
        defect("\nwaits_for = \"III.3\"", "\nwaits_for = \"III.2\""),
        defect("\nadvised_after = [\"I.2\"]", "\nadvised_after = [\"IV.1\"]"),
        defect("\ncloses = true", "\ncloses = false"),
        defect("\nonly_if = \"serious\"", "\nonly_if = \"rainy\""),
        defect("id = \"I.2\"", "id = \"II.2\""),
        defect("\nnever_blocked = true", "\nnever_blockd = true"),
        defect("[parties]", "[parties"),
    ];
    insta::assert_snapshot!(faults.join("\n"));
}
