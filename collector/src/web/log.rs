//! The change log, and whether it is what was written.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use wardwatch_incidents::chain::Head;

use super::Web;
use super::address::Asked;
use super::chronicle::{self, Line};
use super::error::Fault;
use super::page::{self, Page, Section};
use super::rows::{Paged, Slice, log};
use crate::witness::{self, VerifyError};

#[derive(Deserialize)]
pub(super) struct ListQuery {
    page: Option<i64>,
    verify: Option<String>,
}

/// What the walk over the whole log found.
enum Verified {
    Whole(Head),
    /// The first bad entry, in English as the verifier words it.
    Broken(String),
}

#[derive(Template)]
#[template(path = "log.html")]
struct LogPage {
    page: Page,
    lines: Paged<Line>,
    verified: Option<Verified>,
}

pub(super) async fn list(
    State(web): State<Web>,
    page: Page,
    Asked(asked): Asked<ListQuery>,
) -> Result<Response, Fault> {
    let verified = if asked.verify.is_some() { Some(verify(&web).await?) } else { None };
    let found = log::list(web.db(), Slice::page(asked.page)).await?;
    let language = page.language;
    let lines = found.rows.into_iter().map(|entry| chronicle::line(language, entry)).collect();
    let lines = Paged { rows: lines, total: found.total, slice: found.slice };
    page::show(&LogPage { page: page.of(Section::Log), lines, verified })
}

async fn verify(web: &Web) -> Result<Verified, Fault> {
    let mut connection = web.db().acquire().await?;
    let key = web.fleet.authority.collector_key().verifying_key();
    match witness::verify(&mut connection, &key, Vec::new()).await {
        Ok(head) => Ok(Verified::Whole(head)),
        Err(VerifyError::Store(error)) => Err(error.into()),
        Err(error) => Ok(Verified::Broken(error.to_string())),
    }
}

impl LogPage {
    fn address(&self, number: i64) -> String {
        format!("/log?page={number}")
    }
}
