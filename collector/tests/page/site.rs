//! A collector's page on loopback with a real store, and a visitor who behaves like a browser.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use regex::Regex;
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use tokio::sync::{mpsc, oneshot};
use wardwatch_collector::authority::Authority;
use wardwatch_collector::broker::{Broker, Config, Limits};
use wardwatch_collector::enrol::Reachable;
use wardwatch_collector::fleet::Fleet;
use wardwatch_collector::registry::Registry;
use wardwatch_collector::releases::Releases;
use wardwatch_collector::store::blobs::BlobDir;
use wardwatch_collector::store::evidence::EvidenceDir;
use wardwatch_collector::store::users::Role;
use wardwatch_collector::store::{Store, units};
use wardwatch_collector::web::accounts::{self, NewUser};
use wardwatch_collector::web::{self, Web};
use wardwatch_collector::workflow::Workflow;
use wardwatch_incidents::change::Actor;
use wardwatch_policies::time::UnixMillis;
use wardwatch_policies::unit;

/// 22 November 2026, 08:00 in Nha Trang.
pub(crate) const NOW: UnixMillis = UnixMillis(1_795_309_200_000);
pub(crate) const PASSWORD: &str = "biển Nha Trang xanh 2026";

pub(crate) struct Site {
    pub(crate) fleet: Fleet,
    pub(crate) address: SocketAddr,
    clock: Arc<AtomicI64>,
    _stop: oneshot::Sender<()>,
    _dir: tempfile::TempDir,
}

impl Site {
    pub(crate) async fn open(database: &str) -> Self {
        // The first test to come here installs it; the others find it there.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(database).await.unwrap();
        let fleet = fleet(dir.path(), store).await;
        let clock = Arc::new(AtomicI64::new(NOW.0));
        let hand = clock.clone();
        let web = Web {
            fleet: fleet.clone(),
            secure: false,
            clock: Arc::new(move || UnixMillis(hand.load(Ordering::Relaxed))),
            evidence: EvidenceDir::open(dir.path()).unwrap(),
            releases: Releases {
                store: fleet.store.clone(),
                workflow: fleet.workflow.clone(),
                authority: fleet.authority.clone(),
                blobs: BlobDir::open(dir.path()).unwrap(),
            },
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(web::serve(listener, web::router(web), None, async move {
            let _ = stopped.await;
        }));
        Self { fleet, address, clock, _stop: stop, _dir: dir }
    }

    pub(crate) fn now(&self) -> UnixMillis {
        UnixMillis(self.clock.load(Ordering::Relaxed))
    }

    pub(crate) fn pass(&self, ms: i64) {
        self.clock.fetch_add(ms, Ordering::Relaxed);
    }

    /// A user with a one-time password.
    pub(crate) async fn user(&self, name: &str, role: Role) -> String {
        let new = NewUser { name: name.into(), display_name: "Nguyễn Thị Lan".into(), role };
        accounts::create(&self.fleet, &Actor::LocalAdmin, new, self.now()).await.unwrap().to_string()
    }

    pub(crate) fn visitor(&self) -> Visitor {
        let client = Client::builder().redirect(Policy::none()).no_proxy().build().unwrap();
        Visitor { client, address: self.address, cookies: Vec::new() }
    }

    /// Someone who has signed in and replaced the one-time password.
    pub(crate) async fn signed_in(&self, name: &str, role: Role) -> Visitor {
        let one_time = self.user(name, role).await;
        let mut visitor = self.visitor();
        visitor.sign_in(name, &one_time).await;
        let answer = visitor
            .submit(
                "/password",
                "/password",
                &[("current", &one_time), ("new", PASSWORD), ("again", PASSWORD)],
            )
            .await;
        assert_eq!(answer.status(), StatusCode::SEE_OTHER);
        visitor
    }
}

async fn fleet(dir: &Path, store: Store) -> Fleet {
    let authority = Authority::create(&dir.join("authority"), NOW).unwrap();
    let registry = Registry::default();
    let config = Config {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        certificate: authority.ensure_server_certificate(&["127.0.0.1".into()], NOW).unwrap(),
        ca_file: authority.ca_file(),
        limits: Limits::default(),
    };
    let (sink, _) = mpsc::channel(8);
    let broker = Broker::start(config, registry.clone(), sink).await.unwrap();
    let mut tx = store.write().await.unwrap();
    units::add_missing(&mut tx, &unit::shipped()).await.unwrap();
    tx.commit().await.unwrap();
    Fleet {
        workflow: Workflow::new(store.clone()),
        store,
        registry,
        broker: Arc::new(broker),
        authority: Arc::new(authority),
        reachable: Arc::new(Reachable { hosts: vec!["127.0.0.1".into()], enrol_port: 1, mqtt_port: 2 }),
    }
}

/// Keeps cookies and reads tokens from forms, as a browser does.
pub(crate) struct Visitor {
    client: Client,
    address: SocketAddr,
    cookies: Vec<(String, String)>,
}

impl Visitor {
    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        self.client
            .request(method, format!("http://{}{path}", self.address))
            .header("cookie", cookies.join("; "))
    }

    pub(crate) async fn send(&mut self, request: RequestBuilder) -> Response {
        let response = request.send().await.unwrap();
        for cookie in response.headers().get_all("set-cookie") {
            let (name, rest) = cookie.to_str().unwrap().split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            self.cookies.retain(|(known, _)| known != name);
            if !value.is_empty() {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        response
    }

    pub(crate) async fn get(&mut self, path: &str) -> Response {
        let request = self.request(Method::GET, path);
        self.send(request).await
    }

    /// The text of a page that is there.
    pub(crate) async fn page(&mut self, path: &str) -> String {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.text().await.unwrap()
    }

    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Response {
        let body: Vec<_> =
            fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let request = self
            .request(Method::POST, path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.join("&"));
        self.send(request).await
    }

    /// Sends a form with the token that stands on the page it is on.
    pub(crate) async fn submit(&mut self, page: &str, action: &str, fields: &[(&str, &str)]) -> Response {
        let token = self.token(page).await;
        let mut all = vec![("csrf", token.as_str())];
        all.extend_from_slice(fields);
        self.post(action, &all).await
    }

    pub(crate) async fn token(&mut self, page: &str) -> String {
        let text = self.page(page).await;
        let token = Regex::new(r#"name="csrf" value="([^"]+)""#).unwrap();
        token.captures(&text).expect("the page has a form")[1].to_owned()
    }

    pub(crate) async fn sign_in(&mut self, name: &str, password: &str) -> Response {
        self.post("/sign-in", &[("user", name), ("password", password), ("next", "/")]).await
    }
}

fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// Where a redirect leads.
pub(crate) fn target(response: &Response) -> &str {
    response.headers()["location"].to_str().unwrap()
}
