//! Recognises secrets in settings, so that evidence never shows them.

use std::sync::LazyLock;

use regex_lite::{Captures, Regex};

const HIDDEN: &str = "(hidden)";

/// Whether a key's value may be a secret.
#[must_use]
pub fn is_secret_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| key.contains(word));
    // `PASS_MAX_DAYS` and `PasswordAuthentication` are rules about passwords, not passwords.
    let is_rule = has(&["days", "authentication", "permit", "_min", "min_", "_max", "max_", "warn"]);
    !is_rule
        && has(&["pass", "pwd", "secret", "token", "psk", "community", "private", "credential", "apikey"])
}

/// The line with everything that looks like a secret hidden: what follows a word for one, password hashes, and
/// passwords within addresses.
#[must_use]
pub fn masked(line: &str) -> String {
    static ASSIGNED: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r#"(?i)((?:pass(?:word|wd|phrase)?|pwd|secret|psk|token|api_?key)["']?\s*[=:]\s*|\b(?:password|passwd|passphrase|secret)\s+|\br[ow](?:community6?|user)\s+)(\S.*)"#).ok()
    });
    static HASH: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\$[0-9a-z]{1,3}\$\S+").ok());
    static ADDRESS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(://[^/\s:@]*:)[^@\s]+@").ok());
    let (Some(assigned), Some(hash), Some(address)) = (&*ASSIGNED, &*HASH, &*ADDRESS) else {
        return HIDDEN.into();
    };
    let line = hash.replace_all(line, HIDDEN);
    let line = address.replace_all(&line, format!("${{1}}{HIDDEN}@"));
    let line = assigned.replace(&line, |found: &Captures<'_>| {
        if is_pam_control(&found[2]) { found[0].to_owned() } else { format!("{}{HIDDEN}", &found[1]) }
    });
    line.into_owned()
}

/// In `/etc/pam.d`, `password` names a stack and is followed by one of these.
fn is_pam_control(text: &str) -> bool {
    ["required", "requisite", "sufficient", "optional", "include", "substack", "["]
        .iter()
        .any(|control| text.starts_with(control))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_word_for_a_secret_is_hidden() {
        for (line, shown) in [
            ("wpa_passphrase=12345678", "wpa_passphrase=(hidden)"),
            ("  \"password\": \"x y\"", "  \"password\": (hidden)"),
            ("rocommunity public default", "rocommunity (hidden)"),
            ("root:$1$ab$cdefg:0:0", "root:(hidden)"),
            ("url http://admin:12345@10.0.0.1/", "url http://admin:(hidden)@10.0.0.1/"),
            ("enable password cisco", "enable password (hidden)"),
        ] {
            assert_eq!(masked(line), shown);
        }
    }

    #[test]
    fn rules_about_passwords_stay_readable() {
        for line in [
            "password [success=1 default=ignore] pam_unix.so yescrypt",
            "password required pam_pwquality.so retry=3",
            "PasswordAuthentication no",
            "APT::Periodic::Unattended-Upgrade \"1\";",
        ] {
            assert_eq!(masked(line), line);
        }
        assert!(is_secret_key("WIFI_PSK") && is_secret_key("adminPassword"));
        assert!(!is_secret_key("PASS_MAX_DAYS") && !is_secret_key("PasswordAuthentication"));
    }
}
