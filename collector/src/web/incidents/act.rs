//! What a person does in an incident. Every act is one command; what it may do is decided in
//! `wardwatch_incidents::operate`.

use axum::extract::{Multipart, State};
use axum::response::Redirect;
use wardwatch_incidents::change::{Actor, AlertId, IncidentId, Outcome};
use wardwatch_incidents::operate::{Command, Completion};
use wardwatch_policies::ids::StepId;
use wardwatch_policies::text::Language;

use super::card;
use super::show::CRITERIA;
use crate::web::address::At;
use crate::web::error::Fault;
use crate::web::form::SignedForm;
use crate::web::language::{Key, Words as _};
use crate::web::session::SignedIn;
use crate::web::{Web, upload};

const INVALID: Fault = Fault::BadRequest(Key("fault-bad-request"));

fn incident(id: &str) -> Result<IncidentId, Fault> {
    id.parse().map_err(|_| Fault::NotFound)
}

fn step(id: &str) -> Result<StepId, Fault> {
    id.parse().map_err(|_| Fault::NotFound)
}

async fn operate(
    web: &Web,
    user: String,
    incident: IncidentId,
    command: Command,
    place: &str,
) -> Result<Redirect, Fault> {
    web.workflow().operate(&Actor::User(user), incident, command, web.now()).await?;
    Ok(Redirect::to(&format!("/incidents/{incident}#{place}")))
}

fn place(step: &StepId) -> String {
    format!("step-{}", card::anchor(step))
}

/// Settles a step with evidence: files, alerts, a note.
pub(in crate::web) async fn complete(
    State(web): State<Web>,
    At((id, step_id)): At<(String, String)>,
    visitor: SignedIn,
    form: Multipart,
) -> Result<Redirect, Fault> {
    let (incident, step) = (incident(&id)?, step(&step_id)?);
    let upload = upload::read(&web, &visitor, form).await?;
    let fields = upload.fields;
    let findings = fields.all("alert").map(|alert| alert.parse().map(AlertId));
    let outcome = match fields.trimmed("outcome") {
        "" => None,
        "pass" => Some(Outcome::Pass),
        "fail" => Some(Outcome::Fail),
        _ => return Err(INVALID),
    };
    // The boxes are there for a failed examination; after a pass they say nothing.
    let repeat = fields.all("repeat").filter(|_| outcome == Some(Outcome::Fail)).map(str::parse);
    let completion = Completion {
        note: fields.trimmed("note").to_owned(),
        evidence: upload.files,
        findings: findings.collect::<Result<_, _>>().map_err(|_| INVALID)?,
        outcome,
        repeat: repeat.collect::<Result<_, _>>().map_err(|_| INVALID)?,
        step: step.clone(),
    };
    operate(&web, visitor.user, incident, Command::Complete(completion), &place(&step)).await
}

pub(in crate::web) async fn mark_not_applicable(
    State(web): State<Web>,
    At((id, step_id)): At<(String, String)>,
    form: SignedForm,
) -> Result<Redirect, Fault> {
    let step = step(&step_id)?;
    let reason = form.fields.trimmed("reason").to_owned();
    let place = place(&step);
    let command = Command::MarkNotApplicable { step, reason };
    operate(&web, form.visitor.user, incident(&id)?, command, &place).await
}

pub(in crate::web) async fn reopen(
    State(web): State<Web>,
    At((id, step_id)): At<(String, String)>,
    form: SignedForm,
) -> Result<Redirect, Fault> {
    let step = step(&step_id)?;
    let reason = form.fields.trimmed("reason").to_owned();
    let place = place(&step);
    operate(&web, form.visitor.user, incident(&id)?, Command::Reopen { step, reason }, &place).await
}

/// The criteria that were ticked stand first in the reason, in Vietnamese: the record's language.
pub(in crate::web) async fn assess(
    State(web): State<Web>,
    At(id): At<String>,
    form: SignedForm,
) -> Result<Redirect, Fault> {
    let serious = match form.fields.trimmed("serious") {
        "yes" => true,
        "no" => false,
        _ => return Err(INVALID),
    };
    let ticked = form.fields.all("criterion").map(|number| {
        let number: usize = number.parse().map_err(|_| INVALID)?;
        CRITERIA.get(number).map(|key| Language::Vi.text(key.0).into_owned()).ok_or(INVALID)
    });
    let mut reasons = ticked.collect::<Result<Vec<_>, _>>()?;
    let written = form.fields.trimmed("reason");
    if !written.is_empty() {
        reasons.push(written.to_owned());
    }
    let command = Command::AssessSeriousness { serious, reason: reasons.join("; ") };
    operate(&web, form.visitor.user, incident(&id)?, command, "standing").await
}
