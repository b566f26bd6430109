//! What an agent writes, in the page's language.
//!
//! Evidence and reasons are part of the signed report, so they are kept and sent in the agent's English. Only its
//! fixed phrases are put into Vietnamese here; values, paths and what no line of the table fits stay as they came.

use std::sync::LazyLock;

use wardwatch_policies::text::Language;
use wardwatch_policies::verdict::Evidence;

static PHRASES: LazyLock<Vec<Phrase>> = LazyLock::new(|| parse(include_str!("../../locales/phrases.vi.txt")));
/// Stands for a part in the table.
const PART: &str = "{}";
/// An agent cuts its texts about here; a longer one is none of its phrases.
const MAX_BYTES: usize = 400;

struct Phrase {
    /// What stands around the parts.
    english: Vec<&'static str>,
    vietnamese: Vec<&'static str>,
    place: Place,
}

/// Where a phrase is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In all evidence.
    Evidence,
    /// In evidence of a service, a package or a process.
    Parts,
    /// In a text that says nothing but this.
    Sentence,
}

/// # Panics
/// A line is no pair, or its sides have different parts; the tests read all lines.
fn parse(table: &'static str) -> Vec<Phrase> {
    let mut place = Place::Evidence;
    let mut phrases = Vec::new();
    for line in table.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line {
            "[all]" => place = Place::Evidence,
            "[parts]" => place = Place::Parts,
            "[sentences]" => place = Place::Sentence,
            _ => {
                let (english, vietnamese) = line.split_once(" = ").expect("a line is a pair");
                let sides = [english, vietnamese].map(|side| side.split(PART).collect::<Vec<_>>());
                let [english, vietnamese] = sides;
                assert_eq!(english.len(), vietnamese.len(), "{line}");
                phrases.push(Phrase { english, vietnamese, place });
            }
        }
    }
    phrases
}

/// The evidence as a person reads it.
pub(super) fn evidence(language: Language, evidence: &Evidence) -> Evidence {
    if language == Language::En {
        return evidence.clone();
    }
    let is_part = ["service ", "package ", "process "].iter().any(|kind| evidence.subject.starts_with(kind));
    let places: &[Place] = if is_part { &[Place::Evidence, Place::Parts] } else { &[Place::Evidence] };
    let say = |text: &str| if is_value_at_line(text) { text.to_owned() } else { said(text, places) };
    Evidence {
        subject: say(&evidence.subject),
        expected: say(&evidence.expected),
        found: say(&evidence.found),
    }
}

/// A reason or a limit as a person reads it.
pub(super) fn sentence(language: Language, text: &str) -> String {
    if language == Language::En { text.to_owned() } else { said(text, &[Place::Sentence]) }
}

/// A setting's value is followed by its file and line, as in `yes (/etc/ssh/sshd_config:3)`.
fn is_value_at_line(text: &str) -> bool {
    let place = text.strip_suffix(')').and_then(|text| text.rsplit_once(':'));
    place.is_some_and(|(_, line)| line.parse::<u32>().is_ok())
}

fn said(text: &str, places: &[Place]) -> String {
    let fits = PHRASES
        .iter()
        .filter(|phrase| text.len() <= MAX_BYTES && places.contains(&phrase.place))
        .find_map(|phrase| Some((phrase, parts(&phrase.english, text)?)));
    let Some((phrase, parts)) = fits else { return text.to_owned() };
    let mut around = phrase.vietnamese.iter();
    let mut whole = around.next().map_or_else(String::new, |&begin| begin.to_owned());
    for (part, after) in parts.iter().zip(around) {
        whole.push_str(&said(part, places));
        whole.push_str(after);
    }
    whole
}

