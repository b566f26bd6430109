//! Reads the typed probes.

mod registry;

use super::Errors;
use super::fields::{Fields, Value, integer, kind, list, string, suggestion};
use crate::observation::{KeyFormat, KeySource, Protocol, ServiceState};
use crate::policy::pattern::LinePattern;
use crate::policy::pattern::path::PathPattern;
use crate::policy::probe::{AccountRule, Comparison, IfAbsent, Owner, Probe};
use crate::system::System;

const PROBES: [&str; 13] = [
    "file",
    "mode",
    "owner",
    "content",
    "key",
    "registry",
    "sysctl",
    "mount",
    "package",
    "service",
    "accounts",
    "listening",
    "process",
];
const OPERATORS: [&str; 8] = ["eq", "ne", "lt", "le", "gt", "ge", "one_of", "matches"];

pub(super) fn probe(value: &Value<'_>, errors: &mut Errors<'_>) -> Option<Probe> {
    let named = value.get_ref().as_table()?.get("probe")?;
    let name = string("probe", named, errors)?;
    let open = |known: &[&str], errors: &mut Errors<'_>| Fields::of_value(value, "this probe", known, errors);
    match name {
        "file" => Some(Probe::File { path: path(&open(&["probe", "path"], errors)?, errors)? }),
        "mode" => {
            let fields = open(&["probe", "path", "no_more_than", "if_absent"], errors)?;
            let (path, if_absent) = (path(&fields, errors), if_absent(&fields, errors));
            let bits = fields.integer("no_more_than", 0..0o10000, errors)?;
            Some(Probe::Mode { path: path?, no_more_than: u32::try_from(bits).ok()?, if_absent: if_absent? })
        }
        "owner" => {
            let fields = open(&["probe", "path", "uid", "groups", "if_absent"], errors)?;
            let (path, if_absent) = (path(&fields, errors), if_absent(&fields, errors));
            let uid = fields.integer("uid", 0..i64::from(u32::MAX), errors);
            let groups = match fields.get("groups") {
                Some(_) => fields.string_list("groups", errors)?,
                None => Vec::new(),
            };
            let owner = Owner { uid: u32::try_from(uid?).ok()?, groups };
            Some(Probe::Owner { path: path?, owner, if_absent: if_absent? })
        }
        "content" => {
            let fields = open(&["probe", "path", "line", "if_absent"], errors)?;
            let (path, if_absent) = (readable_path(&fields, errors), if_absent(&fields, errors));
            let line = pattern("line", fields.require("line", errors)?, errors);
            Some(Probe::Content { path: path?, line: line?, if_absent: if_absent? })
        }
        "key" => key(value, errors),
        "registry" => registry::registry(value, errors),
        "sysctl" => {
            let known = [&["probe", "name"][..], &OPERATORS].concat();
            let fields = open(&known, errors)?;
            let (name, expected) = (sysctl_name(&fields, errors), comparison(&fields, errors));
            Some(Probe::Sysctl { name: name?, expected: expected? })
        }
        "mount" => {
            let fields = open(&["probe", "point", "options"], errors)?;
            let point = mount_point(&fields, errors);
            let options = match fields.get("options") {
                Some(_) => fields.string_list("options", errors)?,
                None => Vec::new(),
            };
            Some(Probe::Mount { point: point?, options })
        }
        "package" => Some(Probe::Package { name: plain_name(&open(&["probe", "name"], errors)?, errors)? }),
        "process" => Some(Probe::Process { name: plain_name(&open(&["probe", "name"], errors)?, errors)? }),
        "service" => {
            let fields = open(&["probe", "name", "is"], errors)?;
            let states =
                [ServiceState::Enabled, ServiceState::Disabled, ServiceState::Masked, ServiceState::Active]
                    .map(|state| (state.as_str(), state));
            let (name, is) = (plain_name(&fields, errors), fields.word("is", &states, errors));
            Some(Probe::Service { name: name?, is: is? })
        }
        "accounts" => accounts(&open(&["probe", "rule", "passwords"], errors)?, errors),
        "listening" => {
            let fields = open(&["probe", "port", "protocol"], errors)?;
            let port = fields.integer("port", 1..65_536, errors);
            let protocol = match fields.get("protocol") {
                Some(_) => {
                    let protocols =
                        [Protocol::Tcp, Protocol::Udp].map(|protocol| (protocol.as_str(), protocol));
                    Some(fields.word("protocol", &protocols, errors)?)
                }
                None => None,
            };
            Some(Probe::Listening { port: u16::try_from(port?).ok()?, protocol })
        }
        _ => {
            let hint = suggestion(name, &PROBES);
            errors.add(named.span(), format!("there is no probe `{}`", name.escape_debug()), hint);
            None
        }
    }
}

