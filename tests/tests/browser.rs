//! The page in a real browser: from the one-time password to a closed incident, on a desk and on a telephone,
//! in both languages. Pictures of all screens are left in `target/screenshots`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use wardwatch_tests::browser::Browser;
use wardwatch_tests::program::eventually;
use wardwatch_tests::release;
use wardwatch_tests::site::{Agent, PATIENCE, Site, write_executable};

const SIZES: [(&str, u32, u32); 2] = [("desk", 1366, 768), ("telephone", 390, 844)];
/// The page is Vietnamese first, so pictures end with it.
const LANGUAGES: [&str; 2] = ["en", "vi"];
const PASSWORD: &str = "biển Nha Trang xanh 2026";

/// A browser at a site, and where its pictures go.
struct Visit {
    browser: Browser,
    base: String,
    pictures: PathBuf,
}

impl Visit {
    async fn begin(site: &Site) -> Result<Self> {
        let test = std::env::current_exe()?;
        let target = test.ancestors().nth(3).context("no target folder")?;
        let pictures = target.join("screenshots");
        std::fs::create_dir_all(&pictures)?;
        let browser = Browser::start().await?;
        browser.resize(SIZES[0].1, SIZES[0].2).await?;
        Ok(Self { browser, base: format!("http://{}", site.web), pictures })
    }

    async fn go(&self, path: &str) -> Result<()> {
        self.browser.go(&format!("{}{path}", self.base)).await
    }

    async fn speak(&self, language: &str) -> Result<()> {
        self.browser.follow(&format!("form.switch button[value={language}]")).await?;
        let tag = self.browser.script("return document.documentElement.lang").await?;
        ensure!(tag == language, "the language is {tag}, not {language}");
        Ok(())
    }

    /// Takes pictures of what is shown, in both languages and sizes.
    async fn picture(&self, name: &str) -> Result<()> {
        for language in LANGUAGES {
            self.speak(language).await?;
            self.picture_in(language, name).await?;
        }
        let complaints = self.browser.complaints().await?;
        ensure!(complaints.is_empty(), "{name}: {complaints:?}");
        Ok(())
    }

    /// Takes pictures in all sizes; nothing may stick out at the side.
    async fn picture_in(&self, language: &str, name: &str) -> Result<()> {
        for (size, width, height) in SIZES {
            self.browser.resize(width, height).await?;
            let wide = "return document.documentElement.scrollWidth - window.innerWidth";
            let over = self.browser.script(wide).await?;
            self.browser.picture(&self.pictures.join(format!("{name}-{language}-{size}.png"))).await?;
            ensure!(over.as_i64() <= Some(0), "{name} on a {size} ({language}) is {over} px too wide");
        }
        self.browser.resize(SIZES[0].1, SIZES[0].2).await
    }

    async fn sign_in(&self, one_time: &str) -> Result<()> {
        self.go("/").await?;
        self.picture("sign-in").await?;
        self.browser.write("#user", "admin").await?;
        self.browser.write("#password", one_time).await?;
        self.browser.follow("main form button").await?;
        ensure!(self.browser.address().await?.ends_with("/password"), "a new password is not asked for");
        self.go("/alerts").await?;
        ensure!(self.browser.address().await?.ends_with("/password"), "the old password opens the page");
        self.picture("password").await?;
        self.browser.write("#current", one_time).await?;
        self.browser.write("#new", PASSWORD).await?;
        self.browser.write("#again", PASSWORD).await?;
        self.browser.follow("main form button").await?;
        ensure!(!self.browser.address().await?.ends_with("/password"), "the new password is not taken");
        Ok(())
    }

    /// Completes a step on the incident's page.
    async fn complete(&self, incident: &str, step: &str, more: Completion<'_>) -> Result<()> {
        self.go(&format!("/incidents/{incident}")).await?;
        let form = format!("form[action$='/steps/{step}/complete']");
        let open = format!("document.querySelector(\"{form}\").closest('details').open = true");
        self.browser.script(&open).await.with_context(|| format!("{step} cannot be completed"))?;
        self.browser.write(&format!("{form} textarea"), "làm xong").await?;
        if let Some(evidence) = more.evidence {
            self.browser.write(&format!("{form} input[type=file]"), &evidence.to_string_lossy()).await?;
        }
        if let Some(outcome) = more.outcome {
            self.browser.click(&format!("{form} input[value={outcome}]")).await?;
        }
        self.browser.follow(&format!("{form} button")).await
    }

