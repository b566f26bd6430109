//! Forms with files: read part by part, so that no file stands in memory whole.

use axum::extract::Multipart;
use axum::extract::multipart::{Field, MultipartError};
use axum::http::StatusCode;
use wardwatch_incidents::change::EvidenceFile;

use super::Web;
use super::error::Fault;
use super::form::{self, Fields, MAX_FORM_BYTES};
use super::language::Key;
use super::session::SignedIn;
use crate::store::evidence::{self, KeepError, MAX_BYTES};

/// The most files of one form.
const MAX_FILES: usize = 5;
/// The largest form, in bytes.
pub(super) const MAX_UPLOAD_BYTES: usize = MAX_FILES * MAX_BYTES as usize + 2 * MAX_FORM_BYTES;

/// What a form with files held.
pub(super) struct Upload {
    pub(super) fields: Fields,
    /// Kept, and noted in the table of evidence.
    pub(super) files: Vec<EvidenceFile>,
}

/// Reads a form. Its first field must be the session's token: nothing is kept for anyone else.
pub(super) async fn read(web: &Web, visitor: &SignedIn, mut form: Multipart) -> Result<Upload, Fault> {
    let first = form.next_field().await?.filter(|field| field.name() == Some("csrf"));
    let token = text(first.ok_or(Fault::ForeignForm)?, MAX_FORM_BYTES).await?;
    form::check_token(visitor, &token)?;
    let mut fields = Vec::new();
    let mut left = MAX_FORM_BYTES;
    let mut files = Vec::new();
    while let Some(field) = form.next_field().await? {
        let name = field.name().unwrap_or_default().to_owned();
        if field.file_name().is_some() {
            if files.len() == MAX_FILES {
                return Err(Fault::TooLarge);
            }
            files.extend(file(web, field).await?);
        } else {
            let value = text(field, left).await?;
            left -= value.len();
            fields.push((name, value));
        }
    }
    let mut tx = web.store().write().await?;
    for file in &files {
        evidence::note(&mut tx, file, &visitor.user, web.now()).await?;
    }
    tx.commit().await?;
    Ok(Upload { fields: Fields::new(fields), files })
}

async fn text(mut field: Field<'_>, most: usize) -> Result<String, Fault> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await? {
        if bytes.len() + chunk.len() > most {
            return Err(Fault::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).map_err(|_| Fault::BadRequest(Key("fault-bad-request")))
}

/// A file field that was left empty is no file.
async fn file(web: &Web, mut field: Field<'_>) -> Result<Option<EvidenceFile>, Fault> {
    let name = field.file_name().unwrap_or_default().to_owned();
    let mut incoming = web.evidence.receive().await?;
    while let Some(chunk) = field.chunk().await? {
        incoming.write(&chunk).await?;
    }
    if incoming.is_empty() { Ok(None) } else { Ok(Some(incoming.keep(&name).await?)) }
}

impl From<MultipartError> for Fault {
    fn from(error: MultipartError) -> Self {
        if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Self::TooLarge
        } else {
            Self::BadRequest(Key("fault-bad-request"))
        }
    }
}

impl From<KeepError> for Fault {
    fn from(error: KeepError) -> Self {
        match error {
            KeepError::TooLarge => Self::TooLarge,
            error => Self::broken(error),
        }
    }
}
