//! Runs every check of the Windows policy on small machines that are data. What a real registry answers stands in
//! the tests of the agent under Windows.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::Deserialize;
use wardwatch_policies::evaluate::evaluate;
use wardwatch_policies::observation::registry::{Data, Found, Spot, look_up};
use wardwatch_policies::observation::{
    FileSeen, Observation, Protocol, Reading, ServiceSeen, Socket, Unreadable,
};
use wardwatch_policies::path::EndpointPath;
use wardwatch_policies::policy::{Check, Policy};
use wardwatch_policies::secret::is_secret_key;
use wardwatch_policies::shipped;
use wardwatch_policies::verdict::CheckResult;

#[derive(Deserialize)]
struct Fixtures {
    base: Machine,
    #[serde(flatten)]
    checks: BTreeMap<String, BTreeMap<String, Vec<Machine>>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Machine {
    people: Option<Vec<String>>,
    #[serde(default)]
    registry: BTreeMap<String, BTreeMap<String, Item>>,
    #[serde(default)]
    services: BTreeMap<String, String>,
    #[serde(default)]
    listening: Vec<String>,
    #[serde(default)]
    files: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Item {
    Dword(u32),
    String(String),
}

/// A machine over the base of its file.
struct Both<'a>(&'a Machine, &'a Machine);

impl Both<'_> {
    fn read(&self, reading: &Reading) -> Result<Observation, Unreadable> {
        let Both(machine, base) = self;
        match reading {
            Reading::Registry(source) => {
                let people = machine.people.as_ref().or(base.people.as_ref()).unwrap();
                look_up(source, people, |spot| Ok(self.look(spot))).map(Observation::Registry)
            }
            Reading::Service { name } => {
                let words = machine.services.get(name).or_else(|| base.services.get(name));
                Ok(Observation::Service(service(words.map(String::as_str))))
            }
            Reading::Sockets => {
                Ok(Observation::Sockets(machine.listening.iter().map(|text| socket(text)).collect()))
            }
            Reading::Files { path } => {
                let permissions = || Err(Unreadable("Windows has no mode".into()));
                let seen =
                    machine.files.iter().filter(|file| file.as_str() == path.as_str()).map(|file| FileSeen {
                        path: EndpointPath::from_bytes(file.as_bytes()).unwrap(),
                        permissions: permissions(),
                    });
                Ok(Observation::Files(seen.collect()))
            }
            _ => Err(Unreadable("not of Windows".into())),
        }
    }

    fn look(&self, spot: &Spot<'_>) -> Found {
        let key = match spot.account {
            Some(account) => format!("HKU\\{account}\\{}", spot.path),
            None => format!("HKLM\\{}", spot.path),
        };
        let values = self.0.registry.get(&key).or_else(|| self.1.registry.get(&key));
        let Some(values) = values.filter(|values| !values.is_empty()) else {
            return Found::NoKey;
        };
        let Some(name) = spot.value else { return Found::Key };
        match values.get(name) {
            None => Found::NoValue,
            Some(Item::Dword(number)) => Found::Value(Data::Dword(*number)),
            Some(Item::String(_)) if is_secret_key(name) => Found::Withheld,
            Some(Item::String(text)) => Found::Value(Data::String(text.clone())),
        }
    }
}

fn service(words: Option<&str>) -> ServiceSeen {
    let text = words.unwrap_or_default();
    let start_type = ["automatic", "manual", "disabled"].into_iter().find(|word| text.starts_with(word));
    ServiceSeen {
        at: None,
        installed: words.is_some(),
        enabled: start_type == Some("automatic"),
        masked: start_type == Some("disabled"),
        start_type,
        active: Ok(text.ends_with("running")),
    }
}

fn socket(text: &str) -> Socket {
    let (protocol, address) = text.split_once(' ').unwrap();
    let parsed: SocketAddr = address.parse().unwrap();
    Socket {
        protocol: if protocol == "tcp" { Protocol::Tcp } else { Protocol::Udp },
        port: parsed.port(),
        address: address.to_owned(),
        loopback: parsed.ip().is_loopback(),
    }
}

fn policy() -> &'static Policy {
    shipped::named("office-pc-windows").unwrap()
}

fn fixtures() -> Fixtures {
    toml::from_str(include_str!("../fixtures/office-pc-windows.toml"))
        .unwrap_or_else(|error| panic!("{error}"))
}

fn evaluate_on(machine: &Both<'_>, check: &Check) -> CheckResult {
    let alone = Policy { checks: vec![check.clone()], ..policy().clone() };
    let read = alone.needs().into_iter().map(|reading| {
        let answer = machine.read(&reading);
        (reading, answer)
    });
    evaluate(&alone, &read.collect()).results.remove(0)
}

#[test]
fn every_check_has_a_machine_that_passes_and_one_that_fails() {
    let fixtures = fixtures();
    for check in &policy().checks {
        for verdict in ["pass", "fail"] {
            let of_check = fixtures.checks.get(check.id.as_str());
            assert!(
                of_check.is_some_and(|verdicts| verdicts.contains_key(verdict)),
                "{} {verdict}",
                check.id
            );
        }
    }
    for id in fixtures.checks.keys() {
        assert!(policy().check(&id.parse().unwrap()).is_some(), "no check {id}");
    }
}

#[test]
fn every_machine_brings_about_its_verdict() {
    let fixtures = fixtures();
    for check in &policy().checks {
        for (verdict, machines) in &fixtures.checks[check.id.as_str()] {
            for (index, machine) in machines.iter().enumerate() {
                let result = evaluate_on(&Both(machine, &fixtures.base), check);
                assert_eq!(result.verdict.as_str(), verdict, "{} {index}: {result:#?}", check.id);
            }
        }
    }
}

#[test]
fn no_password_of_a_machine_stands_in_evidence() {
    let fixtures = fixtures();
    let check = policy().check(&"auto-logon".parse().unwrap()).unwrap();
    for machine in &fixtures.checks["auto-logon"]["fail"] {
        let result = format!("{:?}", evaluate_on(&Both(machine, &fixtures.base), check));
        assert!(!result.contains("phuong-2026"), "{result}");
    }
}

#[test]
fn a_system_without_a_registry_passes_nothing() {
    let read = |reading| (reading, Err(Unreadable("Linux has no registry".into())));
    let results = evaluate(policy(), &policy().needs().into_iter().map(read).collect());
    assert!(results.results.iter().all(|result| result.verdict.as_str() == "unknown"));
}
