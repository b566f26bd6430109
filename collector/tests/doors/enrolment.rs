//! Enrolment over real HTTPS, on both databases.

use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wardwatch_collector::authority::Authority;
use wardwatch_collector::enrol::listener::Config;
use wardwatch_collector::enrol::rate::Rate;
use wardwatch_collector::enrol::{self, Grant, Reachable};
use wardwatch_collector::registry::{NotAdmitted, Registry};
use wardwatch_collector::store::endpoints::{self, State};
use wardwatch_collector::store::{log, tokens};
use wardwatch_policies::time::UnixMillis;
use wardwatch_tests::database::Database;
use wardwatch_wire::enrolment::{
    EnrolmentReply, EnrolmentRequest, EnrolmentString, PATH, Refusal, Token, verify_collector_key,
};
use wardwatch_wire::envelope::{self, Kind};
use wardwatch_wire::report::Nonce;

use crate::setup::{HttpsDoor, NOW, id, refused};

const HOUR: i64 = 3_600_000;

async fn open(database: &Database) -> HttpsDoor {
    with_rate(database, Rate::default()).await
}

async fn with_rate(database: &Database, rate: Rate) -> HttpsDoor {
    let change = |config: &mut Config| {
        config.rate = rate;
        config.patience = Duration::from_secs(1);
    };
    HttpsDoor::open(Some(&database.url), change).await
}

impl HttpsDoor {
    async fn string(&self, uses: u64, expires: UnixMillis) -> EnrolmentString {
        let grant =
            Grant { unit: "phuong-1".parse().unwrap(), kind: "office-pc".parse().unwrap(), uses, expires };
        let mut tx = self.store.write().await.unwrap();
        let (token, _) = enrol::create_token(&mut tx, &grant, NOW).await.unwrap();
        tx.commit().await.unwrap();
        let reachable = Reachable {
            hosts: vec!["127.0.0.1".into()],
            enrol_port: self.listener.address().port(),
            mqtt_port: 8883,
        };
        enrol::string(&reachable, token, &self.authority)
    }

    async fn good_string(&self) -> EnrolmentString {
        self.string(1, NOW.plus(HOUR)).await
    }

    async fn uses_left(&self, token: &Token) -> u64 {
        let mut db = self.store.reader().acquire().await.unwrap();
        tokens::find(&mut db, token.id).await.unwrap().unwrap().uses_left
    }

    async fn endpoints(&self) -> usize {
        let mut db = self.store.reader().acquire().await.unwrap();
        endpoints::list(&mut db).await.unwrap().len()
    }

    async fn is_refused(&self, string: &EnrolmentString, body: Vec<u8>, reason: &str) {
        let (count, enrolled) = (refused("enrolment", reason), self.endpoints().await);
        let refusal = post(string, body).await.unwrap().unwrap_err();
        assert!(!refusal.problem.is_empty() && !refusal.remedy.is_empty(), "{reason}");
        assert!(refused("enrolment", reason) > count, "{reason}: {refusal}");
        assert_eq!(self.endpoints().await, enrolled, "{reason}");
    }
}

/// An agent's keys.
struct Applicant {
    agent: &'static str,
    tls: KeyPair,
    report: SigningKey,
}

impl Applicant {
    fn new(agent: &'static str, seed: u8) -> Self {
        let report = SigningKey::from_bytes(&[seed; 32]);
        Self { agent, tls: KeyPair::generate().unwrap(), report }
    }

    fn request(&self, token: &Token, nonce: u8) -> EnrolmentRequest {
        let request = CertificateParams::default().serialize_request(&self.tls).unwrap();
        EnrolmentRequest {
            token: token.clone(),
            agent: id(self.agent),
            csr: request.der().to_vec(),
            report_key: self.report.verifying_key().to_bytes(),
            nonce: Nonce([nonce; 16]),
            hostname: "máy-1".into(),
        }
    }

    fn sealed(&self, request: &EnrolmentRequest) -> Vec<u8> {
        envelope::seal(Kind::EnrolmentRequest, &id(self.agent), &self.report, request).unwrap().into_bytes()
    }

    fn body(&self, token: &Token) -> Vec<u8> {
        self.sealed(&self.request(token, 1))
    }
}

async fn post(string: &EnrolmentString, body: Vec<u8>) -> reqwest::Result<Result<EnrolmentReply, Refusal>> {
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_der(&string.ca)?])
        .timeout(Duration::from_secs(10))
        .build()?;
    let address = format!("https://{}:{}{PATH}", string.hosts[0], string.enrol_port);
    let response = client.post(address).body(body).send().await?;
    if response.status().is_success() {
        let bytes = response.bytes().await?;
        return Ok(Ok(ciborium::from_reader(&bytes[..]).unwrap()));
    }
    assert!(response.status().is_client_error(), "{}", response.status());
    Ok(Err(response.json().await?))
}

