//! Patterns of the policy language, valid by construction: regular expressions over lines, and names with `*`.
//! Neighbour: [`path`], whose names these are.

pub mod path;

use std::fmt;

use regex_lite::{Regex, RegexBuilder};

/// A regular expression that is tried on one line or one value. It was compiled once to see that it is valid and
/// small; it is kept as text, since a policy has dozens and an agent has little memory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinePattern(String);

/// A [`LinePattern`] ready for use.
pub struct LineMatcher(Regex);

impl LinePattern {
    /// The longest expression that is accepted, in bytes.
    pub const MAX_BYTES: usize = 1024;
    /// The largest compiled form that is accepted, in bytes.
    const MAX_COMPILED_BYTES: usize = 256 * 1024;

    /// # Errors
    /// The expression is too long, not valid, or too large when compiled; the message says which.
    pub fn parse(text: &str) -> Result<Self, InvalidPattern> {
        if text.len() > Self::MAX_BYTES {
            return Err(InvalidPattern(format!(
                "it has {} bytes; at most {} are accepted",
                text.len(),
                Self::MAX_BYTES
            )));
        }
        let pattern = Self(text.to_owned());
        pattern.matcher()?;
        Ok(pattern)
    }

    /// Compiles the expression. Classes such as `\w` and `\s`, and case, are those of ASCII.
    ///
    /// # Errors
    /// None for a pattern that was parsed by the same version of this crate.
    pub fn matcher(&self) -> Result<LineMatcher, InvalidPattern> {
        RegexBuilder::new(&self.0)
            .size_limit(Self::MAX_COMPILED_BYTES)
            .nest_limit(32)
            .build()
            .map(LineMatcher)
            .map_err(|error| InvalidPattern(error.to_string()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl LineMatcher {
    #[must_use]
    pub fn is_match(&self, line: &str) -> bool {
        self.0.is_match(line)
    }
}

/// The text is not a usable regular expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPattern(String);

impl fmt::Debug for LinePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.as_str())
    }
}

/// Whether `name` matches `pattern`, in which `*` stands for any bytes. As in a shell, a leading dot is only
/// matched by a dot.
#[must_use]
pub fn name_matches(pattern: &str, name: &[u8]) -> bool {
    let pattern = pattern.as_bytes();
    if name.first() == Some(&b'.') && pattern.first() != Some(&b'.') {
        return false;
    }
    // Linear backtracking to the last star: a star that matched too little takes one byte more.
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                p += 1;
                retry = Some((p, n));
            }
            Some(byte) if *byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match retry {
                Some((after_star, taken)) => {
                    retry = Some((after_star, taken + 1));
                    p = after_star;
                    n = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters_within_one_name() {
        for (pattern, name) in
            [("*.conf", "a.conf"), ("ssh_host_*_key", "ssh_host_rsa_key"), ("*", "x"), ("a*b*c", "aXbYbc")]
        {
            assert!(name_matches(pattern, name.as_bytes()), "{pattern} {name}");
        }
        for (pattern, name) in
            [("*.conf", "a.conf.bak"), ("*", ".hidden"), ("a", "ab"), ("a*b", "a"), ("", "a")]
        {
            assert!(!name_matches(pattern, name.as_bytes()), "{pattern} {name}");
        }
    }

    #[test]
    fn an_expression_that_grows_without_bound_is_refused() {
        let error = LinePattern::parse(r"(\w{500}){500}").unwrap_err();
        assert!(error.to_string().contains("size limit"), "{error}");
        assert!(LinePattern::parse(&"a".repeat(1025)).is_err());
        assert!(LinePattern::parse("(").is_err());
    }
}
