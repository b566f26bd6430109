use super::*;

#[test]
fn whoever_forgot_to_become_the_superuser_is_told_so() {
    let path = Path::new("/state/status.json");
    assert!(missing(path, false).to_string().ends_with(platform::BECOME_SUPERUSER));
    assert!(!missing(path, true).to_string().contains(platform::BECOME_SUPERUSER));

    let io = |kind: io::ErrorKind| StateError::Io { path: path.into(), did: "opened", source: kind.into() };
    let told = |kind| closed(path, io(kind)).to_string();
    assert!(told(io::ErrorKind::PermissionDenied).contains(platform::BECOME_SUPERUSER));
    assert_eq!(told(io::ErrorKind::NotADirectory), io(io::ErrorKind::NotADirectory).to_string());
}

#[test]
fn an_agent_that_was_stopped_while_it_scanned_scans_no_more() {
    let mut status = not_enrolled("none".into(), "1.2.3".parse().unwrap());
    status.scan.running = true;
    let around = |running| Around {
        running,
        service: String::new(),
        upgrade: Some("0.2.0 is tried".into()),
        full: None,
    };
    assert!(table(&status, &around(true)).contains("one is running"));
    assert!(!table(&status, &around(false)).contains("one is running"));
    assert!(table(&status, &around(true)).contains("upgrade      0.2.0 is tried"));
    assert!(json(&status, &around(true)).unwrap().contains("\"upgrade\": \"0.2.0 is tried\""));
}
