//! The door where agents fetch programs: who gets in, what is given, and what every refusal looks like.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wardwatch_collector::places::Bounds;
use wardwatch_collector::releases::rollout::{Rollout, RolloutState};
use wardwatch_collector::store::endpoints::State;
use wardwatch_collector::store::releases::{self, Held};
use wardwatch_collector::store::rollouts;
use wardwatch_policies::digest::Digest;
use wardwatch_wire::downlink::CommandId;
use wardwatch_wire::release::{BLOBS, MAX_PART_BYTES, Release};

use crate::setup::{Doors, HttpsDoor, Identity, NOW, id, refused, tls};

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

async fn open() -> HttpsDoor {
    HttpsDoor::open(None, |_| {}).await
}

impl HttpsDoor {
    /// Holds a program as a release that a roll-out asks these agents to become; its digest and the roll-out.
    async fn offer(&self, program: &[u8], agents: &[&str]) -> (String, u64) {
        let digest = self.blobs.keep(program).await.unwrap();
        let version = "0.2.0".parse().unwrap();
        let target = "x86_64-unknown-linux-musl".parse().unwrap();
        let release = Release { version, target, digest, size: program.len() as u64, made: NOW };
        let mut rollout = Rollout {
            id: 0,
            version,
            unit: None,
            kind: None,
            canary_percent: 100,
            state: RolloutState::Wide,
            reason: None,
            begun: NOW,
            changed: NOW,
        };
        let mut tx = self.store.write().await.unwrap();
        releases::add(&mut tx, &Held { release, sealed: vec![1], added: NOW }).await.unwrap();
        rollout.id = rollouts::begin(&mut tx, &rollout).await.unwrap();
        for (number, agent) in (1..).zip(agents) {
            let command = CommandId(number);
            rollouts::keep_asked(&mut tx, &rollout, &id(agent), command, false, NOW).await.unwrap();
        }
        tx.commit().await.unwrap();
        (digest.to_string(), rollout.id)
    }

    fn agent(&self, name: &str, state: State) -> Identity {
        let identity = Identity::of(&self.authority, name);
        self.registry.put(Doors::endpoint(name, &identity, state));
        identity
    }

    async fn connect(
        &self,
        identity: Option<&Identity>,
    ) -> std::io::Result<tokio_rustls::client::TlsStream<tokio::net::TcpStream>> {
        self.handshake(tokio::net::TcpStream::connect(self.listener.address()).await?, identity).await
    }

    async fn handshake(
        &self,
        tcp: tokio::net::TcpStream,
        identity: Option<&Identity>,
    ) -> std::io::Result<tokio_rustls::client::TlsStream<tokio::net::TcpStream>> {
        let config = Arc::new(tls(self.authority.ca(), identity));
        let name = "127.0.0.1".to_owned().try_into().unwrap();
        tokio_rustls::TlsConnector::from(config).connect(name, tcp).await
    }

    async fn ask(&self, identity: Option<&Identity>, digest: &str, range: &str) -> Answer {
        let mut stream = self.connect(identity).await.unwrap();
        stream.write_all(request(digest, range).as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        // Who closes without a TLS farewell has still answered.
        let _ = stream.read_to_end(&mut bytes).await;
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: bytes[end + 4..].to_vec() }
    }
}

fn request(digest: &str, range: &str) -> String {
    let range = if range.is_empty() { String::new() } else { format!("Range: {range}\r\n") };
    format!("GET {BLOBS}/{digest} HTTP/1.1\r\nHost: x\r\n{range}Connection: close\r\n\r\n")
}

#[tokio::test]
async fn an_enrolled_agent_gets_the_part_it_asks_for() {
    let door = open().await;
    let agent = door.agent("pc", State::Active);
    let program: Vec<u8> = (0..=255).cycle().take(MAX_PART_BYTES as usize + 1000).collect();
    let (digest, _) = door.offer(&program, &["pc"]).await;

    let part = door.ask(Some(&agent), &digest, "bytes=100-199").await;
    assert_eq!((part.status, part.body.as_slice()), (206, &program[100..200]));
    assert!(part.head.contains(&format!("content-range: bytes 100-199/{}", program.len())), "{}", part.head);

    let most = door.ask(Some(&agent), &digest, "bytes=0-99999999").await;
    assert_eq!(most.body.len() as u64, MAX_PART_BYTES, "no answer is larger, whatever is asked");
    let last = door.ask(Some(&agent), &digest, &format!("bytes={MAX_PART_BYTES}-99999999")).await;
    assert_eq!(last.body, &program[MAX_PART_BYTES as usize..]);

    let beyond = door.ask(Some(&agent), &digest, &format!("bytes={}-", program.len())).await;
    assert_eq!(beyond.status, 400);
    let beyond = door.ask(Some(&agent), &digest, &format!("bytes={0}-{0}", program.len())).await;
    assert_eq!(beyond.status, 416);
    assert!(beyond.head.contains(&format!("bytes */{}", program.len())), "{}", beyond.head);
}

