//! Releases of the agent: what is held, and how far each roll-out has come. Administrators widen and stop.

use askama::Template;
use axum::extract::State;
use axum::response::{Redirect, Response};
use wardwatch_policies::unit::Unit;

use super::Web;
use super::address::At;
use super::error::Fault;
use super::form::SignedForm;
use super::language::{Key, Words as _};
use super::page::{self, Page, Section};
use super::words;
use crate::releases::Progress;
use crate::releases::rollout::RolloutState;
use crate::store::releases::{self, Held};
use crate::store::units;

#[derive(Template)]
#[template(path = "releases.html")]
struct ReleasesPage {
    page: Page,
    held: Vec<Held>,
    progress: Vec<Progress>,
    units: Vec<Unit>,
    /// For administrators: keys that should be offline.
    keys_online: Option<String>,
}

/// A warning, as long as the keys lie where `init` made them.
fn keys_online(web: &Web, page: &Page) -> Option<String> {
    let keys = web.fleet.authority.keys_online();
    let names: Vec<String> = keys.iter().map(|key| key.display().to_string()).collect();
    (page.is_admin() && !names.is_empty())
        .then(|| page.language.with("keys-online", "files", names.join(", ")))
}

pub(super) async fn list(State(web): State<Web>, page: Page) -> Result<Response, Fault> {
    let keys_online = keys_online(&web, &page);
    page::show(&ReleasesPage {
        keys_online,
        page: page.of(Section::Releases),
        held: releases::all(web.db()).await?,
        progress: web.releases.progress().await?,
        units: units::all(web.db()).await?,
    })
}

#[derive(Template)]
#[template(path = "widen_rollout.html")]
struct WidenPage {
    page: Page,
    one: Progress,
    group: String,
}

/// What was upgraded stays so, so it is asked on a page of its own.
pub(super) async fn ask_widen(
    State(web): State<Web>,
    page: Page,
    At(id): At<u64>,
) -> Result<Response, Fault> {
    if !page.is_admin() {
        return Err(Fault::Forbidden);
    }
    let one = web.releases.progress_of(id).await?;
    if one.rollout.state != RolloutState::Canary {
        return Err(Fault::NothingToDo);
    }
    let group = group(&page, &units::all(web.db()).await?, &one);
    page::show(&WidenPage { page: page.of(Section::Releases), one, group })
}

pub(super) async fn widen(
    State(web): State<Web>,
    At(id): At<u64>,
    form: SignedForm,
) -> Result<Redirect, Fault> {
    web.releases.widen(&form.administrator()?, id, web.now()).await?;
    Ok(Redirect::to(&format!("/releases#rollout-{id}")))
}

pub(super) async fn stop(
    State(web): State<Web>,
    At(id): At<u64>,
    form: SignedForm,
) -> Result<Redirect, Fault> {
    web.releases.stop(&form.administrator()?, id, form.fields.trimmed("reason"), web.now()).await?;
    Ok(Redirect::to(&format!("/releases#rollout-{id}")))
}

/// Unit and kind, as far as the group is bounded by them.
fn group(page: &Page, units: &[Unit], one: &Progress) -> String {
    let unit = one.rollout.unit.as_ref().map(|id| {
        let named = units.iter().find(|unit| unit.id == *id);
        named.map_or_else(|| id.to_string(), |unit| unit.name.get(page.language).to_owned())
    });
    let unit = unit.unwrap_or_else(|| page.t("every-unit").into_owned());
    let kind = one.rollout.kind.map(words::kind).unwrap_or(Key("every-kind"));
    format!("{unit} · {}", page.k(kind))
}

impl ReleasesPage {
    const fn state(&self, one: &Progress) -> (Key, &'static str) {
        words::rollout(one.rollout.state)
    }

    fn is_canary(&self, one: &Progress) -> bool {
        one.rollout.state == RolloutState::Canary
    }

    fn is_stopped(&self, one: &Progress) -> bool {
        !one.rollout.is_live()
    }

    fn stopped_because(&self, reason: &str) -> String {
        words::rollout_stop(self.page.language, reason)
    }

    fn group(&self, one: &Progress) -> String {
        group(&self.page, &self.units, one)
    }

    fn bytes(&self, held: &Held) -> String {
        words::bytes(held.release.size)
    }

    fn without(&self, one: &Progress) -> i64 {
        i64::try_from(one.without()).unwrap_or(i64::MAX)
    }

    fn unknown(&self, one: &Progress) -> i64 {
        i64::try_from(one.unknown).unwrap_or(i64::MAX)
    }
}
