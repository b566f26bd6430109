use super::*;
use proptest::prelude::*;

fn log(length: u64) -> Vec<StoredEntry> {
    let mut head = Head::EMPTY;
    let mut entries = Vec::new();
    for number in 0..length {
        let actor = Actor::User(format!("Lan {number}"));
        let entry =
            append(head, UnixMillis(1_000 + number as i64), actor, Change::TokenRevoked { token: number });
        head = entry.head();
        entries.push(entry.to_stored());
    }
    entries
}

fn head_of(entries: &[StoredEntry]) -> Head {
    verify(entries, Vec::new()).unwrap()
}

fn problem(entries: &[StoredEntry], witnesses: Vec<Head>) -> (u64, Problem) {
    let Broken { index, problem } = verify(entries, witnesses).unwrap_err();
    (index, problem)
}

#[test]
fn an_untouched_log_verifies_up_to_its_head() {
    let entries = log(5);
    assert_eq!(verify(&entries, vec![]), Ok(Head { length: 5, digest: entries[4].digest }));
    assert_eq!(verify(&[], vec![Head::EMPTY]), Ok(Head::EMPTY));
    assert_eq!(
        verify(&entries, vec![Head::EMPTY, head_of(&entries[..2]), head_of(&entries)]),
        Ok(head_of(&entries))
    );
}

#[test]
fn what_is_stored_decodes_to_what_was_appended() {
    let entry =
        append(Head::EMPTY, UnixMillis(7), Actor::LocalAdmin, Change::UserCreated { user: "lan".into() });
    assert_eq!(entry.to_stored().decode(), Ok(entry));
}

#[test]
fn a_text_that_cannot_be_read_names_its_entry() {
    let mut entry = log(1).remove(0);
    entry.change_text = "{}".into();
    assert_eq!(
        entry.decode().unwrap_err().to_string(),
        "entry 1 of the change log cannot be read: missing field `change` at line 1 column 2; run `audit verify`, \
         and look whether a newer version wrote it"
    );
}

#[test]
fn a_removed_doubled_or_swapped_entry_shows_where_it_stood() {
    let entries = log(4);
    let without = [&entries[..1], &entries[2..]].concat();
    assert_eq!(problem(&without, vec![]), (2, Problem::Order { found: 3 }));
    let doubled = [&entries[..2], &entries[1..]].concat();
    assert_eq!(problem(&doubled, vec![]), (3, Problem::Order { found: 2 }));
    let mut swapped = entries;
    swapped.swap(1, 2);
    assert_eq!(problem(&swapped, vec![]), (2, Problem::Order { found: 3 }));
}

#[test]
fn a_shortened_log_is_found_only_by_a_witness() {
    let entries = log(5);
    let witness = head_of(&entries);
    assert!(verify(&entries[..3], vec![]).is_ok());
    assert_eq!(problem(&entries[..3], vec![witness]), (4, Problem::Truncated { witnessed: 5 }));
    assert_eq!(problem(&[], vec![witness]), (1, Problem::Truncated { witnessed: 5 }));
}

#[test]
fn a_log_computed_anew_is_found_only_by_a_witness() {
    let witness = head_of(&log(3));
    let mut head = Head::EMPTY;
    let rewritten: Vec<_> = (0..5)
        .map(|token| {
            let entry = append(head, UnixMillis(0), Actor::Collector, Change::TokenRevoked { token });
            head = entry.head();
            entry.to_stored()
        })
        .collect();
    assert!(verify(&rewritten, vec![]).is_ok());
    assert_eq!(problem(&rewritten, vec![witness]), (3, Problem::Rewritten));
}

#[test]
fn a_checkpoint_is_of_one_head_and_one_key() {
    let (key, other) = (SigningKey::from_bytes(&[1; 32]), SigningKey::from_bytes(&[2; 32]));
    let head = head_of(&log(3));
    let checkpoint = Checkpoint::sign(head, &key);
    let signature = checkpoint.signature();
    assert_eq!(Checkpoint::verify(head, &signature, &key.verifying_key()), Ok(checkpoint));
    assert!(Checkpoint::verify(head, &signature, &other.verifying_key()).is_err());
    assert!(Checkpoint::verify(Head { length: 2, ..head }, &signature, &key.verifying_key()).is_err());
    assert!(Checkpoint::verify(head, &signature[..63], &key.verifying_key()).is_err());
}

proptest! {
    #[test]
    fn one_changed_byte_of_stored_text_breaks_the_chain(
        length in 1u64..12,
        entry in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        in_actor: bool,
        byte in 0x20u8..0x7f,
    ) {
        let mut entries = log(length);
        let number = entry.index(entries.len());
        let text = if in_actor { &mut entries[number].actor_text } else { &mut entries[number].change_text };
        let mut bytes = text.clone().into_bytes();
        let place = place.index(bytes.len());
        prop_assume!(bytes[place] != byte);
        bytes[place] = byte;
        *text = String::from_utf8(bytes).unwrap();
        prop_assert_eq!(problem(&entries, vec![]), (number as u64 + 1, Problem::Digest));
    }

    #[test]
    fn a_moved_boundary_between_actor_and_change_breaks_the_chain(by in 1usize..20) {
        let mut entries = log(1);
        let StoredEntry { actor_text, change_text, .. } = &mut entries[0];
        let moved = change_text.split_off(by.min(change_text.len()));
        actor_text.push_str(change_text);
        *change_text = moved;
        prop_assert_eq!(problem(&entries, vec![]), (1, Problem::Digest));
    }

    #[test]
    fn a_changed_time_or_digest_breaks_the_chain(entry in 0usize..4, by in 1i64..1_000_000) {
        let mut entries = log(4);
        entries[entry].at = entries[entry].at.plus(by);
        prop_assert_eq!(problem(&entries, vec![]), (entry as u64 + 1, Problem::Digest));
        let mut entries = log(4);
        entries[entry].digest = Digest::of(&by.to_be_bytes());
        prop_assert_eq!(problem(&entries, vec![]), (entry as u64 + 1, Problem::Digest));
    }
}
