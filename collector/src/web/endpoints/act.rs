//! What people do with an endpoint: ask it to look again, and for administrators, approve it or remove it for
//! good.

use askama::Template;
use axum::extract::State;
use axum::response::{Redirect, Response};
use wardwatch_incidents::change::Actor;
use wardwatch_policies::ids::AgentId;
use wardwatch_wire::downlink::{Action, ActionKind};

use crate::web::Web;
use crate::web::address::At;
use crate::web::error::Fault;
use crate::web::form::SignedForm;
use crate::web::language::Key;
use crate::web::page::{self, Page, Section};
use crate::web::rows::endpoints::{self, Endpoint};

fn parse(id: &str) -> Result<AgentId, Fault> {
    id.parse().map_err(|_| Fault::NotFound)
}

pub(in crate::web) async fn approve(
    State(web): State<Web>,
    At(id): At<String>,
    form: SignedForm,
) -> Result<Redirect, Fault> {
    web.fleet.approve(&form.administrator()?, &parse(&id)?, web.now()).await?;
    Ok(Redirect::to(&format!("/endpoints/{id}")))
}

/// Changes nothing on the endpoint, so anybody who may sign in may ask for it.
pub(in crate::web) async fn command(
    State(web): State<Web>,
    At(id): At<String>,
    form: SignedForm,
) -> Result<Redirect, Fault> {
    let action = match ActionKind::parse(form.fields.trimmed("action")) {
        Some(ActionKind::Rescan) => Action::Rescan,
        Some(ActionKind::Recheck) => Action::Recheck,
        Some(ActionKind::Upgrade) | None => return Err(Fault::BadRequest(Key("fault-bad-request"))),
    };
    web.fleet.command(&Actor::User(form.visitor.user), &parse(&id)?, action, web.now()).await?;
    Ok(Redirect::to(&format!("/endpoints/{id}#commands")))
}

#[derive(Template)]
#[template(path = "remove_endpoint.html")]
struct RemovePage {
    page: Page,
    endpoint: Endpoint,
}

/// Removing cannot be undone, so it is asked on a page of its own.
pub(in crate::web) async fn ask_remove(
    State(web): State<Web>,
    page: Page,
    At(id): At<String>,
) -> Result<Response, Fault> {
    if !page.is_admin() {
        return Err(Fault::Forbidden);
    }
    let endpoint = endpoints::find(web.db(), &id).await?.ok_or(Fault::NotFound)?;
    page::show(&RemovePage { page: page.of(Section::Endpoints), endpoint })
}

pub(in crate::web) async fn remove(
    State(web): State<Web>,
    At(id): At<String>,
    form: SignedForm,
) -> Result<Redirect, Fault> {
    web.fleet.remove(&form.administrator()?, &parse(&id)?, form.fields.trimmed("reason"), web.now()).await?;
    Ok(Redirect::to(&format!("/endpoints/{id}")))
}
