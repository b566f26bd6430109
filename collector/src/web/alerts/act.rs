//! What a person does with an alert: close, silence, raise an incident of it.

use axum::extract::State;
use axum::response::Redirect;
use wardwatch_incidents::change::{Actor, AlertId, IncidentId};
use wardwatch_incidents::operate::Raise;
use wardwatch_policies::text::Language;
use wardwatch_policies::time::UnixMillis;

use crate::web::address::At;
use crate::web::error::Fault;
use crate::web::form::SignedForm;
use crate::web::language::Key;
use crate::web::rows::alerts;
use crate::web::{Web, catalogue};

const HOUR_MS: i64 = 3_600_000;
/// A silence ends after at most a year, in hours.
const MAX_HOURS: i64 = 366 * 24;

pub(in crate::web) async fn close(
    State(web): State<Web>,
    At(id): At<i64>,
    form: SignedForm,
) -> Result<Redirect, Fault> {
    let actor = Actor::User(form.visitor.user);
    web.workflow().close_alert(&actor, AlertId(id), form.fields.trimmed("reason"), web.now()).await?;
    Ok(Redirect::to(&format!("/alerts/{id}")))
}

pub(in crate::web) async fn silence(
    State(web): State<Web>,
    At(id): At<i64>,
    form: SignedForm,
) -> Result<Redirect, Fault> {
    let hours = form.fields.trimmed("hours").parse().ok().filter(|hours| (1..=MAX_HOURS).contains(hours));
    let hours: i64 = hours.ok_or(Fault::BadRequest(Key("fault-bad-request")))?;
    let now = web.now();
    let until = UnixMillis(now.0 + hours * HOUR_MS);
    let actor = Actor::User(form.visitor.user);
    web.workflow().silence_alert(&actor, AlertId(id), until, form.fields.trimmed("reason"), now).await?;
    Ok(Redirect::to(&format!("/alerts/{id}")))
}

/// One click: title and reason come from the rule that raised the alert, in the city's language of record.
pub(in crate::web) async fn raise(
    State(web): State<Web>,
    At(id): At<i64>,
    form: SignedForm,
) -> Result<Redirect, Fault> {
    let alert = alerts::find(web.db(), id).await?.ok_or(Fault::NotFound)?;
    let rule = catalogue::rule(Language::Vi, &alert.rule);
    let raise = Raise {
        title: format!("{} – {}", rule.title, alert.hostname),
        severity: alert.severity,
        reason: rule.why,
    };
    let actor = Actor::User(form.visitor.user);
    let incident = web.workflow().raise(&actor, raise, &[AlertId(id)], web.now()).await?;
    Ok(Redirect::to(&format!("/incidents/{incident}")))
}

/// Adds the alert to an incident that is already being worked on.
pub(in crate::web) async fn attach(
    State(web): State<Web>,
    At(id): At<i64>,
    form: SignedForm,
) -> Result<Redirect, Fault> {
    let incident = form.fields.trimmed("incident").parse();
    let incident: IncidentId = incident.map_err(|_| Fault::BadRequest(Key("fault-bad-request")))?;
    web.workflow().attach(&Actor::User(form.visitor.user), incident, AlertId(id), web.now()).await?;
    Ok(Redirect::to(&format!("/incidents/{incident}")))
}
