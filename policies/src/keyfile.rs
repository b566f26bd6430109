//! Finds keys in the text of configuration files, in the formats of [`KeyFormat`]. Reading the files, and
//! following `Include`, is the sensor's work.

use crate::observation::KeyFormat;

/// One setting of a file, or a pointer to further files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Value {
        section: Option<String>,
        key: String,
        value: String,
        /// Counted from 1.
        line: usize,
    },
    /// Files to be read at this place, as OpenSSH writes them; relative ones are meant below `/etc/ssh`.
    Include { pattern: String },
}

impl Entry {
    /// Whether this is the value that is asked for.
    #[must_use]
    pub fn is(&self, format: KeyFormat, section: Option<&str>, key: &str) -> bool {
        match self {
            Self::Include { .. } => false,
            Self::Value { section: found_section, key: found, .. } => {
                let same =
                    if format == KeyFormat::Sshd { found.eq_ignore_ascii_case(key) } else { found == key };
                same && found_section.as_deref() == section
            }
        }
    }
}

/// The settings of a file in their order. What is no setting is passed over, as the programs do.
#[must_use]
pub fn entries(format: KeyFormat, text: &str) -> Vec<Entry> {
    match format {
        KeyFormat::Ini => ini(text),
        KeyFormat::Shell => plain(text, |line| shell_pair(line)),
        KeyFormat::Words => plain(text, |line| words_pair(line, false)),
        KeyFormat::Sshd => sshd(text),
    }
}

fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()))
}

fn ini(text: &str) -> Vec<Entry> {
    let mut section = None;
    let mut entries = Vec::new();
    for (number, line) in lines(text) {
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = Some(name.trim().to_owned());
        } else if let Some((key, value)) = line.split_once('=') {
            entries.push(Entry::Value {
                section: section.clone(),
                key: key.trim().to_owned(),
                value: value.trim().to_owned(),
                line: number,
            });
        }
    }
    entries
}

fn plain<'t>(text: &'t str, pair: impl Fn(&'t str) -> Option<(&'t str, String)>) -> Vec<Entry> {
    lines(text)
        .filter(|(_, line)| !line.starts_with('#'))
        .filter_map(|(number, line)| {
            let (key, value) = pair(line)?;
            Some(Entry::Value { section: None, key: key.to_owned(), value, line: number })
        })
        .collect()
}

fn shell_pair(line: &str) -> Option<(&str, String)> {
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (key, rest) = line.split_once('=')?;
    let is_name = |key: &str| !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let value = match rest.as_bytes().first() {
        Some(quote @ (b'"' | b'\'')) => rest[1..].split(*quote as char).next().unwrap_or_default(),
        _ => rest.split_whitespace().next().unwrap_or_default(),
    };
    is_name(key).then(|| (key, value.to_owned()))
}

/// `key value`, `key = value` or `key=value`; a `#` after white space begins a comment.
fn words_pair(line: &str, sshd: bool) -> Option<(&str, String)> {
    let line = match line.find(" #").or_else(|| line.find("\t#")) {
        Some(comment) => line[..comment].trim_end(),
        None => line,
    };
    let end = line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len());
    let (key, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let value = rest.strip_prefix('=').unwrap_or(rest).trim();
    let value = if sshd { value.trim_matches('"') } else { value };
    (!key.is_empty()).then(|| (key, value.to_owned()))
}

/// Reads as far as the first `Match`: what follows holds for some connections only.
fn sshd(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (number, line) in lines(text) {
        if line.starts_with('#') {
            continue;
        }
        let Some((key, value)) = words_pair(line, true) else { continue };
        if key.eq_ignore_ascii_case("match") {
            break;
        }
        if key.eq_ignore_ascii_case("include") {
            entries.extend(
                value
                    .split_whitespace()
                    .map(|pattern| Entry::Include { pattern: pattern.trim_matches('"').into() }),
            );
        } else {
            entries.push(Entry::Value { section: None, key: key.to_owned(), value, line: number });
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(format: KeyFormat, section: Option<&str>, key: &str, text: &str) -> Vec<(String, usize)> {
        entries(format, text)
            .into_iter()
            .filter(|entry| entry.is(format, section, key))
            .filter_map(|entry| match entry {
                Entry::Value { value, line, .. } => Some((value, line)),
                Entry::Include { .. } => None,
            })
            .collect()
    }

    #[test]
    fn ini_keys_belong_to_their_section() {
        let text = "minlen = 14\n[Journal]\n# Storage=none\nStorage=persistent\n[Other]\nStorage=none\n";
        assert_eq!(value(KeyFormat::Ini, Some("Journal"), "Storage", text), [("persistent".into(), 4)]);
        assert_eq!(value(KeyFormat::Ini, None, "minlen", text), [("14".into(), 1)]);
    }

    #[test]
    fn shell_values_lose_their_quotes_and_comments() {
        let text = "export A=\"x y\" # note\nA='z'\nA=w # note\n#A=v\n";
        let values: Vec<_> =
            value(KeyFormat::Shell, None, "A", text).into_iter().map(|(value, _)| value).collect();
        assert_eq!(values, ["x y", "z", "w"]);
    }

    #[test]
    fn sshd_keys_ignore_case_and_end_at_match() {
        let text =
            "Include /etc/ssh/sshd_config.d/*.conf\npermitrootlogin=no\nMatch User a\nPermitRootLogin yes\n";
        assert_eq!(value(KeyFormat::Sshd, None, "PermitRootLogin", text), [("no".into(), 2)]);
        assert_eq!(
            entries(KeyFormat::Sshd, text)[0],
            Entry::Include { pattern: "/etc/ssh/sshd_config.d/*.conf".into() }
        );
    }

    #[test]
    fn words_end_at_a_comment() {
        let text = "PASS_MAX_DAYS\t365 # days\nUMASK 027\n";
        assert_eq!(value(KeyFormat::Words, None, "PASS_MAX_DAYS", text), [("365".into(), 1)]);
    }
}
