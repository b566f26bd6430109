//! Agents whose clocks are decades off enrol, report, and learn the time by proof.

use anyhow::{Context, Result};
use serde_json::json;
use wardwatch_tests::program::eventually;
use wardwatch_tests::site::{PATIENCE, Site, write_executable};

/// Where Debian keeps the library that tells one process another time.
const LIBRARIES: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
];

async fn works_with_a_clock_that_says(date: &str) -> Result<()> {
    let library = LIBRARIES.into_iter().find(|path| std::path::Path::new(path).exists());
    let library = library.context("faketime is not installed; `tests/run` installs it")?;
    let site = Site::start().await?;
    let mut agent = site.agent("recorder")?;
    let environment = [
        ("LD_PRELOAD", library),
        ("FAKETIME", &format!("@{date} 00:00:00")),
        // Time since boot is what no clock battery can spoil.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("TZ", "UTC"),
    ];
    agent.environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let enrolled = agent.enrol(&site.string(1).await?)?;
    assert!(enrolled.status.success(), "{}", String::from_utf8_lossy(&enrolled.stderr));
    agent.start()?;
    agent.settle(&site).await?;

    let endpoint = site.get(&format!("/endpoints/{}", agent.id()?)).await?;
    let wall = endpoint["last_wall"].as_str().context("no wall time was told")?;
    assert!(wall.starts_with(date), "the clock is not what the test set: {wall}");
    let proved = eventually("the agent's status tells the proved time", PATIENCE, async || {
        Ok(agent.status()?["proved_time"].as_str().map(str::to_owned))
    })
    .await?;
    println!("clock {wall}, proved {proved}");
    let told: jiff::Timestamp = proved.parse()?;
    let error = told.duration_until(jiff::Timestamp::now()).abs();
    assert!(error.as_secs() < 120, "proved {proved}");

    let program = agent.watched.join("program");
    write_executable(&program, "new")?;
    eventually("an alert", PATIENCE, async || {
        let alerts = site.rows("/alerts?state=open").await?;
        Ok(alerts.into_iter().find(|alert| alert["finding"]["path"] == json!(program)))
    })
    .await
    .with_context(|| agent.log_text())?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_of_1970_enrols_reports_and_proves_the_time() -> Result<()> {
    works_with_a_clock_that_says("1970-01-02").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_of_2038_enrols_reports_and_proves_the_time() -> Result<()> {
    works_with_a_clock_that_says("2038-01-20").await
}
