//! Evidence files: kept in a folder under the digest of their content, named in a table.
//!
//! A file is on disk before anything refers to it, and never changes afterwards.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sqlx::{AnyConnection, AnyPool, Row};
use tokio::fs::{self, File, OpenOptions};
use tokio::io::AsyncWriteExt;
use wardwatch_incidents::change::EvidenceFile;
use wardwatch_policies::digest::Digest;
use wardwatch_policies::time::UnixMillis;

/// The largest file that is kept, in bytes.
pub const MAX_BYTES: u64 = 20 * 1024 * 1024;
/// The longest name that is kept, in characters.
const MAX_NAME_CHARS: usize = 200;

/// The folder that holds evidence. Cheap to clone.
#[derive(Debug, Clone)]
pub struct EvidenceDir(PathBuf);

/// The file was not kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    #[error("the file is larger than {} MiB, so it was not kept; compress or split it", MAX_BYTES >> 20)]
    TooLarge,
    #[error("the evidence folder cannot be written")]
    Io(#[from] io::Error),
    #[error("the database failed")]
    Store(#[from] sqlx::Error),
}

impl EvidenceDir {
    /// Opens the folder below the data folder, and makes it if it is missing, for its owner only.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let dir = data_dir.join("evidence");
        std::fs::create_dir_all(&dir)?;
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700))?;
        Ok(Self(dir))
    }

    /// Begins to take in a file.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub async fn receive(&self) -> Result<Incoming, KeepError> {
        let mut random = [0u8; 16];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let part = self.0.join(format!("{}.part", Digest::of(&random)));
        let file = OpenOptions::new().write(true).create_new(true).open(&part).await?;
        Ok(Incoming { dir: self.0.clone(), part, file, hasher: blake3::Hasher::new(), size: 0, kept: false })
    }

    /// Opens a file that was kept.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    pub async fn read(&self, digest: Digest) -> io::Result<File> {
        File::open(self.0.join(digest.to_string())).await
    }
}

/// A file on its way in. Dropped before it is kept, it leaves nothing.
pub struct Incoming {
    dir: PathBuf,
    part: PathBuf,
    file: File,
    hasher: blake3::Hasher,
    size: u64,
    kept: bool,
}

impl Incoming {
    /// # Errors
    /// The file grows too large, or cannot be written.
    pub async fn write(&mut self, chunk: &[u8]) -> Result<(), KeepError> {
        self.size += chunk.len() as u64;
        if self.size > MAX_BYTES {
            return Err(KeepError::TooLarge);
        }
        self.hasher.update(chunk);
        self.file.write_all(chunk).await?;
        Ok(())
    }

    /// Nothing has come, as when a form's file field was left empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Puts the file in its place. The same content again is the same file.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub async fn keep(mut self, name: &str) -> Result<EvidenceFile, KeepError> {
        self.file.flush().await?;
        self.file.sync_all().await?;
        let digest = Digest::from(self.hasher.finalize());
        fs::rename(&self.part, self.dir.join(digest.to_string())).await?;
        self.kept = true;
        Ok(EvidenceFile { digest, name: plain_name(name), size: self.size })
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = std::fs::remove_file(&self.part)
        {
            tracing::warn!(%error, "an unfinished evidence file stays behind");
        }
    }
}

/// The last part of a name, without what could mislead a reader or a file system.
fn plain_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or(name).trim();
    let plain: String = last.chars().filter(|c| !c.is_control()).take(MAX_NAME_CHARS).collect();
    if plain.is_empty() || plain.chars().all(|c| c == '.') { "evidence".into() } else { plain }
}

/// Notes a file that was kept; one that is known already stays as it is.
///
/// # Errors
/// The database fails.
pub async fn note(
    db: &mut AnyConnection,
    file: &EvidenceFile,
    by: &str,
    now: UnixMillis,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into evidence (digest, name, size, added, added_by) values ($1, $2, $3, $4, $5) \
         on conflict (digest) do nothing",
    )
    .bind(file.digest.as_bytes().to_vec())
    .bind(&file.name)
    .bind(file.size.cast_signed())
    .bind(now.0)
    .bind(by)
    .execute(db)
    .await?;
    Ok(())
}

/// The file of this digest, if it was kept here.
///
/// # Errors
/// The database fails.
pub async fn find(db: &AnyPool, digest: Digest) -> Result<Option<EvidenceFile>, sqlx::Error> {
    let row = sqlx::query("select name, size from evidence where digest = $1")
        .bind(digest.as_bytes().to_vec())
        .fetch_optional(db)
        .await?;
    row.map(|row| {
        Ok(EvidenceFile {
            digest,
            name: row.try_get("name")?,
            size: row.try_get::<i64, _>("size")?.unsigned_abs(),
        })
    })
    .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_kept_under_its_digest_and_an_unfinished_one_leaves_nothing() {
        let data = tempfile::tempdir().unwrap();
        let dir = EvidenceDir::open(data.path()).unwrap();
        let mut incoming = dir.receive().await.unwrap();
        incoming.write(b"bi").await.unwrap();
        incoming.write("ên bản".as_bytes()).await.unwrap();
        let kept = incoming.keep("..\\C:\\Biên bản\u{7}.pdf").await.unwrap();
        assert_eq!(kept.digest, Digest::of("biên bản".as_bytes()));
        assert_eq!((kept.name.as_str(), kept.size), ("Biên bản.pdf", 11));
        drop(dir.receive().await.unwrap());
        let names: Vec<_> = std::fs::read_dir(data.path().join("evidence")).unwrap().collect();
        assert_eq!(names.len(), 1);
    }

    #[tokio::test]
    async fn one_byte_too_many_is_refused() {
        let data = tempfile::tempdir().unwrap();
        let mut incoming = EvidenceDir::open(data.path()).unwrap().receive().await.unwrap();
        incoming.write(&vec![0; 20 << 20]).await.unwrap();
        assert!(matches!(incoming.write(&[0]).await, Err(KeepError::TooLarge)));
    }

    #[test]
    fn a_name_of_dots_or_nothing_gets_a_plain_one() {
        for name in ["", "..", "/", "a/..", "\u{1}"] {
            assert_eq!(plain_name(name), "evidence");
        }
    }
}