/// The parts of a text between the pieces of a phrase, none of them empty.
fn parts<'t>(pieces: &[&str], text: &'t str) -> Option<Vec<&'t str>> {
    let (first, rest) = pieces.split_first()?;
    let mut left = text.strip_prefix(first)?;
    let Some((last, between)) = rest.split_last() else { return left.is_empty().then(Vec::new) };
    left = left.strip_suffix(last)?;
    let mut parts = Vec::new();
    for piece in between {
        let (part, after) = left.split_once(piece)?;
        parts.push(part);
        left = after;
    }
    parts.push(left);
    parts.iter().all(|part| !part.is_empty()).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vietnamese(subject: &str, expected: &str, found: &str) -> [String; 3] {
        let english = Evidence { subject: subject.into(), expected: expected.into(), found: found.into() };
        assert_eq!(evidence(Language::En, &english), english);
        let said = evidence(Language::Vi, &english);
        [said.subject, said.expected, said.found]
    }

    #[test]
    fn what_windows_checks_find_is_said_in_vietnamese() {
        assert_eq!(
            vietnamese(r"HKLM\Lsa: RunAsPPL", "one of 1, 2 (dword)", "not set; the default is 0"),
            [r"HKLM\Lsa: RunAsPPL", "một trong 1, 2 (dword)", "chưa đặt; mặc định là 0"]
        );
        assert_eq!(
            vietnamese(
                r"HKU\*\Desktop: SCRNSAVE.EXE",
                "at most 900 (string)",
                "in none of 2 keys (S-1-5-21)"
            ),
            [
                r"HKU\*\Desktop: SCRNSAVE.EXE",
                "nhiều nhất 900 (string)",
                "không có trong cả 2 khóa (S-1-5-21)"
            ]
        );
        assert_eq!(
            vietnamese("service Spooler", "masked", "disabled (start type manual)"),
            ["dịch vụ Spooler", "bị khóa", "không tự khởi động (kiểu khởi động manual)"]
        );
        assert_eq!(
            vietnamese("service upnphost", "not active", "not installed, not active"),
            ["dịch vụ upnphost", "không chạy", "chưa cài, không chạy"]
        );
        assert_eq!(
            vietnamese(
                r"HKLM\Word\InstallRoot",
                "present",
                "no such key (64-bit view), no such key (32-bit view)"
            ),
            [
                r"HKLM\Word\InstallRoot",
                "có",
                "không có khóa này (vùng 64 bit), không có khóa này (vùng 32 bit)"
            ]
        );
    }

    #[test]
    fn what_linux_checks_find_is_said_in_vietnamese() {
        assert_eq!(
            vietnamese("port 23/tcp", "not listening beyond loopback", "listening on tcp 0.0.0.0"),
            ["cổng 23/tcp", "không mở ra ngoài máy", "đang mở tại tcp 0.0.0.0"]
        );
        assert_eq!(
            vietnamese(
                "accounts",
                "no account without a password",
                "without a password: an, binh and 3 more"
            ),
            [
                "tài khoản",
                "không tài khoản nào để trống mật khẩu",
                "để trống mật khẩu: an, binh và 3 mục khác"
            ]
        );
        assert_eq!(
            vietnamese("/etc/shadow", "owned by uid 0, group shadow", "uid 0, group 1000"),
            ["/etc/shadow", "thuộc uid 0, nhóm shadow", "uid 0, nhóm 1000"]
        );
    }

    #[test]
    fn reasons_and_limits_are_said_as_sentences_and_foreign_ones_stay() {
        let reason = "none of 3 attempts showed it healthy; the last: it ended with exit status: 1";
        assert_eq!(
            sentence(Language::Vi, reason),
            "cả 3 lần thử đều không hoạt động ổn định; lần cuối: chương trình kết thúc với mã lỗi 1"
        );
        assert_eq!(sentence(Language::En, reason), reason);
        assert_eq!(sentence(Language::Vi, "not found, not read"), "not found, not read");
        let reason = "the program cannot be written down: /var/lib/a.part cannot be written: No space left on device (os \
                      error 28); check the folder's owner, the free space, and that the disk is not read-only";
        assert_eq!(
            sentence(Language::Vi, reason),
            "không ghi được chương trình xuống đĩa: không ghi được /var/lib/a.part: ổ đĩa đã đầy; hãy kiểm tra chủ sở hữu \
             thư mục, dung lượng trống và ổ đĩa có bị đặt chỉ đọc không"
        );
    }

    #[test]
    fn values_of_settings_and_foreign_words_stay_as_they_came() {
        for found in ["not set (/etc/ssh/sshd_config:3)", "enabled", "/etc/passwd:1: root, không rõ", ""] {
            assert_eq!(vietnamese("/etc/ssh/sshd_config: PermitRootLogin", "no", found)[2], found);
        }
        let long = "not ".repeat(1000);
        assert_eq!(vietnamese("accounts", "no", &long)[2], long);
    }
}
