//! What stands in the address, with our own answers where it makes no sense.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query};

use super::error::Fault;
use super::language::Key;

/// The variable parts of the path. What cannot be one leads to no page.
#[derive(FromRequestParts)]
#[from_request(via(Path), rejection(Fault))]
pub(super) struct At<T>(pub(super) T);

/// What stands after the question mark.
#[derive(FromRequestParts)]
#[from_request(via(Query), rejection(Fault))]
pub(super) struct Asked<T>(pub(super) T);

impl From<PathRejection> for Fault {
    fn from(_: PathRejection) -> Self {
        Self::NotFound
    }
}

impl From<QueryRejection> for Fault {
    fn from(_: QueryRejection) -> Self {
        Self::BadRequest(Key("fault-bad-request"))
    }
}
