//! From one changed byte to a closed incident, by command line, and what proves the record afterwards.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sqlx::{Connection, Row, SqliteConnection};
use wardwatch_tests::database::Database;
use wardwatch_tests::program::{self, eventually};
use wardwatch_tests::site::{Agent, COLLECTOR, PATIENCE, Site, write_executable};

/// The plan asks for 2 s; a machine that also compiles may take longer.
const SOON: Duration = Duration::from_secs(5);

fn state_of<'a>(incident: &'a Value, step: &str) -> Result<&'a Value> {
    let steps = incident["steps"].as_array().context("no steps")?;
    steps.iter().find(|shown| shown["step"] == step).with_context(|| format!("no step {step}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_executable_becomes_an_incident_that_is_led_to_its_end() -> Result<()> {
    for database in Database::each().await {
        let site = Site::start_with(&["--database", &database.url]).await?;
        let mut agent = site.enrolled("office", None).await?;
        let (incident, alert) = raise_by_a_change(&site, &mut agent).await?;
        lead_through_all_steps(&site, &incident, &alert)?;
        assert_eq!(site.ask(&["audit", "verify", "--database", &database.url])?["intact"], json!(true));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_not_what_was_written_is_found_out() -> Result<()> {
    let site = Site::start().await?;
    let mut agent = site.enrolled("office", None).await?;
    let (incident, _) = raise_by_a_change(&site, &mut agent).await?;
    site.ask(&["incidents", "step", &incident, "I.2", "--done", "--note", "cable pulled"])?;
    prove_the_record(&site, &mut agent).await
}

/// Changes an executable below a watched folder; returns the incident and the alert that came of it.
async fn raise_by_a_change(site: &Site, agent: &mut Agent) -> Result<(String, Value)> {
    let program = agent.watched.join("payroll");
    let old = write_executable(&program, "as installed")?;
    agent.start()?;
    agent.settle(site).await?;

    let new = write_executable(&program, "as an attacker wants it")?;
    let changed = Instant::now();
    let alert = agent.alerted(site, &program, &new).await?;
    let took = changed.elapsed();
    println!("from the change to the alert: {} ms", took.as_millis());
    assert!(took < SOON, "it took {took:?}");
    assert_eq!(alert["rule"], "executable-changed");
    assert_eq!(alert["finding"]["old"]["present"]["digest"], json!(old));
    let incident = alert["incident"].as_str().context("the rule raised no incident")?;
    Ok((incident.to_owned(), alert))
}

fn lead_through_all_steps(site: &Site, incident: &str, alert: &Value) -> Result<()> {
    let done = |step: &str, more: &[&str]| {
        site.ask(&[&["incidents", "step", incident, step, "--done"], more].concat())
    };
    let refused = |step: &str, more: &[&str]| -> Result<String> {
        let call = [&["incidents", "step", incident, step, "--done"], more].concat();
        let output = site.call(&call)?;
        assert_eq!(output.status.code(), Some(3), "{step}");
        Ok(String::from_utf8(output.stderr)?)
    };
    let evidence = site.folder().join("biên bản.txt");
    std::fs::write(&evidence, "seen by two people")?;

    let shown = site.ask(&["incidents", "show", incident])?;
    assert_eq!(shown["steps"].as_array().map(Vec::len), Some(12));
    assert_eq!(state_of(&shown, "I.1")?["next"], json!(true));
    assert!(refused("I.4", &["--note", "convened"])?.contains("serious"));
    let shown =
        site.ask(&["incidents", "assess", incident, "--serious", "no", "--reason", "one office PC"])?;
    assert_eq!(state_of(&shown, "I.4")?["state"], "not-applicable");

    let alert = alert["id"].to_string();
    done("I.1", &["--finding", &alert])?;
    done("I.2", &["--note", "cable pulled", "--evidence", &evidence.to_string_lossy()])?;
    done("I.3", &["--note", "restore from the image"])?;
    for step in ["I.5", "I.6", "II.1", "III.1", "III.2"] {
        done(step, &["--note", "done as planned"])?;
    }
    for step in ["III.4", "IV.1"] {
        let said = refused(step, &["--note", "early"])?;
        assert!(said.contains("III.3"), "{said}");
    }
    let said = refused("III.3", &["--note", "without a result"])?;
    assert!(!said.is_empty());

    let shown = done("III.3", &["--note", "the file came back", "--result", "fail"])?;
    assert_eq!(shown["rounds"].as_array().map(Vec::len), Some(2));
    let first = &shown["rounds"][0];
    assert_eq!(state_of(first, "II.1")?["state"], "done", "the first round stays readable");
    assert_eq!(state_of(first, "III.3")?["outcome"], "fail");
    assert_eq!(state_of(&shown, "II.1")?["state"], "pending");
    assert_eq!(state_of(&shown, "I.1")?["state"], "done", "what the round does not repeat stays done");
    assert!(refused("IV.1", &["--note", "early"])?.contains("III.3"), "a failed examination opens no gate");

    for step in ["II.1", "III.1", "III.2"] {
        done(step, &["--note", "again, with new media"])?;
    }
    done("III.3", &["--note", "clean", "--result", "pass"])?;
    done("III.4", &["--note", "back in service"])?;
    let shown = done("IV.1", &["--note", "lessons written down"])?;
    assert_eq!(shown["state"], "closed");
    let kept = &state_of(&shown, "I.2")?["evidence"][0];
    assert_eq!(kept["digest"], json!(blake3::hash(&std::fs::read(&evidence)?).to_string()));
    assert!(!refused("I.5", &["--note", "after the end"])?.is_empty());
    Ok(())
}

/// `audit verify` holds, and finds each forgery, tried on copies of the data.
async fn prove_the_record(site: &Site, agent: &mut Agent) -> Result<()> {
    // The last entry tells of no incident, so that cutting it off contradicts nothing else in the database.
    site.string(1).await?;
    let witness = site.folder().join("witness.json");
    let log_length = eventually("the agent is witness to the whole log", PATIENCE, async || {
        // It writes a newer witness down when it stops, and else once an hour.
        agent.stop()?;
        let verified = site.ask(&["audit", "verify"])?;
        let status = agent.status()?;
        std::fs::write(&witness, status.to_string())?;
        let (length, head) = (&verified["length"], &verified["head"]);
        let same = status["witness"]["length"] == *length && status["witness"]["head"] == *head;
        if !same {
            agent.start()?;
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        Ok(same.then(|| length.as_u64()).flatten())
    })
    .await?;
    site.ask(&["audit", "verify", "--witness", &witness.to_string_lossy()])?;

    let forged = |name| forge(site, name, &witness);
    let (db, verify) = forged("byte").await?;
    change_the_log(db, false).await?;
    let verdict = verify(&[])?;
    assert_eq!(verdict["intact"], json!(false));
    let entry = verdict["entry"].as_u64().context("no entry is named")?;
    assert!(entry > 1 && entry < log_length, "{verdict}");

    let (mut db, verify) = forged("short").await?;
    sqlx::query("delete from log where idx = (select max(idx) from log)").execute(&mut db).await?;
    db.close().await?;
    assert_eq!(verify(&[])?["intact"], json!(true), "a cut log is whole in itself");
    let verdict = verify(&["--witness"])?;
    assert_eq!((&verdict["intact"], &verdict["entry"]), (&json!(false), &json!(log_length)), "{verdict}");

    let (db, verify) = forged("recomputed").await?;
    change_the_log(db, true).await?;
    assert_eq!(verify(&[])?["intact"], json!(true), "a log computed anew is whole in itself");
    let verdict = verify(&["--witness"])?;
    assert_eq!((&verdict["intact"], &verdict["entry"]), (&json!(false), &json!(log_length)), "{verdict}");
    Ok(())
}

/// Changes one byte of an entry. `anew` also computes every digest after it again and tells the incident to match,
/// as whoever rules the machine can.
async fn change_the_log(mut db: SqliteConnection, anew: bool) -> Result<()> {
    let rows =
        sqlx::query("select idx, at, actor, change_body from log order by idx").fetch_all(&mut db).await?;
    let mut previous = "0".repeat(64);
    for row in rows {
        let (index, at): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let (actor, change): (String, String) = (row.try_get(2)?, row.try_get(3)?);
        let change = change.replace("cable pulled", "cable pullet");
        let sealed = json!([index, at, actor, change, previous]).to_string();
        let digest = blake3::hash(sealed.as_bytes());
        previous = digest.to_string();
        sqlx::query("update log set change_body = $1 where idx = $2")
            .bind(change)
            .bind(index)
            .execute(&mut db)
            .await?;
        if anew {
            let digest = digest.as_bytes().to_vec();
            sqlx::query("update log set digest = $1 where idx = $2")
                .bind(digest)
                .bind(index)
                .execute(&mut db)
                .await?;
        }
    }
    if anew {
        let told = "update incidents set body = replace(body, 'cable pulled', 'cable pullet')";
        sqlx::query(told).execute(&mut db).await?;
    }
    Ok(db.close().await?)
}

/// A copy of the collector's data without checkpoints, open to be forged, and its verification. Where the
/// arguments end in `--witness`, the agent's witness is brought along.
async fn forge(
    site: &Site,
    name: &str,
    witness: &Path,
) -> Result<(SqliteConnection, impl Fn(&[&str]) -> Result<Value>)> {
    let data = site.folder().join(name);
    copy(&site.data(), &data)?;
    let mut db =
        SqliteConnection::connect(&format!("sqlite:{}", data.join("wardwatch.db").display())).await?;
    sqlx::query("delete from checkpoints").execute(&mut db).await?;
    let witness = witness.to_string_lossy().into_owned();
    let verify = move |more: &[&str]| -> Result<Value> {
        let mut call = [&["audit", "verify", "--output", "json"], more].concat();
        call.extend(more.last().map(|_| witness.as_str()));
        let output = program::run(COLLECTOR, &call, &data)?;
        let verdict: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        assert_eq!(output.status.code(), Some(i32::from(verdict["intact"] == json!(false))));
        Ok(verdict)
    };
    Ok((db, verify))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status()?;
    anyhow::ensure!(status.success(), "cp: {status}");
    Ok(())
}