#[tokio::test]
async fn whoever_is_not_an_active_endpoint_gets_nothing() {
    let door = open().await;
    let (digest, _) = door.offer(b"program", &["pc", "pending", "removed", "replaced"]).await;
    let stranger = Identity::of(&door.authority, "stranger");
    let pending = door.agent("pending", State::Pending);
    let removed = door.agent("removed", State::Removed);
    let replaced = door.agent("replaced", State::Active);
    door.agent("replaced", State::Active);
    let before = refused("programs", "not-admitted");
    for identity in [&stranger, &pending, &removed, &replaced] {
        let answer = door.ask(Some(identity), &digest, "bytes=0-6").await;
        assert_eq!((answer.status, answer.body.as_slice()), (403, &b""[..]));
    }
    assert_eq!(refused("programs", "not-admitted"), before + 4);

    let before = refused("programs", "no-certificate");
    assert_eq!(door.ask(None, &digest, "bytes=0-6").await.status, 403);
    assert_eq!(refused("programs", "no-certificate"), before + 1);

    // A removal counts at once.
    let agent = door.agent("pc", State::Active);
    assert_eq!(door.ask(Some(&agent), &digest, "bytes=0-6").await.status, 206);
    door.registry.set_state(&id("pc"), State::Removed);
    assert_eq!(door.ask(Some(&agent), &digest, "bytes=0-6").await.status, 403);
}

#[tokio::test]
async fn a_certificate_of_another_authority_ends_the_handshake() {
    let door = open().await;
    let other = open().await;
    let foreign = Identity::of(&other.authority, "pc");
    door.registry.put(Doors::endpoint("pc", &foreign, State::Active));
    // With TLS 1.3 the refusal may come only with the first read.
    if let Ok(mut stream) = door.connect(Some(&foreign)).await {
        let _ = stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await;
        let mut bytes = Vec::new();
        assert!(stream.read_to_end(&mut bytes).await.is_err());
        assert_eq!(bytes, b"");
    }
}

#[tokio::test]
async fn what_names_no_held_program_and_range_is_refused() {
    let door = open().await;
    let agent = door.agent("pc", State::Active);
    let (digest, _) = door.offer(b"program", &["pc"]).await;
    let unknown = Digest::of(b"other").to_string();
    for (digest, range, status) in [
        (unknown.as_str(), "bytes=0-6", 404),
        (digest.as_str(), "", 400),
        (digest.as_str(), "bytes=6-0", 400),
        (digest.as_str(), "bytes=0-1,3-4", 400),
        ("..%2f..%2fauthority%2fca.key", "bytes=0-6", 400),
        ("short", "bytes=0-6", 400),
    ] {
        assert_eq!(door.ask(Some(&agent), digest, range).await.status, status, "{digest} {range}");
    }
}

#[tokio::test]
async fn one_agent_cannot_ask_without_end_and_others_still_can() {
    let door = open().await;
    let (greedy, other) = (door.agent("greedy", State::Active), door.agent("other", State::Active));
    let (digest, _) = door.offer(b"program", &["greedy", "other"]).await;
    let mut status = 206;
    for _ in 0..310 {
        status = door.ask(Some(&greedy), &digest, "bytes=0-6").await.status;
        if status != 206 {
            break;
        }
    }
    assert_eq!(status, 429);
    assert_eq!(door.ask(Some(&other), &digest, "bytes=0-6").await.status, 206);
}

#[tokio::test]
async fn a_connection_that_does_nothing_ends() {
    let door = HttpsDoor::open(None, |config| config.life = Duration::from_millis(300)).await;
    let agent = door.agent("pc", State::Active);
    let mut stream = door.connect(Some(&agent)).await.unwrap();
    let mut bytes = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut bytes)).await;
    assert!(ended.is_ok(), "the connection is still open");
}

#[tokio::test]
async fn whoever_no_roll_out_asks_any_more_is_told_to_let_go() {
    let door = open().await;
    let (asked, other) = (door.agent("asked", State::Active), door.agent("other", State::Active));
    let (digest, rollout) = door.offer(b"program", &["asked"]).await;
    assert_eq!(door.ask(Some(&asked), &digest, "bytes=0-6").await.status, 206);
    assert_eq!(door.ask(Some(&other), &digest, "bytes=0-6").await.status, 410);

    let mut tx = door.store.write().await.unwrap();
    let found = rollouts::find(&mut tx, rollout).await.unwrap().unwrap();
    rollouts::keep_state(&mut tx, &found.stopped("x", NOW).unwrap()).await.unwrap();
    tx.commit().await.unwrap();
    let gone = door.ask(Some(&asked), &digest, "bytes=0-6").await;
    assert_eq!(gone.status, 410);
    assert!(String::from_utf8(gone.body).unwrap().contains("no roll-out asks this endpoint"));
}

#[tokio::test]
async fn one_address_has_only_so_many_connections_even_before_it_says_who_it_is() {
    let door = HttpsDoor::open(None, |config| config.connections = Bounds { all: 9, each: 2 }).await;
    let agent = door.agent("pc", State::Active);
    let before = refused("enrolment", "connections");
    let open = async || tokio::net::TcpStream::connect(door.listener.address()).await.unwrap();
    let held = (open().await, open().await);
    let mut third = open().await;
    let ended = tokio::time::timeout(Duration::from_secs(5), third.read(&mut [0; 1])).await;
    assert!(matches!(ended, Ok(Ok(0) | Err(_))), "{ended:?}");
    assert!(refused("enrolment", "connections") > before);
    drop(held);
    for _ in 0..200 {
        if door.connect(Some(&agent)).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("its places are not free again");
}