fn key(value: &Value<'_>, errors: &mut Errors<'_>) -> Option<Probe> {
    let known = [&["probe", "path", "format", "section", "key", "default"][..], &OPERATORS].concat();
    let fields = Fields::of_value(value, "this probe", &known, errors)?;
    let formats = [
        ("ini", KeyFormat::Ini),
        ("shell", KeyFormat::Shell),
        ("words", KeyFormat::Words),
        ("sshd", KeyFormat::Sshd),
    ];
    let paths = paths(&fields, errors);
    let format = fields.word("format", &formats, errors);
    let section = fields.optional_string("section", errors);
    let key = fields.string("key", errors);
    let default = fields.optional_string("default", errors);
    let expected = comparison(&fields, errors);
    if let (Some(section), Some(format)) = (fields.get("section"), format)
        && format != KeyFormat::Ini
    {
        errors.add(section.span(), "only `format = \"ini\"` has sections", "leave `section` out");
        return None;
    }
    let source = KeySource {
        paths: paths?,
        format: format?,
        section: section?.map(str::to_owned),
        key: key?.to_owned(),
    };
    Some(Probe::Key { source, expected: expected?, default: default?.map(str::to_owned) })
}

fn comparison(fields: &Fields<'_, '_>, errors: &mut Errors<'_>) -> Option<Comparison> {
    let mut given = OPERATORS.iter().filter_map(|operator| Some((*operator, fields.get(operator)?)));
    let Some((operator, value)) = given.next() else {
        errors.add(
            fields.span(),
            "nothing is expected of the value",
            format!("add one of {}", OPERATORS.join(", ")),
        );
        return None;
    };
    if let Some((second, at)) = given.next() {
        let problem = format!("the value is compared by both `{operator}` and `{second}`");
        errors.add(at.span(), problem, "write two probes below `all`");
        return None;
    }
    let limit = |errors: &mut Errors<'_>| integer(operator, value, i64::MIN..i64::MAX, errors);
    Some(match operator {
        "eq" => Comparison::Eq(scalar(operator, value, errors)?),
        "ne" => Comparison::Ne(scalar(operator, value, errors)?),
        "lt" => Comparison::Lt(limit(errors)?),
        "le" => Comparison::Le(limit(errors)?),
        "gt" => Comparison::Gt(limit(errors)?),
        "ge" => Comparison::Ge(limit(errors)?),
        "one_of" => {
            let read: Vec<_> =
                list(operator, value, errors)?.iter().map(|item| scalar(operator, item, errors)).collect();
            Comparison::OneOf(read.into_iter().collect::<Option<_>>()?)
        }
        _ => Comparison::Matches(pattern(operator, value, errors)?),
    })
}

/// A string, or a whole number as its digits.
fn scalar(key: &str, value: &Value<'_>, errors: &mut Errors<'_>) -> Option<String> {
    match value.get_ref().as_integer() {
        Some(_) => integer(key, value, i64::MIN..i64::MAX, errors).map(|number| number.to_string()),
        None => string(key, value, errors).map(str::to_owned),
    }
}

fn accounts(fields: &Fields<'_, '_>, errors: &mut Errors<'_>) -> Option<Probe> {
    #[derive(Clone, Copy)]
    enum Rule {
        Uid0,
        Empty,
        Shadowed,
        Weak,
        Default,
    }
    let rules = [
        ("only-root-has-uid-0", Rule::Uid0),
        ("no-empty-password", Rule::Empty),
        ("shadowed", Rule::Shadowed),
        ("no-weak-hash", Rule::Weak),
        ("no-default-password", Rule::Default),
    ];
    let rule = match fields.word("rule", &rules, errors)? {
        Rule::Uid0 => AccountRule::OnlyRootHasUid0,
        Rule::Empty => AccountRule::NoEmptyPassword,
        Rule::Shadowed => AccountRule::Shadowed,
        Rule::Weak => AccountRule::NoWeakHash,
        Rule::Default => {
            let passwords = fields.string_list("passwords", errors)?;
            return Some(Probe::Accounts(AccountRule::NoDefaultPassword { passwords }));
        }
    };
    if let Some(passwords) = fields.get("passwords") {
        errors.add(passwords.span(), "only `no-default-password` tries passwords", "leave `passwords` out");
        return None;
    }
    Some(Probe::Accounts(rule))
}