    async fn offers(&self, step: &str) -> Result<bool> {
        let form =
            format!("return document.querySelector(\"form[action$='/steps/{step}/complete']\") !== null");
        Ok(self.browser.script(&form).await? == json!(true))
    }
}

#[derive(Default)]
struct Completion<'a> {
    evidence: Option<&'a Path>,
    outcome: Option<&'a str>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_leads_an_incident_from_the_live_alert_to_its_end() -> Result<()> {
    let site = Site::quickstart(&["--no-agent"]).await?;
    let mut agent = site.enrolled("office", None).await?;
    let program = agent.watched.join("payroll");
    let old = write_executable(&program, "as installed")?;
    agent.set("UPGRADE_KIB_PER_SECOND", "1000000");
    agent.start()?;
    agent.settle(&site).await?;
    let printed = site.collector_log_text();
    let (_, after) = printed.split_once("Password:").context("no one-time password was printed")?;
    let one_time = after.split_whitespace().next().context("no one-time password was printed")?;

    let visit = Visit::begin(&site).await?;
    let browser = &visit.browser;
    visit.sign_in(one_time).await?;

    visit.go("/alerts").await?;
    browser.script("window.sameDocument = true").await?;
    let new = write_executable(&program, "as an attacker wants it")?;
    browser.shows("#list", "payroll").await?;
    ensure!(browser.script("return window.sameDocument === true").await? == json!(true), "it was reloaded");
    visit.picture("alerts").await?;
    hidden_page_catches_up(&visit, &site, &agent).await?;

    let alerts = site.rows("/alerts?state=open").await?;
    let alert = alerts.iter().find(|alert| alert["finding"]["path"] == json!(program)).context("no alert")?;
    browser.follow(&format!("#list a[href='/alerts/{}']", alert["id"])).await?;
    browser.shows(".compare", &old).await?;
    browser.shows(".found", &new).await?;
    visit.picture("alert").await?;
    let incident = alert["incident"].as_str().context("the rule raised no incident")?;
    browser.follow(&format!("main a[href='/incidents/{incident}']")).await?;
    browser.shows("h1", incident).await?;
    visit.picture("incident").await?;

    lead_through(&visit, incident, site.folder()).await?;
    let shown = site.get(&format!("/incidents/{incident}")).await?;
    assert_eq!(shown["state"], "closed");
    assert_eq!(shown["rounds"].as_array().map(Vec::len), Some(2));

    let endpoint = format!("/endpoints/{}", agent.id()?);
    let removal = format!("{endpoint}/remove");
    let screens = [
        ("overview", "/"),
        ("incidents", "/incidents?state=all"),
        ("endpoints", "/endpoints"),
        ("endpoint", &endpoint),
        ("endpoint-removal", &removal),
        ("log", "/log"),
    ];
    for (name, path) in screens {
        visit.go(path).await?;
        visit.picture(name).await?;
    }
    upgrade(&visit, &site, &agent).await?;
    // Whoever changes the language there is led away from a page that does not exist.
    for language in LANGUAGES {
        visit.go("/").await?;
        visit.speak(language).await?;
        visit.go("/nowhere").await?;
        visit.picture_in(language, "nowhere").await?;
    }
    Ok(())
}

/// A page that is not seen holds no connection; when it is seen again, it shows what changed meanwhile.
async fn hidden_page_catches_up(visit: &Visit, site: &Site, agent: &Agent) -> Result<()> {
    let browser = &visit.browser;
    let turn = async |hidden: bool| {
        let property =
            format!("Object.defineProperty(document, 'hidden', {{value: {hidden}, configurable: true}});");
        browser.script(&format!("{property} document.dispatchEvent(new Event('visibilitychange'))")).await
    };
    turn(true).await?;
    let program = agent.watched.join("meanwhile");
    write_executable(&program, "came while nobody looked")?;
    eventually("the alert is there", PATIENCE, async || {
        let alerts = site.rows("/alerts?state=open").await?;
        Ok(alerts.iter().any(|alert| alert["finding"]["path"] == json!(program)).then_some(()))
    })
    .await?;
    // Longer than changes are gathered before pages are told.
    tokio::time::sleep(Duration::from_secs(1)).await;
    ensure!(!browser.text("#list").await?.contains("meanwhile"), "a hidden page is kept up to date");
    turn(false).await?;
    browser.shows("#list", "meanwhile").await?;
    let complaints = browser.complaints().await?;
    ensure!(complaints.is_empty(), "{complaints:?}");
    Ok(())
}

