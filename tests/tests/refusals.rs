//! Who is not let in: told in the log, counted in the metrics, and changing nothing.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use wardwatch_tests::link::{Link, Passes};
use wardwatch_tests::program::{Program, eventually};
use wardwatch_tests::site::{Agent, PATIENCE, Site, write_executable};

/// Waits for a refusal to be counted at a door.
async fn counted(site: &Site, door: &str, reason: &str) -> Result<()> {
    let line = format!("wardwatch_refused_total{{door=\"{door}\",reason=\"{reason}\"}}");
    eventually(&line, PATIENCE, async || {
        Ok(site.get_text("/metrics").await?.lines().any(|l| l.starts_with(&line)).then_some(()))
    })
    .await
    .with_context(|| site.collector_log_text())
}

/// Waits for an open alert of a rule.
async fn alerted(site: &Site, rule: &str) -> Result<Value> {
    eventually(rule, PATIENCE, async || {
        let alerts = site.rows("/alerts?state=open").await?;
        Ok(alerts.into_iter().find(|alert| alert["rule"] == rule))
    })
    .await
    .with_context(|| site.collector_log_text())
}

async fn says(agent: &Agent, words: &str) -> Result<()> {
    eventually(&format!("the agent says \"{words}\""), PATIENCE, async || {
        Ok(agent.log_text().contains(words).then_some(()))
    })
    .await
    .with_context(|| agent.log_text())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    anyhow::ensure!(status.success(), "cp: {status}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_comes_in_without_a_certificate_or_with_that_of_another_city() -> Result<()> {
    let (ours, theirs) = (Site::start().await?, Site::start().await?);

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(ours.string(1).await?.ca))?;
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let connection = TcpStream::connect(ours.mqtt).await?;
    let name = ServerName::try_from("127.0.0.1")?;
    let mut connection = TlsConnector::from(Arc::new(config)).connect(name, connection).await?;
    let _ = connection.write_all(b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01x").await;
    let answer = connection.read(&mut [0; 16]).await;
    assert!(matches!(answer, Ok(0) | Err(_)), "{answer:?}");
    counted(&ours, "broker", "no-certificate").await?;

    // The agent of the other city trusts our authority, as someone would who wants to come in.
    let mut agent = theirs.enrolled("foreign", None).await?;
    let file = agent.state.join("identity.json");
    let mut identity: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    identity["mqtt_port"] = json!(ours.mqtt.port());
    std::fs::write(&file, identity.to_string())?;
    agent.start()?;
    says(&agent, "no connection to the collector").await?;
    agent.kill();
    let own = ours.enrolled("own", None).await?;
    let own: Value = serde_json::from_slice(&std::fs::read(own.state.join("identity.json"))?)?;
    identity["ca"] = own["ca"].clone();
    std::fs::write(&file, identity.to_string())?;
    agent.start()?;
    counted(&ours, "broker", "other-authority").await?;
    assert!(ours.rows("/alerts?state=all").await?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_string_serves_once_and_not_after_its_time() -> Result<()> {
    let site = Site::start().await?;
    let (first, second, third) = (site.agent("first")?, site.agent("second")?, site.agent("third")?);
    let string = site.string(1).await?;
    first.enrol(&string)?;
    assert!(!first.state.with_extension("string").exists(), "the string is not left lying about");

    let refused = second.try_to_enrol(&string)?;
    let said = String::from_utf8_lossy(&refused.stderr);
    println!("used: {said}");
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(said.contains("this machine is not enrolled"), "{said}");

    let refused = third.try_to_enrol(&site.string(0).await?)?;
    let said = String::from_utf8_lossy(&refused.stderr);
    println!("expired: {said}");
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(said.contains("expired"), "{said}");
    assert_eq!(site.rows("/endpoints?").await?.len(), 1);
    assert!(site.get_text("/metrics").await?.contains("wardwatch_refused_total{door=\"enrolment\""));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_endpoint_is_cut_off_and_told_so() -> Result<()> {
    let site = Site::start().await?;
    let mut agent = site.enrolled("retired", None).await?;
    agent.start()?;
    agent.settle(&site).await?;
    let id = agent.id()?;
    let shown = site.ask(&["endpoints", "remove", &id, "--reason", "sold"])?;
    assert_eq!(shown["state"], "removed");
    says(&agent, "no connection to the collector").await?;
    counted(&site, "broker", "removed").await?;
    eventually("the status says that the collector refuses", PATIENCE, async || {
        let status = agent.status()?;
        let link = status["link"].as_str().unwrap_or_default();
        Ok((link.starts_with("down") && link.contains("refuse")).then(|| println!("{link}")))
    })
    .await
    .with_context(|| agent.log_text())?;

    let seen = site.get(&format!("/endpoints/{id}")).await?["last_seen"].clone();
    write_executable(&agent.watched.join("late"), "after the removal")?;
    agent.kill();
    agent.start()?;
    eventually("the agent tries again", PATIENCE, async || {
        Ok((agent.log_text().matches("no connection to the collector").count() >= 3).then_some(()))
    })
    .await?;
    assert_eq!(site.get(&format!("/endpoints/{id}")).await?["last_seen"], seen, "nothing of it counts");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cloned_state_folder_does_not_speak_in_anothers_name() -> Result<()> {
    let site = Site::start().await?;
    let mut agent = site.enrolled("original", None).await?;
    agent.start()?;
    agent.settle(&site).await?;

    // The same folder twice: the second agent is kept out by the lock.
    let second = agent.command("run").output()?;
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(3), "{said}");
    assert!(said.contains("another agent runs with the state folder"), "{said}");

    // A copy on the same machine runs, and is noticed.
    agent.stop()?;
    let mut clone = site.agent("clone")?;
    copy(&agent.state, &clone.state)?;
    agent.start()?;
    clone.start()?;
    let alert = alerted(&site, "identity-cloned").await?;
    assert_eq!(alert["endpoint"], json!(agent.id()?));
    clone.kill();

    // A copy on another machine says nothing in this one's name: it waits to be enrolled itself.
    let other_id = site.folder().join("machine-id");
    std::fs::write(&other_id, "0123456789abcdef0123456789abcdef\n")?;
    let disguise = "mount --bind \"$0\" /etc/machine-id && exec \"$@\"";
    let disguised = |program: &Command| {
        let mut call = Command::new("unshare");
        call.args(["--mount", "sh", "-c", disguise]).arg(&other_id).arg(program.get_program());
        call.args(program.get_args());
        call.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        call
    };
    if !disguised(&Command::new("true")).output().is_ok_and(|output| output.status.success()) {
        println!("not tried on another machine: this user may not make a mount namespace");
        return Ok(());
    }
    let log = site.folder().join("disguised.log");
    let _waiting = Program::spawn(disguised(&clone.command("run")), log.clone())?;
    let said = eventually("the copy says what it waits for", PATIENCE, async || {
        let said = std::fs::read_to_string(&log)?;
        Ok(said.contains("waiting for").then_some(said))
    })
    .await?;
    assert!(said.contains("belongs to another machine"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_different_reports_under_one_number_are_a_fork() -> Result<()> {
    let site = Site::start().await?;
    let link = Link::to(site.mqtt).await;
    let mut agent = site.enrolled("original", Some(&link)).await?;
    agent.start()?;
    agent.settle(&site).await?;
    agent.stop()?;
    let mut copied = site.agent("copied")?;
    copy(&agent.state, &copied.state)?;

    // Both see something while they cannot report, and write it down under the same number.
    link.set(Passes::Nothing);
    for (agent, files) in [(&mut agent, 1), (&mut copied, 3)] {
        agent.start()?;
        for file in 0..files {
            write_executable(&agent.watched.join(format!("seen-{file}")), &format!("{file}"))?;
            eventually("the change is written down", PATIENCE, async || {
                let waiting = agent.status()?["outbox_reports"].as_u64();
                Ok((waiting > Some(file)).then_some(()))
            })
            .await
            .with_context(|| agent.log_text())?;
        }
        agent.kill();
    }
    link.set(Passes::Everything);
    agent.start()?;
    agent.settle(&site).await?;
    agent.stop()?;
    copied.start()?;
    let alert = alerted(&site, "fork-refused").await?;
    assert_eq!(alert["severity"], "critical");
    counted(&site, "ingest", "fork").await?;
    let files = site.rows(&format!("/endpoints/{}/files?search=copied.watched", agent.id()?)).await?;
    assert!(files.is_empty(), "nothing of the copy counts: {files:?}");
    Ok(())
}

/// `Program` and `Agent` end with the test; a collector that is stopped in order says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_told_to_stop_ends_in_order() -> Result<()> {
    let mut site = Site::start().await?;
    let mut agent = site.enrolled("office", None).await?;
    agent.start()?;
    agent.settle(&site).await?;
    site.stop_collector()?;
    assert!(site.collector_log_text().contains("collector stopped"));
    site.start_collector().await?;
    agent.settle(&site).await?;
    let running: &mut Program = agent.program()?;
    assert!(running.ended()?.is_none());
    Ok(())
}
