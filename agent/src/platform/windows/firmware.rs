//! Reads the firmware's table of system management facts (SMBIOS, DMTF DSP0134) for what names one machine.

/// The table begins after this, in `RawSMBIOSData`.
const HEADER_BYTES: usize = 8;
const SYSTEM: u8 = 1;
const BOARD: u8 = 2;
const END: u8 = 127;
/// A structure's type, length and handle.
const STRUCTURE_HEADER_BYTES: usize = 4;
const SERIAL_AT: usize = 7;
const UUID_AT: usize = 8;
const UUID_BYTES: usize = 16;

/// What the hardware says of itself, each by its name. What it does not say is left out.
pub(super) fn identities(table: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let mut said = Vec::new();
    let mut rest = table.get(HEADER_BYTES..).unwrap_or_default();
    while let [kind, length, ..] = *rest {
        let length = usize::from(length);
        if kind == END || length < STRUCTURE_HEADER_BYTES || rest.len() < length {
            break;
        }
        let (formatted, after) = rest.split_at(length);
        let (strings, next) = split_strings(after);
        let serial = || formatted.get(SERIAL_AT).and_then(|number| string(strings, *number));
        match kind {
            SYSTEM => {
                let uuid = formatted.get(UUID_AT..UUID_AT + UUID_BYTES);
                said.extend(uuid.filter(|uuid| is_set(uuid)).map(|uuid| ("product_uuid", uuid.to_vec())));
                said.extend(serial().map(|serial| ("product_serial", serial)));
            }
            BOARD => said.extend(serial().map(|serial| ("board_serial", serial))),
            _ => {}
        }
        rest = next;
    }
    said
}

/// The strings of a structure end with two zeros.
fn split_strings(after: &[u8]) -> (&[u8], &[u8]) {
    match after.windows(2).position(|pair| pair == [0, 0]) {
        Some(end) => (&after[..end], &after[end + 2..]),
        None => (after, &[]),
    }
}

/// Strings are numbered from 1; 0 means none.
fn string(strings: &[u8], number: u8) -> Option<Vec<u8>> {
    let text = strings.split(|byte| *byte == 0).nth(usize::from(number).checked_sub(1)?)?;
    text.iter().any(u8::is_ascii_alphanumeric).then(|| text.to_vec())
}

fn is_set(uuid: &[u8]) -> bool {
    !uuid.iter().all(|byte| *byte == 0) && !uuid.iter().all(|byte| *byte == 0xff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(structures: &[&[u8]]) -> Vec<u8> {
        [&[0; HEADER_BYTES], structures.concat().as_slice()].concat()
    }

    #[test]
    fn system_and_board_are_told_by_their_numbers() {
        let uuid = [7; UUID_BYTES];
        let system = [&[SYSTEM, 27, 0, 0, 1, 0, 0, 2][..], &uuid, &[0; 3], b"Maker\0S-123\0\0"].concat();
        let board = [&[BOARD, 8, 1, 0, 0, 0, 0, 1][..], b"B-9\0\0"].concat();
        let other = [&[4, 4, 2, 0][..], b"\0\0"].concat();
        assert_eq!(
            identities(&table(&[&other, &system, &board])),
            [
                ("product_uuid", uuid.to_vec()),
                ("product_serial", b"S-123".to_vec()),
                ("board_serial", b"B-9".to_vec())
            ]
        );
    }

    #[test]
    fn blank_serial_numbers_and_unset_ids_say_nothing() {
        let system = [&[SYSTEM, 27, 0, 0, 0, 0, 0, 1][..], &[0xff; UUID_BYTES], &[0; 3], b"   \0\0"].concat();
        assert_eq!(identities(&table(&[&system])), []);
    }

    proptest! {
        #[test]
        fn arbitrary_tables_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = identities(&bytes);
        }
    }
}
