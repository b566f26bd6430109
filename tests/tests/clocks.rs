//! Agents whose clocks are decades off enrol, report, and learn the time by proof.

use anyhow::{Context, Result};
use wardwatch_tests::program::{self, eventually};
use wardwatch_tests::recorder::ARMV7;
use wardwatch_tests::site::{AGENT, Agent, PATIENCE, Site, write_executable};

/// Where Debian keeps the library that tells one process another time.
const LIBRARIES: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
];

/// `prepare` says how the agent is run.
async fn works_with_a_clock_that_says(date: &str, prepare: impl Fn(&mut Agent)) -> Result<()> {
    let library = LIBRARIES.into_iter().find(|path| std::path::Path::new(path).exists());
    let library = library.context("faketime is not installed; `tests/run` installs it")?;
    let site = Site::start().await?;
    let mut agent = site.agent("recorder")?;
    prepare(&mut agent);
    let environment = [
        ("LD_PRELOAD", library),
        ("FAKETIME", &format!("@{date} 00:00:00")),
        // Time since boot is what no clock battery can spoil.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("TZ", "UTC"),
    ];
    agent.environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    agent.enrol(&site.string(1).await?)?;
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
    let new = write_executable(&program, "new")?;
    agent.alerted(&site, &program, &new).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_of_1970_enrols_reports_and_proves_the_time() -> Result<()> {
    works_with_a_clock_that_says("1970-01-02", |_| {}).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_of_2038_enrols_reports_and_proves_the_time() -> Result<()> {
    works_with_a_clock_that_says("2038-01-20", |_| {}).await
}

/// A static program takes no library, but its emulator does, which answers its questions for the time.
fn on_32_bits(agent: &mut Agent) {
    agent.binary = program::cross(ARMV7.target, AGENT);
    agent.launcher = vec!["/usr/bin/qemu-arm".to_owned()];
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs qemu-user and the ARMv7 build; tests/run runs it"]
async fn an_agent_of_32_bits_and_1970_enrols_reports_and_proves_the_time() -> Result<()> {
    works_with_a_clock_that_says("1970-01-02", on_32_bits).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs qemu-user and the ARMv7 build; tests/run runs it"]
async fn an_agent_of_32_bits_and_2038_enrols_reports_and_proves_the_time() -> Result<()> {
    works_with_a_clock_that_says("2038-01-20", on_32_bits).await
}