/// A release goes to the canary, by a person's word to all, and another is stopped with a reason.
async fn upgrade(visit: &Visit, site: &Site, agent: &Agent) -> Result<()> {
    let browser = &visit.browser;
    visit.go("/releases").await?;
    visit.picture("releases-none").await?;
    let program = release::program(site, "next-agent")?;
    release::add(site, &program, "0.2.0", &release::target(site, &agent.id()?).await?)?;
    visit.go("/releases").await?;
    let first = begin_rollout(site)?;
    eventually("the canary is healthy", release::PATIENCE, async || {
        Ok((release::rollout(site, first).await?["healthy"] == 1).then_some(()))
    })
    .await
    .with_context(|| agent.log_text())?;
    browser.shows(&format!("#rollout-{first} dd .good"), "1").await?;
    visit.picture("releases-canary").await?;
    browser.follow(&format!("a.button[href='/releases/{first}/widen']")).await?;
    visit.picture("releases-widen").await?;
    browser.follow(&format!("form[action='/releases/{first}/widen'] button")).await?;
    assert_eq!(release::rollout(site, first).await?["state"], "wide");
    visit.picture("releases-wide").await?;

    let second = begin_rollout(site)?;
    visit.go("/releases").await?;
    browser.write(&format!("#reason-{second}"), "Chờ Ủy ban nhân dân thành phố cho ý kiến").await?;
    browser.follow(&format!("form[action='/releases/{second}/stop'] button")).await?;
    assert_eq!(release::rollout(site, second).await?["state"], "stopped");
    visit.picture("releases-stopped").await
}

fn begin_rollout(site: &Site) -> Result<u64> {
    let begun = site.ask(&["releases", "roll-out", "0.2.0", "--canary", "50"])?;
    begun["id"].as_u64().context("no number of a roll-out")
}

async fn lead_through(visit: &Visit, incident: &str, folder: &Path) -> Result<()> {
    let browser = &visit.browser;
    let evidence = folder.join("bien-ban.txt");
    std::fs::write(&evidence, "hai người đã xem")?;
    let digest = blake3::hash(&std::fs::read(&evidence)?).to_string();
    let done = Completion::default;

    visit.complete(incident, "I.1", Completion { evidence: Some(&evidence), ..done() }).await?;
    browser.shows("main", &digest).await?;
    visit.picture("incident-evidence").await?;
    for step in ["III.4", "IV.1", "I.4"] {
        ensure!(!visit.offers(step).await?, "{step} is offered before its time");
    }
    visit.go(&format!("/incidents/{incident}")).await?;
    browser.write("#assess-reason", "một máy văn phòng").await?;
    browser.click("form[action$='/seriousness'] input[value=no]").await?;
    browser.follow("form[action$='/seriousness'] button").await?;
    for step in ["I.2", "I.3", "I.5", "I.6", "II.1", "III.1", "III.2"] {
        visit.complete(incident, step, done()).await?;
    }
    visit.complete(incident, "III.3", Completion { outcome: Some("fail"), ..done() }).await?;
    visit.go(&format!("/incidents/{incident}?round=1")).await?;
    visit.picture("incident-round-1").await?;
    visit.go(&format!("/incidents/{incident}")).await?;
    ensure!(!visit.offers("IV.1").await?, "a failed examination lets the incident be closed");
    for step in ["II.1", "III.1", "III.2"] {
        visit.complete(incident, step, done()).await?;
    }
    visit.complete(incident, "III.3", Completion { outcome: Some("pass"), ..done() }).await?;
    for step in ["III.4", "IV.1"] {
        visit.complete(incident, step, done()).await?;
    }
    visit.go(&format!("/incidents/{incident}")).await?;
    visit.picture("incident-closed").await
}
