//! Keys and certificates on a real disk.

#[path = "authority/release_key.rs"]
mod release_key;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rcgen::{CertificateParams, DnType, KeyPair};
use wardwatch_collector::authority::{Authority, AuthorityError, CertificateRequest};
use wardwatch_policies::time::UnixMillis;
use x509_parser::prelude::{FromDer, X509Certificate};

const NOW: UnixMillis = UnixMillis(1_790_000_000_000);
const DAY: i64 = 24 * 3_600_000;

fn hosts(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn keys_are_for_this_user_alone_and_refused_once_they_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("authority");
    let authority = Authority::create(&path, NOW).unwrap();
    authority.ensure_server_certificate(&hosts(&["127.0.0.1"]), NOW).unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for entry in fs::read_dir(&path).unwrap() {
        let entry = entry.unwrap().path();
        assert_eq!(mode(&entry), 0o600, "{}", entry.display());
    }
    fs::set_permissions(path.join("collector.key"), fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(Authority::open(&path), Err(AuthorityError::Exposed(_))));
}

#[test]
fn keys_are_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let root = Authority::create(dir.path(), NOW).unwrap().root_key();
    assert!(matches!(Authority::create(dir.path(), NOW), Err(AuthorityError::Exists(_))));
    assert_eq!(Authority::open(dir.path()).unwrap().root_key(), root);
}

#[test]
fn the_root_key_may_be_taken_offline() {
    let dir = tempfile::tempdir().unwrap();
    let made = Authority::create(dir.path(), NOW).unwrap();
    fs::remove_file(dir.path().join("root.key")).unwrap();
    let opened = Authority::open(dir.path()).unwrap();
    assert_eq!(opened.collector_word(), made.collector_word());
    assert_eq!(opened.root_digest(), made.root_digest());
    assert_eq!(opened.collector_key().verifying_key(), made.collector_key().verifying_key());
    opened.ensure_server_certificate(&hosts(&["127.0.0.1"]), NOW).unwrap();
}

#[test]
fn a_damaged_key_says_so() {
    let dir = tempfile::tempdir().unwrap();
    Authority::create(dir.path(), NOW).unwrap();
    fs::write(dir.path().join("collector.key"), b"short").unwrap();
    assert!(matches!(Authority::open(dir.path()), Err(AuthorityError::Damaged(_))));
}

#[test]
fn an_agents_certificate_names_the_agent_and_nothing_it_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::create(dir.path(), NOW).unwrap();
    let mut asked = CertificateParams::new(["trung-tam.example".to_owned()]).unwrap();
    asked.distinguished_name.push(DnType::CommonName, "someone-else");
    let request = asked.serialize_request(&KeyPair::generate().unwrap()).unwrap();
    let request = CertificateRequest::parse(request.der()).unwrap();
    let issued = authority.issue(&"pc-1".parse().unwrap(), &request, NOW).unwrap();

    let (_, certificate) = X509Certificate::from_der(&issued.der).unwrap();
    let names: Vec<_> = certificate.subject().iter_common_name().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(names, ["pc-1"]);
    assert!(certificate.subject_alternative_name().unwrap().is_none());
    let usage = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(usage.client_auth && !usage.server_auth);
    // The broker shows serial numbers like this.
    assert_eq!(certificate.serial.to_str_radix(16), issued.serial);
    assert_eq!(issued.serial.len(), 32);
    // A recorder that believes it is 1970 can use it at once.
    assert_eq!(certificate.validity().not_before.timestamp(), 0);
    assert!(certificate.validity().not_after.timestamp() > (NOW.0 + 9 * 365 * DAY) / 1000);
    let (_, ca) = X509Certificate::from_der(authority.ca()).unwrap();
    certificate.verify_signature(Some(ca.public_key())).unwrap();
}

#[test]
fn the_server_certificate_is_made_anew_only_when_it_must_be() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::create(dir.path(), NOW).unwrap();
    let one = hosts(&["127.0.0.1", "::1", "trung-tam.example"]);
    let reordered = hosts(&["trung-tam.example", "127.0.0.1", "0:0:0:0:0:0:0:1"]);
    let renewed = |hosts: &[String], now| authority.ensure_server_certificate(hosts, now).unwrap().renewed;
    assert!(renewed(&one, NOW));
    assert!(!renewed(&one, NOW));
    assert!(!renewed(&reordered, NOW));
    assert!(renewed(&one[..2], NOW));
    assert!(!renewed(&one[..2], NOW.plus(360 * DAY)));
    assert!(renewed(&one[..2], NOW.plus(370 * DAY)));

    // A crash between the two files leaves a key that does not fit.
    fs::write(dir.path().join("server.key"), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    assert!(renewed(&one[..2], NOW.plus(370 * DAY)));
}