#[tokio::test]
async fn a_good_request_is_answered_and_the_same_one_again_with_the_same() {
    for database in Database::each().await {
        let collector = open(&database).await;
        let string = collector.good_string().await;
        let applicant = Applicant::new("pc-1", 1);
        let reply = post(&string, applicant.body(&string.token)).await.unwrap().unwrap();
        assert_eq!((reply.agent.as_str(), reply.pending), ("pc-1", false));
        verify_collector_key(string.root, &reply).unwrap();
        let endpoint = collector.registry.get(&id("pc-1")).unwrap();
        assert_eq!((endpoint.state, endpoint.hostname.as_str()), (State::Active, "máy-1"));
        assert_eq!(endpoint.report_key, applicant.report.verifying_key());
        assert_eq!(collector.uses_left(&string.token).await, 0);

        // The reply was lost; the agent asks again with another nonce.
        let again = applicant.sealed(&applicant.request(&string.token, 2));
        assert_eq!(post(&string, again).await.unwrap().unwrap(), reply);

        let mut db = collector.store.reader().acquire().await.unwrap();
        assert_eq!(log::head(&mut db).await.unwrap().length, 1, "enrolled once, so logged once");
        let loaded = Registry::load(&mut db).await.unwrap();
        assert_eq!(loaded.get(&id("pc-1")).unwrap(), endpoint);
        collector.listener.stop().await;
    }
}

#[tokio::test]
async fn a_used_expired_revoked_or_guessed_token_enrols_nobody() {
    for database in Database::each().await {
        let collector = open(&database).await;
        let string = collector.good_string().await;
        post(&string, Applicant::new("pc-1", 1).body(&string.token)).await.unwrap().unwrap();
        let second = Applicant::new("pc-2", 2);
        collector.is_refused(&string, second.body(&string.token), "used-up").await;

        let expired = collector.string(1, NOW).await;
        collector.is_refused(&expired, second.body(&expired.token), "expired").await;

        let revoked = collector.good_string().await;
        let mut tx = collector.store.write().await.unwrap();
        assert!(tokens::revoke(&mut tx, revoked.token.id, NOW).await.unwrap().is_some());
        assert!(tokens::revoke(&mut tx, revoked.token.id, NOW).await.unwrap().is_none());
        tx.commit().await.unwrap();
        collector.is_refused(&revoked, second.body(&revoked.token), "revoked").await;

        let good = collector.good_string().await;
        for guessed in [
            Token { secret: [0; 32], ..good.token.clone() },
            Token { id: 999, ..good.token.clone() },
            Token { id: u64::MAX, ..good.token.clone() },
        ] {
            collector.is_refused(&good, second.body(&guessed), "token").await;
        }
        assert_eq!(collector.uses_left(&good.token).await, 1);
    }
}

#[tokio::test]
async fn a_many_use_token_enrols_into_waiting_for_approval() {
    for database in Database::each().await {
        let collector = open(&database).await;
        let string = collector.string(2, NOW.plus(HOUR)).await;
        for (agent, seed) in [("pc-1", 1), ("pc-2", 2)] {
            let reply =
                post(&string, Applicant::new(agent, seed).body(&string.token)).await.unwrap().unwrap();
            assert!(reply.pending);
        }
        let serial = &collector.registry.get(&id("pc-1")).unwrap().serial;
        assert_eq!(collector.registry.admit(&id("pc-1"), serial).unwrap_err(), NotAdmitted::Pending);

        let mut tx = collector.store.write().await.unwrap();
        assert!(endpoints::approve(&mut tx, &id("pc-1")).await.unwrap().is_some());
        assert!(endpoints::approve(&mut tx, &id("pc-1")).await.unwrap().is_none());
        tx.commit().await.unwrap();
        collector.registry.set_state(&id("pc-1"), State::Active);
        assert!(collector.registry.admit(&id("pc-1"), serial).is_ok());
        collector.is_refused(&string, Applicant::new("pc-3", 3).body(&string.token), "used-up").await;
    }
}

