//! A headless Chromium, led through chromedriver by the W3C `WebDriver` protocol.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::program::{Program, eventually};
use crate::site::free_addresses;

const PATIENCE: Duration = Duration::from_secs(30);
/// The key under which the protocol hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// One browser window with a profile of its own.
pub struct Browser {
    http: reqwest::Client,
    session: String,
    address: SocketAddr,
    _driver: Program,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts a browser.
    ///
    /// # Errors
    /// Chromium or chromedriver is not installed, or does not start.
    pub async fn start() -> Result<Self> {
        let profile = tempfile::tempdir()?;
        let [address]: [SocketAddr; 1] = free_addresses()?;
        let mut call = std::process::Command::new("chromedriver");
        call.arg(format!("--port={}", address.port()));
        let driver = Program::spawn(call, profile.path().join("driver.log"))
            .context("chromedriver is not there; `tests/run` installs it")?;
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(120)).build()?;
        eventually("chromedriver answers", PATIENCE, async || {
            Ok(http.get(format!("http://{address}/status")).send().await.is_ok().then_some(()))
        })
        .await?;
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &format!("--user-data-dir={}", profile.path().join("profile").display()),
        ];
        let wish = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "timeouts": {"pageLoad": PATIENCE.as_secs() * 1000},
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let answer = http.post(format!("http://{address}/session")).json(&wish).send().await?;
        let answer: Value = answer.json().await?;
        let id = answer["value"]["sessionId"].as_str().with_context(|| answer.to_string())?;
        let session = format!("http://{address}/session/{id}");
        Ok(Self { http, session, address, _driver: driver, _profile: profile })
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> Result<Value> {
        let mut request = self.http.request(method.clone(), format!("{}{path}", self.session));
        if method == Method::POST {
            request = request.json(&body);
        }
        let mut answer: Value = request.send().await?.json().await?;
        if let Some(error) = answer["value"]["error"].as_str() {
            bail!("{path} {body}: {error}: {}", answer["value"]["message"].as_str().unwrap_or_default());
        }
        Ok(answer["value"].take())
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value> {
        self.call(Method::POST, path, body).await
    }

    /// Makes the visible part this large, in CSS pixels; below 500 wide it is a telephone.
    ///
    /// # Errors
    /// The browser does not obey.
    pub async fn resize(&self, width: u32, height: u32) -> Result<()> {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await.map(drop)
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Result<Value> {
        self.post("/goog/cdp/execute", json!({"cmd": command, "params": parameters})).await
    }

    /// # Errors
    /// The address cannot be loaded.
    pub async fn go(&self, address: &str) -> Result<()> {
        self.post("/url", json!({"url": address})).await.map(drop)
    }

    /// The address of the page that is shown.
    ///
    /// # Errors
    /// The browser does not say.
    pub async fn address(&self) -> Result<String> {
        let address = self.call(Method::GET, "/url", Value::Null).await?;
        Ok(address.as_str().unwrap_or_default().to_owned())
    }

    async fn find(&self, selector: &str) -> Result<String> {
        let found = eventually(selector, PATIENCE, async || {
            let found = self.post("/element", json!({"using": "css selector", "value": selector})).await?;
            Ok(found[ELEMENT].as_str().map(str::to_owned))
        });
        found.await
    }

    /// # Errors
    /// There is no such element, or nothing happens at it.
    pub async fn click(&self, selector: &str) -> Result<()> {
        let element = self.find(selector).await?;
        self.post(&format!("/element/{element}/click"), json!({})).await.map(drop)
    }

    /// Clicks something that leads to another page, and waits for that page.
    ///
    /// # Errors
    /// There is no such element, or no other page comes.
    pub async fn follow(&self, selector: &str) -> Result<()> {
        self.script("window.leaving = true").await?;
        self.click(selector).await?;
        let arrived = "return window.leaving === undefined && document.readyState === 'complete'";
        eventually(&format!("{selector} leads to another page"), PATIENCE, async || {
            Ok((self.script(arrived).await? == json!(true)).then_some(()))
        })
        .await
    }

    /// Types into an element; into one for files, the path of a file.
    ///
    /// # Errors
    /// There is no such element, or it takes no input.
    pub async fn write(&self, selector: &str, text: &str) -> Result<()> {
        let element = self.find(selector).await?;
        self.post(&format!("/element/{element}/value"), json!({"text": text})).await.map(drop)
    }

    /// The visible text of an element.
    ///
    /// # Errors
    /// There is no such element.
    pub async fn text(&self, selector: &str) -> Result<String> {
        let element = self.find(selector).await?;
        let text = self.call(Method::GET, &format!("/element/{element}/text"), Value::Null).await?;
        Ok(text.as_str().unwrap_or_default().to_owned())
    }

    /// What a piece of script returns.
    ///
    /// # Errors
    /// It fails.
    pub async fn script(&self, script: &str) -> Result<Value> {
        self.post("/execute/sync", json!({"script": script, "args": []})).await
    }

    /// Waits until an element shows a text.
    ///
    /// # Errors
    /// Not in time.
    pub async fn shows(&self, selector: &str, text: &str) -> Result<()> {
        eventually(&format!("{selector} shows \"{text}\""), PATIENCE, async || {
            Ok(self.text(selector).await?.contains(text).then_some(()))
        })
        .await
    }

    /// The whole page as a picture, also what is below the fold.
    ///
    /// # Errors
    /// It cannot be taken or written.
    pub async fn picture(&self, file: &Path) -> Result<()> {
        let whole = json!({"format": "png", "captureBeyondViewport": true});
        let taken = self.devtools("Page.captureScreenshot", whole).await?;
        let bytes = STANDARD.decode(taken["data"].as_str().context("no picture")?)?;
        std::fs::write(file, bytes).with_context(|| file.display().to_string())
    }

    /// Errors that the page caused in the browser since the last call: a script that failed, a file that is
    /// missing, something that the content security policy forbids.
    ///
    /// # Errors
    /// The browser does not say.
    pub async fn complaints(&self) -> Result<Vec<String>> {
        let log = self.post("/se/log", json!({"type": "browser"})).await?;
        let entries = log.as_array().map_or(&[][..], Vec::as_slice);
        let grave = entries.iter().filter(|entry| entry["level"] == "SEVERE");
        Ok(grave.map(|entry| entry["message"].to_string()).collect())
    }
}

/// Ends the session: a browser outlives a driver that is killed.
impl Drop for Browser {
    fn drop(&mut self) {
        let path = self.session.split_once("/session").map_or("", |(_, id)| id);
        let request =
            format!("DELETE /session{path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        let ended = TcpStream::connect(self.address).and_then(|mut connection| {
            connection.set_read_timeout(Some(PATIENCE))?;
            connection.write_all(request.as_bytes())?;
            connection.read(&mut [0; 64])
        });
        if let Err(error) = ended {
            println!("the browser may still run: {error}");
        }
    }
}
