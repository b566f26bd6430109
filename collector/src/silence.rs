//! Watches for endpoints that are no longer heard, and finds them silent when their kind's patience is over.

use std::time::Duration;

use tokio::sync::watch;
use wardwatch_policies::detection::{self, is_silent};
use wardwatch_policies::finding::Finding;
use wardwatch_policies::ids::EndpointKind;
use wardwatch_policies::time::UnixMillis;

use crate::clock;
use crate::fleet::Fleet;
use crate::stopping::until;
use crate::store::endpoints::State;
use crate::store::reports::{self, Link, Standing, Told};

const EVERY: Duration = Duration::from_secs(20);
/// A collector that was down itself first gives agents the time to come back: longer than their longest pause
/// between attempts, and short enough that restarts cannot put off an alarm for long.
const GRACE_MS: i64 = 15 * 60 * 1000;

/// Looks at all endpoints again and again until the collector stops.
pub async fn watch(fleet: Fleet, stopped: watch::Receiver<bool>) {
    let looking = async {
        let began = clock::now();
        loop {
            tokio::time::sleep(EVERY).await;
            if let Err(error) = look(&fleet, began, clock::now()).await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "silent endpoints were not looked for"
                );
            }
        }
    };
    tokio::select! {
        () = looking => {}
        () = until(stopped) => {}
    }
}

/// Looks once, at `now`, with a collector that has been there since `began`.
///
/// # Errors
/// The database fails.
pub async fn look(fleet: &Fleet, began: UnixMillis, now: UnixMillis) -> Result<(), sqlx::Error> {
    if now.since(began) < GRACE_MS {
        return Ok(());
    }
    for endpoint in fleet.registry.all() {
        if endpoint.state != State::Active {
            continue;
        }
        // Most are heard: the one writing connection is asked for only where there is something to write.
        let mut db = fleet.store.reader().acquire().await?;
        let seen = reports::standing(&mut db, &endpoint.id).await?;
        drop(db);
        if seen.and_then(|seen| silent_since(endpoint.kind, &seen, now)).is_none() {
            continue;
        }
        let mut tx = fleet.store.write().await?;
        let Some(mut standing) = reports::standing(&mut tx, &endpoint.id).await? else { continue };
        let Some(last_seen) = silent_since(endpoint.kind, &standing, now) else { continue };
        standing.link = Link::Silent;
        reports::keep_standing(&mut tx, &endpoint.id, &standing, Told::default()).await?;
        let finding = Finding::Silent { since: last_seen };
        let mut recording = fleet.workflow.begin(&mut tx, now).await?;
        recording.observe(&mut tx, &endpoint, &[finding]).await?;
        let events = recording.finish(&mut tx).await?;
        tx.commit().await?;
        fleet.workflow.announce(events);
    }
    Ok(())
}

/// When an endpoint that is silent by now was last heard.
fn silent_since(kind: EndpointKind, standing: &Standing, now: UnixMillis) -> Option<UnixMillis> {
    let last_seen = standing.last_seen?;
    let kind = match standing.link {
        Link::Heard => kind,
        // Switched off properly, any machine may stay off as long as an office PC over a holiday.
        Link::Off => EndpointKind::OfficePc,
        Link::Never | Link::Silent => return None,
    };
    is_silent(kind, last_seen, now, &detection::city().silence).then_some(last_seen)
}
