//! Keys of configuration files, with the files that `Include` names.

use wardwatch_policies::keyfile::{Entry, entries};
use wardwatch_policies::observation::{KeyFormat, KeySeen, KeySource, KeyValue, Unreadable};
use wardwatch_policies::path::EndpointPath;
use wardwatch_policies::policy::pattern::path::PathPattern;

use super::place::Place;

/// How deep files may include each other; OpenSSH allows 16.
const MAX_DEPTH: usize = 16;
/// How many files one key may be looked for in.
const MAX_FILES: usize = 500;

pub(super) fn key(place: &Place, source: &KeySource) -> Result<KeySeen, Unreadable> {
    let mut search = Search { place, source, files: Vec::new(), value: None };
    for pattern in &source.paths {
        search.pattern(pattern, 0)?;
    }
    Ok(KeySeen { files: search.files, value: search.value })
}

struct Search<'a> {
    place: &'a Place,
    source: &'a KeySource,
    files: Vec<EndpointPath>,
    value: Option<KeyValue>,
}

impl Search<'_> {
    fn pattern(&mut self, pattern: &PathPattern, depth: usize) -> Result<(), Unreadable> {
        for path in self.place.expand(pattern)? {
            self.file(path, depth)?;
        }
        Ok(())
    }

    fn file(&mut self, path: EndpointPath, depth: usize) -> Result<(), Unreadable> {
        let Some(text) = self.place.text(path.as_bytes())? else { return Ok(()) };
        if depth > MAX_DEPTH || self.files.len() >= MAX_FILES {
            return Err(Unreadable(format!("{path} is included too deep, or with too many other files")));
        }
        self.files.push(path.clone());
        let (format, section) = (self.source.format, self.source.section.as_deref());
        for entry in entries(format, &text) {
            let is_asked_for = entry.is(format, section, &self.source.key);
            match entry {
                Entry::Include { pattern } => self.include(&pattern, depth)?,
                Entry::Value { value, line, .. } if is_asked_for => {
                    // In a server's configuration the first value counts, elsewhere the last.
                    if format != KeyFormat::Sshd || self.value.is_none() {
                        self.value = Some(KeyValue { value, path: path.clone(), line });
                    }
                }
                Entry::Value { .. } => {}
            }
        }
        Ok(())
    }

    fn include(&mut self, pattern: &str, depth: usize) -> Result<(), Unreadable> {
        let absolute =
            if pattern.starts_with('/') { pattern.to_owned() } else { format!("/etc/ssh/{pattern}") };
        let pattern = PathPattern::parse(&absolute)
            .map_err(|error| Unreadable(format!("`Include {pattern}` cannot be followed: {error}")))?;
        if pattern.as_str().contains(['?', '[']) {
            return Err(Unreadable(format!(
                "`Include {}` has a pattern that is not understood",
                pattern.as_str()
            )));
        }
        self.pattern(&pattern, depth + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look_for(key: &str, files: &[(&str, &str)]) -> Result<Option<(String, String)>, Unreadable> {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let source = KeySource {
            paths: vec![PathPattern::parse("/etc/ssh/sshd_config").unwrap()],
            format: KeyFormat::Sshd,
            section: None,
            key: key.to_owned(),
        };
        let seen = super::key(&Place::open(folder.path()).unwrap(), &source)?;
        Ok(seen.value.map(|value| (value.value, value.path.to_string())))
    }

    #[test]
    fn an_included_value_counts_at_the_place_of_its_include() {
        let main =
            ("etc/ssh/sshd_config", "Port 22\nInclude sshd_config.d/*.conf\nMaxAuthTries 6\nPort 24\n");
        let included =
            ("etc/ssh/sshd_config.d/a.conf", "Port 23\nMaxAuthTries 3\nMatch User a\nUseDNS yes\n");
        let found = |key: &str| look_for(key, &[main, included]).unwrap();
        assert_eq!(found("maxauthtries"), Some(("3".into(), "/etc/ssh/sshd_config.d/a.conf".into())));
        assert_eq!(found("Port"), Some(("22".into(), "/etc/ssh/sshd_config".into())));
        assert_eq!(found("UseDNS"), None);
    }

    #[test]
    fn files_that_include_each_other_are_unreadable_not_endless() {
        let reason = look_for("Port", &[("etc/ssh/sshd_config", "Include sshd_config\n")]).unwrap_err();
        assert!(reason.0.contains("too deep"), "{reason}");
    }

    #[test]
    fn an_include_that_is_not_understood_is_unreadable_not_skipped() {
        let reason = look_for("Port", &[("etc/ssh/sshd_config", "Include conf.d/[ab].conf\n")]).unwrap_err();
        assert!(reason.0.contains("not understood"), "{reason}");
    }
}
