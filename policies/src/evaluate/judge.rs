//! Judges one probe by the observation that answers it.

mod accounts;
mod files;
mod registry;

use std::collections::BTreeSet;

use super::evidence::list;
use super::{Judgement, Truth};
use crate::observation::{
    KeySeen, KeySource, Mount, Observation, Observations, Protocol, ServiceSeen, ServiceState, Socket,
    Unreadable,
};
use crate::policy::pattern::InvalidPattern;
use crate::policy::probe::{Comparison, Probe};
use crate::secret::is_secret_key;
use crate::verdict::Evidence;

pub(super) fn judge(probe: &Probe, observations: &Observations, wanted: bool) -> Judgement {
    let observation = match observations.get(&probe.reading()) {
        Some(Ok(observation)) => observation,
        Some(Err(reason)) => return unknown(probe, reason),
        None => return unknown(probe, &Unreadable("it was not read".into())),
    };
    if let (Probe::Accounts(rule), Observation::Accounts(seen)) = (probe, observation) {
        return accounts::judge(rule, seen, wanted);
    }
    match answer(probe, observation) {
        Ok(answer) => answer.into_judgement(wanted),
        Err(reason) => unknown(probe, &reason),
    }
}

fn answer(probe: &Probe, observation: &Observation) -> Result<Answer, Unreadable> {
    Ok(match (probe, observation) {
        (Probe::File { path }, Observation::Files(seen)) => files::exists(path, seen),
        (Probe::Mode { path, no_more_than, if_absent }, Observation::Files(seen)) => {
            files::mode(path, *no_more_than, *if_absent, seen)?
        }
        (Probe::Owner { path, owner, if_absent }, Observation::Files(seen)) => {
            files::owner(path, owner, *if_absent, seen)?
        }
        (Probe::Content { path, line, if_absent }, Observation::Lines(seen)) => {
            files::content(path, line, *if_absent, seen)
        }
        (Probe::Key { source, expected, default }, Observation::Key(seen)) => {
            key(source, expected, default.as_deref(), seen)?
        }
        (Probe::Registry { source, expected }, Observation::Registry(seen)) => {
            registry::registry(source, expected, seen)?
        }
        (Probe::Sysctl { name, expected }, Observation::Sysctl(value)) => {
            sysctl(name, expected, value.as_deref())?
        }
        (Probe::Mount { point, options }, Observation::Mounts(mounts)) => mount(point, options, mounts),
        (Probe::Package { name }, Observation::Package(version)) => package(name, version.as_deref()),
        (Probe::Service { name, is }, Observation::Service(seen)) => service(name, *is, seen)?,
        (Probe::Listening { port, protocol }, Observation::Sockets(sockets)) => {
            listening(*port, *protocol, sockets)
        }
        (Probe::Process { name }, Observation::Processes(running)) => process(name, running),
        _ => return Err(Unreadable("the sensor answered another question".into())),
    })
}

/// What a probe found, and how that is said to a person.
struct Answer {
    holds: bool,
    subject: String,
    expected: String,
    found: String,
}

impl Answer {
    fn into_judgement(self, wanted: bool) -> Judgement {
        Judgement {
            truth: if self.holds { Truth::True } else { Truth::False },
            evidence: vec![Evidence {
                subject: self.subject,
                expected: expected(self.expected, wanted),
                found: self.found,
            }],
            reasons: BTreeSet::new(),
        }
    }
}

fn expected(text: String, wanted: bool) -> String {
    if wanted { text } else { format!("not {text}") }
}

fn unknown(probe: &Probe, reason: &Unreadable) -> Judgement {
    let subject = subject(probe);
    Judgement {
        truth: Truth::Unknown,
        reasons: BTreeSet::from([format!("{subject}: {reason}")]),
        evidence: vec![Evidence { subject, expected: "to be readable".into(), found: reason.to_string() }],
    }
}

/// Names what a probe looks at, in the same words as the evidence of its answer.
fn subject(probe: &Probe) -> String {
    match probe {
        Probe::File { path }
        | Probe::Mode { path, .. }
        | Probe::Owner { path, .. }
        | Probe::Content { path, .. } => path.as_str().to_owned(),
        Probe::Key { source, .. } => key_subject(source),
        Probe::Registry { source, .. } => source.to_string(),
        Probe::Sysctl { name, .. } => format!("sysctl {name}"),
        Probe::Mount { point, .. } => format!("mount {point}"),
        Probe::Package { name } => format!("package {name}"),
        Probe::Service { name, .. } => format!("service {name}"),
        Probe::Accounts(_) => "accounts".into(),
        Probe::Listening { port, protocol } => port_subject(*port, *protocol),
        Probe::Process { name } => format!("process {name}"),
    }
}

fn key_subject(source: &KeySource) -> String {
    let path = source.paths.first().map_or("", |path| path.as_str());
    match &source.section {
        Some(section) => format!("{path}: [{section}] {}", source.key),
        None => format!("{path}: {}", source.key),
    }
}

