//! Texts that others wrote, made fit to be kept and shown: bounded, and without signs that steer a terminal or
//! turn the direction of reading. What a text means is not looked at.

use std::borrow::Cow;

/// The text with such signs escaped, as in `\u{1b}`. Escaping again changes nothing.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    let steers = |c: char| c.is_control() || turns_direction(c);
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let escape = |c: char| if steers(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(escape).collect())
}

/// The escaped text, or its beginning with `…`: at most so many bytes, cut at a character.
#[must_use]
pub fn shorten_to_bytes(text: &str, most: usize) -> String {
    let text = escape(text);
    if text.len() <= most {
        return text.into_owned();
    }
    let cut = text.floor_char_boundary(most.saturating_sub('…'.len_utf8()));
    format!("{}…", &text[..cut])
}

/// The escaped text, or its beginning with `…`: at most so many characters.
#[must_use]
pub fn shorten_to_chars(text: &str, most: usize) -> String {
    let text = escape(text);
    if text.chars().nth(most).is_none() {
        return text.into_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Shown as it is, it would let `fdp.sh` be read as `hs.pdf`.
pub(crate) const fn turns_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_or_a_reader_stands_escaped() {
        assert_eq!(escape("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(escape("\u{202e}fdp"), "\\u{202e}fdp");
        assert_eq!(escape(&escape("a\u{1b}")), escape("a\u{1b}"));
    }

    #[test]
    fn a_long_text_is_cut_at_a_character_and_says_so() {
        assert_eq!(shorten_to_chars("ắắắ", 3), "ắắắ");
        assert_eq!(shorten_to_chars("ắắắắ", 3), "ắắ…");
        assert_eq!(shorten_to_bytes("ắắắ", 9), "ắắắ");
        assert_eq!(shorten_to_bytes("ắắắắ", 9), "ắắ…");
        assert_eq!(shorten_to_chars("\u{1b}\u{1b}", 7), "\\u{1b}…", "what is escaped counts as it is shown");
    }
}
