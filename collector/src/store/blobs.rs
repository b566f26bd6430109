//! The programs of releases: files in a folder under the digest of their content. A file is on disk before
//! anything refers to it.

use std::io::{self, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use wardwatch_policies::digest::Digest;

/// The ending of a file that is not whole yet.
const DRAFT: &str = "part";

/// The folder that holds programs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct BlobDir(PathBuf);

/// A part of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub bytes: Vec<u8>,
    /// Bytes of the whole file.
    pub size: u64,
}

impl BlobDir {
    /// Opens the folder below the data folder, and makes it if it is missing, for its owner only. Deletes what a
    /// stop in the middle of [`Self::keep`] left.
    ///
    /// # Errors
    /// The folder cannot be made, read or written.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let dir = data_dir.join("blobs");
        std::fs::create_dir_all(&dir)?;
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o700))?;
        for entry in std::fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == DRAFT) {
                std::fs::remove_file(path)?;
            }
        }
        Ok(Self(dir))
    }

    fn file(&self, digest: Digest) -> PathBuf {
        self.0.join(digest.to_string())
    }

    /// Keeps `content` under its digest. The same content again takes the place of a damaged copy.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub async fn keep(&self, content: &[u8]) -> io::Result<Digest> {
        let digest = Digest::of(content);
        let draft = self.0.join(format!("{digest}.{DRAFT}"));
        let mut file = File::create(&draft).await?;
        file.write_all(content).await?;
        file.flush().await?;
        file.sync_all().await?;
        fs::rename(&draft, self.file(digest)).await?;
        File::open(&self.0).await?.sync_all().await?;
        Ok(digest)
    }

    /// Reads at most `length` bytes from `first` on; none from the end on. `None`: it is not held.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn read(&self, digest: Digest, first: u64, length: u64) -> io::Result<Option<Part>> {
        let mut file = match File::open(self.file(digest)).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let size = file.metadata().await?.len();
        file.seek(SeekFrom::Start(first)).await?;
        let mut bytes = Vec::new();
        file.take(length).read_to_end(&mut bytes).await?;
        Ok(Some(Part { bytes, size }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_begun_before_a_stop_is_gone_and_whole_programs_stay() {
        let data = tempfile::tempdir().unwrap();
        let digest = BlobDir::open(data.path()).unwrap().keep(b"whole").await.unwrap();
        let draft = data.path().join("blobs").join(format!("{}.part", Digest::of(b"other")));
        std::fs::write(&draft, b"oth").unwrap();
        let blobs = BlobDir::open(data.path()).unwrap();
        assert!(!draft.exists());
        assert!(blobs.read(digest, 0, 1).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_program_is_read_in_parts_under_its_digest() {
        let data = tempfile::tempdir().unwrap();
        let blobs = BlobDir::open(data.path()).unwrap();
        let digest = blobs.keep(b"0123456789").await.unwrap();
        let part = |bytes: &[u8]| Some(Part { bytes: bytes.to_vec(), size: 10 });
        assert_eq!(blobs.read(digest, 0, 4).await.unwrap(), part(b"0123"));
        assert_eq!(blobs.read(digest, 8, 4).await.unwrap(), part(b"89"));
        assert_eq!(blobs.read(digest, 10, 4).await.unwrap(), part(b""));
        assert_eq!(blobs.read(digest, 99, 4).await.unwrap(), part(b""));
        assert_eq!(blobs.read(Digest::of(b"x"), 0, 4).await.unwrap(), None);
    }
}
