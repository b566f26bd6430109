//! What a person does with an alert: close, silence, raise an incident of it.

use axum::extract::State;
use axum::response::Redirect;
use wardwatch_incidents::change::{Actor, AlertId, IncidentId};
use wardwatch_incidents::operate::MAX_SILENCE_HOURS;

use crate::web::Web;
use crate::web::address::At;
use crate::web::error::Fault;
use crate::web::form::SignedForm;
use crate::web::language::Key;
use crate::web::rows::alerts;

const HOUR_MS: i64 = 3_600_000;

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
    let hours = form.fields.trimmed("hours").parse().ok();
    let hours: u32 = hours
        .filter(|hours| (1..=MAX_SILENCE_HOURS).contains(hours))
        .ok_or(Fault::BadRequest(Key("fault-bad-request")))?;
    let now = web.now();
    let until = now.plus(i64::from(hours) * HOUR_MS);
    let actor = Actor::User(form.visitor.user);
    web.workflow().silence_alert(&actor, AlertId(id), until, form.fields.trimmed("reason"), now).await?;
    Ok(Redirect::to(&format!("/alerts/{id}")))
}

/// One click: nobody has to write a title or a reason.
pub(in crate::web) async fn raise(
    State(web): State<Web>,
    At(id): At<i64>,
    form: SignedForm,
) -> Result<Redirect, Fault> {
    let alert = alerts::find(web.db(), id).await?.ok_or(Fault::NotFound)?;
    let actor = Actor::User(form.visitor.user);
    let incident = web.workflow().raise(&actor, alert.to_raise(), &[AlertId(id)], web.now()).await?;
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
