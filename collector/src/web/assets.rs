//! Files that come with the program: style, script, licences. Nothing is fetched from elsewhere.

use axum::http::{HeaderName, header};
use axum::response::IntoResponse;

use super::address::At;
use super::error::Fault;

const ASSETS: [(&str, &str, &str); 7] = [
    ("style.css", "text/css; charset=utf-8", include_str!("../../assets/style.css")),
    ("icon.svg", "image/svg+xml", include_str!("../../assets/icon.svg")),
    ("htmx.min.js", "text/javascript; charset=utf-8", include_str!("../../assets/htmx.min.js")),
    ("htmx-sse.min.js", "text/javascript; charset=utf-8", include_str!("../../assets/htmx-sse.min.js")),
    ("live.js", "text/javascript; charset=utf-8", include_str!("../../assets/live.js")),
    ("htmx.LICENSE.txt", "text/plain; charset=utf-8", include_str!("../../assets/htmx.LICENSE.txt")),
    ("htmx-sse.LICENSE.txt", "text/plain; charset=utf-8", include_str!("../../assets/htmx-sse.LICENSE.txt")),
];

type Asset = ([(HeaderName, &'static str); 2], &'static str);

pub(super) async fn show(At(name): At<String>) -> Result<Asset, Fault> {
    let (_, kind, body) = ASSETS.into_iter().find(|(known, ..)| *known == name).ok_or(Fault::NotFound)?;
    Ok(([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "max-age=3600")], body))
}

/// Whether the server answers at all.
pub(super) async fn healthy() -> impl IntoResponse {
    "ok\n"
}