fn if_absent(fields: &Fields<'_, '_>, errors: &mut Errors<'_>) -> Option<IfAbsent> {
    match fields.get("if_absent") {
        Some(_) => fields.word("if_absent", &[("pass", IfAbsent::Pass), ("fail", IfAbsent::Fail)], errors),
        None => Some(IfAbsent::Fail),
    }
}

fn pattern(key: &str, value: &Value<'_>, errors: &mut Errors<'_>) -> Option<LinePattern> {
    let text = string(key, value, errors)?;
    LinePattern::parse(text)
        .map_err(|error| {
            let problem = format!("`{key}` is not a usable regular expression: {error}");
            errors.add(value.span(), problem, "between single quotes a backslash stands for itself");
        })
        .ok()
}

fn path(fields: &Fields<'_, '_>, errors: &mut Errors<'_>) -> Option<PathPattern> {
    path_at("path", fields, errors)
}

fn path_at(key: &str, fields: &Fields<'_, '_>, errors: &mut Errors<'_>) -> Option<PathPattern> {
    let value = fields.require(key, errors)?;
    path_value(key, value, errors)
}

fn mount_point(fields: &Fields<'_, '_>, errors: &mut Errors<'_>) -> Option<String> {
    let point = path_at("point", fields, errors)?;
    if point.system() == System::Linux {
        return Some(point.as_str().to_owned());
    }
    let at = fields.get("point").map_or(fields.span(), toml::Spanned::span);
    errors.add(at, "a mount point begins with `/`", "write it as in `/tmp`");
    None
}

fn path_value(key: &str, value: &Value<'_>, errors: &mut Errors<'_>) -> Option<PathPattern> {
    let text = string(key, value, errors)?;
    PathPattern::parse(text)
        .map_err(|error| {
            errors.add(
                value.span(),
                error.to_string(),
                r"write it as in `/etc/ssh/sshd_config` or 'C:\Windows\System32'",
            )
        })
        .ok()
}

/// A path whose text becomes evidence; files that hold passwords are not shown to anyone.
fn readable_path(fields: &Fields<'_, '_>, errors: &mut Errors<'_>) -> Option<PathPattern> {
    let path = path(fields, errors)?;
    let holds_hashes = ["/etc/shadow", "/etc/gshadow", "/etc/security/opasswd"]
        .iter()
        .any(|secret| path.as_str().starts_with(secret));
    if holds_hashes {
        let at = fields.get("path").map_or(fields.span(), toml::Spanned::span);
        errors.add(at, "text of this file is never read into evidence", "use the probe `accounts`");
        return None;
    }
    Some(path)
}

/// One path, or several that are read in their order.
fn paths(fields: &Fields<'_, '_>, errors: &mut Errors<'_>) -> Option<Vec<PathPattern>> {
    let value = fields.require("path", errors)?;
    if value.get_ref().as_array().is_none() {
        return Some(vec![readable_path(fields, errors)?]);
    }
    let read: Vec<_> =
        list("path", value, errors)?.iter().map(|item| path_value("path", item, errors)).collect();
    read.into_iter().collect()
}

/// A name that becomes part of a path: no `/`, no leading dot.
fn plain_name(fields: &Fields<'_, '_>, errors: &mut Errors<'_>) -> Option<String> {
    checked_name(fields, errors, "a plain name without `/`", |name| {
        !name.contains('/') && !name.starts_with('.')
    })
}

fn sysctl_name(fields: &Fields<'_, '_>, errors: &mut Errors<'_>) -> Option<String> {
    let fits = |name: &str| {
        name.split('.').all(|part| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        })
    };
    checked_name(fields, errors, "words joined by dots, as in `net.ipv4.ip_forward`", fits)
}

fn checked_name(
    fields: &Fields<'_, '_>,
    errors: &mut Errors<'_>,
    form: &str,
    fits: impl Fn(&str) -> bool,
) -> Option<String> {
    let value = fields.require("name", errors)?;
    if value.get_ref().as_str().is_none() {
        errors.add(
            value.span(),
            format!("`name` is a string, not {}", kind(value.get_ref())),
            "put it in quotes",
        );
        return None;
    }
    let name = string("name", value, errors)?;
    if name.len() <= 128 && fits(name) {
        return Some(name.to_owned());
    }
    errors.add(value.span(), format!("`{}` is no name", name.escape_debug()), format!("write {form}"));
    None
}