#[tokio::test]
async fn a_forged_or_malformed_request_enrols_nobody() {
    let database = Database::sqlite();
    let collector = open(&database).await;
    let string = collector.good_string().await;
    let applicant = Applicant::new("pc-1", 1);
    let request = applicant.request(&string.token, 1);
    let other = Applicant::new("pc-1", 2);
    collector.is_refused(&string, other.sealed(&request), "signature").await;
    let elsewhere = envelope::seal(Kind::EnrolmentRequest, &id("pc-9"), &applicant.report, &request).unwrap();
    collector.is_refused(&string, elsewhere.into_bytes(), "signature").await;

    let good = applicant.body(&string.token);
    collector.is_refused(&string, good[..good.len() - 1].to_vec(), "malformed").await;
    collector.is_refused(&string, b"hello".to_vec(), "malformed").await;
    let report = envelope::seal(Kind::Report, &id("pc-1"), &applicant.report, &request).unwrap();
    collector.is_refused(&string, report.into_bytes(), "malformed").await;
    collector.is_refused(&string, vec![0; 20_000], "oversize").await;

    let mut broken = request.clone();
    *broken.csr.last_mut().unwrap() ^= 1;
    collector.is_refused(&string, applicant.sealed(&broken), "certificate-request").await;
    let p384 = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    let csr = CertificateParams::default().serialize_request(&p384).unwrap().der().to_vec();
    collector
        .is_refused(
            &string,
            applicant.sealed(&EnrolmentRequest { csr, ..request.clone() }),
            "certificate-request",
        )
        .await;
    let named = EnrolmentRequest { hostname: "a\nb".into(), ..request };
    collector.is_refused(&string, applicant.sealed(&named), "hostname").await;

    assert_eq!(collector.uses_left(&string.token).await, 1);
    assert!(post(&string, good).await.unwrap().is_ok());
}

#[tokio::test]
async fn an_agent_id_belongs_to_its_keys_and_a_removed_one_to_nobody() {
    for database in Database::each().await {
        let collector = open(&database).await;
        let string = collector.good_string().await;
        let applicant = Applicant::new("pc-1", 1);
        post(&string, applicant.body(&string.token)).await.unwrap().unwrap();

        let next = collector.good_string().await;
        collector.is_refused(&next, Applicant::new("pc-1", 2).body(&next.token), "taken").await;
        // The same keys with a new token: the reply to the first was lost and its token is gone.
        let first = collector.registry.get(&id("pc-1")).unwrap().serial.clone();
        post(&next, applicant.body(&next.token)).await.unwrap().unwrap();
        assert_eq!(collector.registry.admit(&id("pc-1"), &first).unwrap_err(), NotAdmitted::UnknownSerial);
        // The first reply would now be a certificate that is not admitted.
        collector.is_refused(&string, applicant.body(&string.token), "used-up").await;

        let mut tx = collector.store.write().await.unwrap();
        assert!(endpoints::remove(&mut tx, &id("pc-1"), "sold").await.unwrap().is_some());
        assert!(endpoints::remove(&mut tx, &id("pc-1"), "sold").await.unwrap().is_none());
        tx.commit().await.unwrap();
        let last = collector.good_string().await;
        collector.is_refused(&last, applicant.body(&last.token), "removed").await;
        collector.is_refused(&next, applicant.body(&next.token), "removed").await;
    }
}

#[tokio::test]
async fn a_collector_of_another_authority_is_not_told_the_token() {
    let database = Database::sqlite();
    let collector = open(&database).await;
    let mut string = collector.good_string().await;
    let other = Authority::create(&collector.dir.path().join("other"), NOW).unwrap();
    string.ca = other.ca().to_vec();
    let error = post(&string, Applicant::new("pc-1", 1).body(&string.token)).await.unwrap_err();
    assert!(error.is_connect(), "{error:?}");
    assert_eq!(collector.endpoints().await, 0);
}

#[tokio::test]
async fn stalled_and_slow_clients_are_dropped_and_block_nobody() {
    let database = Database::sqlite();
    let collector = open(&database).await;
    let string = collector.good_string().await;
    let mut stalled = Vec::new();
    for _ in 0..20 {
        stalled.push(tokio::net::TcpStream::connect(collector.listener.address()).await.unwrap());
    }
    let tls = crate::setup::tls(collector.authority.ca(), None);
    let connector = tokio_rustls::TlsConnector::from(Arc::new(tls));
    let stream = tokio::net::TcpStream::connect(collector.listener.address()).await.unwrap();
    let mut slow = connector.connect("127.0.0.1".try_into().unwrap(), stream).await.unwrap();
    let head = format!("POST {PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nfirst bytes");
    slow.write_all(head.as_bytes()).await.unwrap();
    slow.flush().await.unwrap();

    assert!(post(&string, Applicant::new("pc-1", 1).body(&string.token)).await.unwrap().is_ok());
    let mut answer = Vec::new();
    let _ = slow.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&answer));
    assert!(refused("enrolment", "slow") > 0);
    for mut stream in stalled {
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest));
        closed.await.expect("a stalled handshake is cut").ok();
    }
}

#[tokio::test]
async fn an_address_that_asks_too_often_must_wait() {
    let database = Database::sqlite();
    let collector = with_rate(&database, Rate { burst: 2, refill_ms: 1_000 }).await;
    let string = collector.good_string().await;
    collector.is_refused(&string, b"1".to_vec(), "malformed").await;
    collector.is_refused(&string, b"2".to_vec(), "malformed").await;
    collector.is_refused(&string, b"3".to_vec(), "too-many").await;
}