fn port_subject(port: u16, protocol: Option<Protocol>) -> String {
    protocol.map_or_else(|| format!("port {port}"), |protocol| format!("port {port}/{}", protocol.as_str()))
}

fn key(
    source: &KeySource,
    comparison: &Comparison,
    default: Option<&str>,
    seen: &KeySeen,
) -> Result<Answer, InvalidPattern> {
    let (holds, found) = match (&seen.value, default) {
        (Some(seen), _) => {
            let value = if is_secret_key(&source.key) { "(hidden)" } else { &seen.value };
            (comparison.holds(&seen.value)?, format!("{value} ({}:{})", seen.path, seen.line))
        }
        (None, Some(default)) => (comparison.holds(default)?, format!("not set; the default is {default}")),
        (None, None) if seen.files.is_empty() => (false, "no such file".into()),
        (None, None) => (false, "not set".into()),
    };
    Ok(Answer { holds, subject: key_subject(source), expected: comparison.to_string(), found })
}

fn sysctl(name: &str, comparison: &Comparison, value: Option<&str>) -> Result<Answer, InvalidPattern> {
    Ok(Answer {
        holds: value.map_or(Ok(false), |value| comparison.holds(value))?,
        subject: format!("sysctl {name}"),
        expected: comparison.to_string(),
        found: value
            .map_or_else(|| "this kernel has no such setting".into(), |value| value.trim().to_owned()),
    })
}

fn mount(point: &str, options: &[String], mounts: &[Mount]) -> Answer {
    // Of several mounts at one point the last one is what programs see.
    let mount = mounts.iter().rev().find(|mount| mount.point == point);
    let missing = |mount: &Mount| options.iter().any(|option| !mount.options.contains(option));
    Answer {
        holds: mount.is_some_and(|mount| !missing(mount)),
        subject: format!("mount {point}"),
        expected: if options.is_empty() { "a separate mount".into() } else { options.join(",") },
        found: mount.map_or_else(|| "not a separate mount".into(), |mount| mount.options.join(",")),
    }
}

fn package(name: &str, version: Option<&str>) -> Answer {
    Answer {
        holds: version.is_some(),
        subject: format!("package {name}"),
        expected: "installed".into(),
        found: version.map_or_else(|| "not installed".into(), |version| format!("installed, {version}")),
    }
}

fn service(name: &str, is: ServiceState, seen: &ServiceSeen) -> Result<Answer, Unreadable> {
    let holds = match is {
        ServiceState::Enabled => seen.enabled && !seen.masked,
        ServiceState::Disabled => !seen.enabled || seen.masked,
        ServiceState::Masked => seen.masked,
        ServiceState::Active => seen.active.clone()?,
    };
    let state = match seen {
        ServiceSeen { masked: true, .. } => "masked",
        ServiceSeen { enabled: true, .. } => "enabled",
        ServiceSeen { installed: true, .. } => "disabled",
        _ => "not installed",
    };
    let running = match (is, &seen.active) {
        (ServiceState::Active, Ok(true)) => ", active",
        (ServiceState::Active, Ok(false)) => ", not active",
        _ => "",
    };
    let at = match (&seen.start_type, &seen.at) {
        (Some(start_type), _) => format!(" (start type {start_type})"),
        (None, Some(path)) => format!(" ({path})"),
        (None, None) => String::new(),
    };
    Ok(Answer {
        holds,
        subject: format!("service {name}"),
        expected: is.as_str().into(),
        found: format!("{state}{running}{at}"),
    })
}

fn listening(port: u16, protocol: Option<Protocol>, sockets: &[Socket]) -> Answer {
    let matching: BTreeSet<_> = sockets
        .iter()
        .filter(|socket| socket.port == port && protocol.is_none_or(|protocol| socket.protocol == protocol))
        .map(|socket| (socket.loopback, format!("{} {}", socket.protocol.as_str(), socket.address)))
        .collect();
    let exposed = matching.iter().any(|(loopback, _)| !loopback);
    Answer {
        holds: exposed,
        subject: port_subject(port, protocol),
        expected: "listening beyond loopback".into(),
        found: match (matching.is_empty(), exposed) {
            (true, _) => "nothing listens".into(),
            (_, true) => format!("listening on {}", list(matching.iter().map(|(_, text)| text.as_str()))),
            (_, false) => {
                format!("only on loopback: {}", list(matching.iter().map(|(_, text)| text.as_str())))
            }
        },
    }
}

fn process(name: &str, running: &[String]) -> Answer {
    // The kernel keeps the first 15 bytes of a name.
    const KERNEL_NAME_BYTES: usize = 15;
    let kept = &name.as_bytes()[..name.len().min(KERNEL_NAME_BYTES)];
    let runs = running.iter().any(|process| process.as_bytes() == kept);
    Answer {
        holds: runs,
        subject: format!("process {name}"),
        expected: "running".into(),
        found: if runs { "running".into() } else { "not running".into() },
    }
}
