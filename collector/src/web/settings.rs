//! What visitors decide for themselves: password and language.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use wardwatch_incidents::change::Actor;
use wardwatch_policies::text::Language;
use zeroize::Zeroizing;

use super::error::Fault;
use super::form::{NewcomersForm, OpenForm};
use super::language::{self, Key, Words as _};
use super::page::{self, Page, Section};
use super::session::{Newcomer, SignedIn};
use super::{Web, accounts, local_path, password};
use crate::store::users;

#[derive(Template)]
#[template(path = "password.html")]
struct PasswordPage {
    page: Page,
    must_change: bool,
    problem: Option<Key>,
}

fn form(
    web: &Web,
    headers: &HeaderMap,
    visitor: SignedIn,
    must_change: bool,
    problem: Option<Key>,
) -> PasswordPage {
    let page = Page {
        language: Language::chosen(headers),
        visitor: Some(visitor),
        here: "/password".into(),
        section: Section::None,
        now: web.now(),
    };
    PasswordPage { page, must_change, problem }
}

pub(super) async fn show_password(
    State(web): State<Web>,
    headers: HeaderMap,
    Newcomer(visitor): Newcomer,
) -> Result<Response, Fault> {
    let must_change = users::find(web.db(), &visitor.user).await?.is_some_and(|user| user.must_change);
    page::show(&form(&web, &headers, visitor, must_change, None))
}

/// Changing the password ends all sessions of the user and begins a new one here.
pub(super) async fn change_password(
    State(web): State<Web>,
    headers: HeaderMap,
    NewcomersForm(form_data): NewcomersForm,
) -> Result<Response, Fault> {
    let (visitor, fields) = (form_data.visitor, form_data.fields);
    let user = users::find(web.db(), &visitor.user).await?.ok_or(Fault::NotSignedIn)?;
    let new = fields.raw("new");
    let problem = if !password::verify(
        Zeroizing::new(fields.raw("current").to_owned()),
        Some(user.password_hash.clone()),
    )
    .await?
    {
        Some(Key("password-current-wrong"))
    } else if new != fields.raw("again") {
        Some(Key("password-not-the-same"))
    } else if new == fields.raw("current") {
        Some(Key("password-unchanged"))
    } else {
        password::judge(&user.name, new).err()
    };
    if problem.is_some() {
        let page = form(&web, &headers, visitor, user.must_change, problem);
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page::show(&page)?).into_response());
    }
    let hash = password::hash(Zeroizing::new(new.to_owned())).await?;
    let actor = Actor::User(user.name.clone());
    accounts::keep(&web.fleet, &actor, &user.name, &hash, false, web.now()).await?;
    let cookie = web.begin_session(&user.name, web.now()).await?;
    let mut response = Redirect::to("/").into_response();
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(response)
}

/// For this browser, and for whoever is signed in also for the next one.
pub(super) async fn choose_language(
    State(web): State<Web>,
    headers: HeaderMap,
    OpenForm(fields): OpenForm,
) -> Result<Response, Fault> {
    let language =
        Language::of_tag(fields.trimmed("language")).ok_or(Fault::BadRequest(Key("fault-bad-request")))?;
    if let Some((visitor, _)) = web.visitor(&headers).await? {
        let mut tx = web.store().write().await?;
        users::set_language(&mut tx, &visitor.user, language.tag()).await?;
        tx.commit().await?;
    }
    let mut response = Redirect::to(local_path(fields.trimmed("back"))).into_response();
    let cookie = web.set_cookie(language::COOKIE, language.tag(), "Max-Age=31536000; ")?;
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(response)
}
