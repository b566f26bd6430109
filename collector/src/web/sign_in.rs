//! Signing in and out.
//!
//! A wrong name, a wrong password and a locked user get the same answer after the same work, so that nobody
//! learns which names exist.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use wardwatch_policies::text::Language;
use wardwatch_policies::time::UnixMillis;
use zeroize::Zeroizing;

use super::address::Asked;
use super::error::Fault;
use super::form::{NewcomersForm, OpenForm};
use super::language::{self, Key, Words as _};
use super::page::{self, Page, Section};
use super::{Web, local_path, password, session};
use crate::store::users;

/// How long five wrong passwords in a row lock a user (Decision 724/QĐ-BTTTT).
const LOCK_MS: i64 = 5 * 60 * 1000;
/// Longer names are nobody's.
const MAX_NAME_BYTES: usize = 128;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    page: Page,
    next: String,
    name: String,
    problem: Option<Key>,
}

#[derive(Deserialize)]
pub(super) struct Next {
    #[serde(default)]
    next: String,
}

pub(super) async fn show(
    State(web): State<Web>,
    Asked(Next { next }): Asked<Next>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    if web.visitor(&headers).await?.is_some() {
        return Ok(Redirect::to(local_path(&next)).into_response());
    }
    page::show(&form(&web, &headers, &next, "", None))
}

fn form(web: &Web, headers: &HeaderMap, next: &str, name: &str, problem: Option<Key>) -> SignInPage {
    let page = Page {
        language: Language::chosen(headers),
        visitor: None,
        here: format!("/sign-in?next={}", super::query_value(local_path(next))),
        section: Section::None,
        now: web.now(),
    };
    SignInPage { page, next: local_path(next).to_owned(), name: name.to_owned(), problem }
}

pub(super) async fn submit(
    State(web): State<Web>,
    headers: HeaderMap,
    OpenForm(fields): OpenForm,
) -> Result<Response, Fault> {
    let now = web.now();
    let name = fields.trimmed("user");
    let given = Zeroizing::new(fields.raw("password").to_owned());
    let known = if name.len() <= MAX_NAME_BYTES { users::find(web.db(), name).await? } else { None };
    let right = password::verify(given, known.as_ref().map(|user| user.password_hash.clone())).await?;
    // Comparing waits its turn: meanwhile guesses beside this one may have locked the user.
    let known = match known {
        Some(user) => users::find(web.db(), &user.name).await?,
        None => None,
    };
    let locked = |user: &users::User| user.locked_until.is_some_and(|until| now < until);
    match known {
        Some(user) if right && !locked(&user) => {
            let mut tx = web.store().write().await?;
            users::clear_failures(&mut tx, &user.name).await?;
            tx.commit().await?;
            let cookie = web.begin_session(&user.name, now).await?;
            tracing::info!(user = user.name, "signed in");
            let mut response = Redirect::to(local_path(fields.trimmed("next"))).into_response();
            response.headers_mut().append(header::SET_COOKIE, cookie);
            if session::cookie(&headers, language::COOKIE).is_none() {
                let choice = web.set_cookie(language::COOKIE, &user.language, "Max-Age=31536000; ")?;
                response.headers_mut().append(header::SET_COOKIE, choice);
            }
            Ok(response)
        }
        known => {
            if let Some(user) = known.filter(|user| !locked(user)) {
                let mut tx = web.store().write().await?;
                users::count_failure(&mut tx, &user.name, UnixMillis(now.0 + LOCK_MS)).await?;
                tx.commit().await?;
            }
            metrics::counter!("wardwatch_refused_total", "door" => "page", "reason" => "password")
                .increment(1);
            tracing::warn!("a sign-in was refused: wrong name or password, or the user is locked");
            let page = form(&web, &headers, fields.trimmed("next"), name, Some(Key("sign-in-refused")));
            Ok((StatusCode::UNAUTHORIZED, page::show(&page)?).into_response())
        }
    }
}

pub(super) async fn sign_out(
    State(web): State<Web>,
    NewcomersForm(form): NewcomersForm,
) -> Result<Response, Fault> {
    session::end(web.store(), &form.visitor.id).await?;
    let mut response = Redirect::to("/sign-in").into_response();
    response.headers_mut().append(header::SET_COOKIE, web.end_session_cookie()?);
    Ok(response)
}
