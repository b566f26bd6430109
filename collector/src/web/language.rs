//! The page's two languages. All text stands in `collector/locales`; keys are the same in both.

use std::borrow::Cow;
use std::fmt::Display;
use std::sync::LazyLock;

use axum::http::HeaderMap;
use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use unic_langid::LanguageIdentifier;
use wardwatch_policies::text::Language;

/// The cookie that keeps the choice.
pub(super) const COOKIE: &str = "wardwatch_language";

type Bundle = FluentBundle<FluentResource>;

static VIETNAMESE: LazyLock<Bundle> = LazyLock::new(|| bundle("vi", VIETNAMESE_TEXT));
static ENGLISH: LazyLock<Bundle> = LazyLock::new(|| bundle("en", ENGLISH_TEXT));
const VIETNAMESE_TEXT: &str = include_str!("../../locales/vi.ftl");
const ENGLISH_TEXT: &str = include_str!("../../locales/en.ftl");

fn bundle(tag: &str, text: &str) -> Bundle {
    let tag: LanguageIdentifier = tag.parse().expect("the tag is one of the two above");
    let mut bundle = FluentBundle::new_concurrent(vec![tag]);
    // Isolation marks would stand inside input values and copied text; neither language mixes directions.
    bundle.set_use_isolating(false);
    let resource = FluentResource::try_new(text.to_owned())
        .unwrap_or_else(|(_, errors)| panic!("the shipped texts do not parse: {errors:?}"));
    bundle.add_resource(resource).unwrap_or_else(|errors| panic!("a text stands twice: {errors:?}"));
    bundle
}

/// The name of a text that code chooses, not a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(pub &'static str);

// Templates hand over values they matched by reference, once or twice.
impl From<&Key> for Key {
    fn from(key: &Key) -> Self {
        *key
    }
}

impl From<&&Key> for Key {
    fn from(key: &&Key) -> Self {
        **key
    }
}

/// Texts of the page in a language.
pub trait Words: Sized {
    const ALL: [Self; 2];

    /// As cookies, the users table and `<html lang>` have it.
    fn tag(self) -> &'static str;

    /// The language of a tag.
    fn of_tag(tag: &str) -> Option<Self>;

    /// The choice that the request's cookie carries; Vietnamese unless someone chose otherwise.
    fn chosen(headers: &HeaderMap) -> Self;

    fn text(self, key: &str) -> Cow<'static, str>;

    /// The text with one value put in as it is.
    fn with(self, key: &str, name: &str, value: impl Display) -> String;

    /// The text with a number put in, which may decide between singular and plural.
    fn count(self, key: &str, n: i64) -> String;
}

impl Words for Language {
    const ALL: [Self; 2] = [Self::Vi, Self::En];

    fn tag(self) -> &'static str {
        match self {
            Self::Vi => "vi",
            Self::En => "en",
        }
    }

    fn of_tag(tag: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.tag() == tag)
    }

    fn chosen(headers: &HeaderMap) -> Self {
        super::session::cookie(headers, COOKIE).and_then(Self::of_tag).unwrap_or(Self::Vi)
    }

    fn text(self, key: &str) -> Cow<'static, str> {
        format(self, key, None)
    }

    fn with(self, key: &str, name: &str, value: impl Display) -> String {
        let mut args = FluentArgs::new();
        args.set(name, FluentValue::String(value.to_string().into()));
        format(self, key, Some(&args)).into_owned()
    }

    fn count(self, key: &str, n: i64) -> String {
        let mut args = FluentArgs::new();
        args.set("n", FluentValue::from(n));
        format(self, key, Some(&args)).into_owned()
    }
}

/// A text and the attribute `remedy` that stands with it, with named values put in.
pub(super) fn with_remedy(
    language: Language,
    key: Key,
    values: &[(&'static str, String)],
) -> (String, String) {
    let mut args = FluentArgs::new();
    for (name, value) in values {
        args.set(*name, FluentValue::String(value.into()));
    }
    let bundle = bundle_of(language);
    let remedy = bundle
        .get_message(key.0)
        .and_then(|message| message.get_attribute("remedy"))
        .map(|remedy| bundle.format_pattern(remedy.value(), Some(&args), &mut Vec::new()).into_owned());
    (format(language, key.0, Some(&args)).into_owned(), remedy.unwrap_or_default())
}

fn bundle_of(language: Language) -> &'static Bundle {
    match language {
        Language::Vi => &VIETNAMESE,
        Language::En => &ENGLISH,
    }
}

fn format(language: Language, key: &str, args: Option<&FluentArgs<'_>>) -> Cow<'static, str> {
    let bundle = bundle_of(language);
    match bundle.get_message(key).and_then(|message| message.value()) {
        Some(pattern) => bundle.format_pattern(pattern, args, &mut Vec::new()).into_owned().into(),
        None => format!("[{key}]").into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use regex::Regex;

    use super::*;

    fn keys(text: &str) -> BTreeSet<String> {
        let key = Regex::new(r"(?m)^([a-z][a-z0-9-]*) =").unwrap();
        key.captures_iter(text).map(|found| found[1].to_owned()).collect()
    }

    fn used_keys() -> BTreeSet<String> {
        fn visit(path: &Path, patterns: &[Regex], found: &mut BTreeSet<String>) {
            for entry in fs::read_dir(path).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    visit(&path, patterns, found);
                } else if path.extension().is_some_and(|ending| ending == "rs" || ending == "html") {
                    let text = fs::read_to_string(&path).unwrap();
                    let text = text.split("#[cfg(test)]").next().unwrap();
                    for pattern in patterns {
                        found.extend(pattern.captures_iter(text).map(|used| used[1].to_owned()));
                    }
                }
            }
        }
        let patterns = [
            Regex::new(r#"\.(?:t|t1|tn|text|with|count)\(\s*"([a-z][a-z0-9-]*)""#).unwrap(),
            Regex::new(r#"Key\("([a-z][a-z0-9-]*)"\)"#).unwrap(),
        ];
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut found = BTreeSet::new();
        visit(&root.join("templates"), &patterns, &mut found);
        visit(&root.join("src/web"), &patterns, &mut found);
        found
    }

    #[test]
    fn both_languages_have_the_same_texts() {
        assert_eq!(keys(VIETNAMESE_TEXT), keys(ENGLISH_TEXT));
    }

    #[test]
    fn every_text_that_is_used_exists_and_every_text_is_used() {
        let (used, known) = (used_keys(), keys(VIETNAMESE_TEXT));
        assert_eq!(used.difference(&known).collect::<Vec<_>>(), [&""; 0], "used, but not there");
        assert_eq!(known.difference(&used).collect::<Vec<_>>(), [&""; 0], "there, but not used");
    }

    #[test]
    fn values_stand_as_they_are_and_counts_choose_the_form() {
        assert_eq!(Language::En.count("count-files", 1), "1 file");
        assert_eq!(Language::En.count("count-files", 2), "2 files");
        assert_eq!(Language::Vi.count("count-files", 2), "2 tệp");
    }
}
