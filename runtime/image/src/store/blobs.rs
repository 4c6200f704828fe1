//! Blobs: written once, verified, never changed.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use super::{Store, disk, stamps};
use crate::digest::{Digest, Hasher};
use crate::error::{BlobError, PullErrorKind, StoreError};

/// A blob could not be written: for want of space, or because it is not what was announced.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Blob(#[from] BlobError),
}

impl From<WriteError> for PullErrorKind {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Store(error) => Self::Store(error),
            WriteError::Blob(error) => Self::Blob(error),
        }
    }
}

/// A blob on its way into the store. Dropped before [`commit`](Self::commit), it leaves nothing.
pub(crate) struct BlobWriter {
    store: Store,
    file: NamedTempFile,
    hasher: Hasher,
    digest: Digest,
    size: u64,
    written: u64,
}

impl BlobWriter {
    /// Takes the next bytes; fails as soon as there are more than announced.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        self.written = self.written.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if self.written > self.size {
            return Err(self.wrong_size().into());
        }
        self.hasher.update(bytes);
        let path = self.file.path().to_owned();
        self.file.write_all(bytes).map_err(|source| StoreError::io("write", path, source))?;
        Ok(())
    }

    fn wrong_size(&self) -> BlobError {
        BlobError::Size { digest: self.digest.clone(), expected: self.size, actual: self.written }
    }

    /// Verifies size and digest and makes the blob appear, durably. Blocking.
    pub(crate) fn commit(self) -> Result<PathBuf, WriteError> {
        if self.written != self.size {
            return Err(self.wrong_size().into());
        }
        let Self { store, file, hasher, digest, .. } = self;
        let actual = hasher.finish();
        if actual != digest {
            return Err(BlobError::Digest { expected: digest, actual }.into());
        }
        Ok(store.persist_blob(file, &digest)?)
    }
}

impl Store {
    pub(super) fn stamps(&self) -> PathBuf {
        self.root().join("stamps")
    }

    pub(crate) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root().join("blobs/sha256").join(digest.hex())
    }

    /// Makes a finished file appear as the blob whose content it has.
    fn persist_blob(&self, file: NamedTempFile, digest: &Digest) -> Result<PathBuf, StoreError> {
        let path = self.blob_path(digest);
        let failed = |source| StoreError::io("write", &path, source);
        file.as_file().set_permissions(fs::Permissions::from_mode(0o400)).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        let file = file.persist(&path).map_err(|error| failed(error.error))?;
        disk::sync_parent(&path)?;
        let metadata = file.metadata().map_err(failed)?;
        stamps::put(&self.stamps(), self.tmp(), digest.hex(), digest, &metadata);
        Ok(path)
    }

    /// Starts a blob of `size` bytes.
    pub(crate) fn blob_writer(&self, digest: &Digest, size: u64) -> Result<BlobWriter, StoreError> {
        let file = NamedTempFile::new_in(self.tmp()).map_err(|source| StoreError::io("create", self.tmp(), source))?;
        Ok(BlobWriter {
            store: self.clone(),
            file,
            hasher: Hasher::default(),
            digest: digest.clone(),
            size,
            written: 0,
        })
    }

    /// Stores a small blob whose digest was computed from its bytes.
    pub(crate) fn put_blob(&self, bytes: &[u8]) -> Result<Digest, WriteError> {
        let digest = Digest::of(bytes);
        let mut writer = self.blob_writer(&digest, u64::try_from(bytes.len()).unwrap_or(u64::MAX))?;
        writer.write(bytes)?;
        writer.commit()?;
        Ok(digest)
    }

    /// The path of a blob that is there and intact; `None` sends the caller to fetch it (again). Hashes only when
    /// the file is not the inode that was verified before. Blocking.
    pub(crate) fn blob(&self, digest: &Digest, size: Option<u64>) -> Result<Option<PathBuf>, StoreError> {
        let path = self.blob_path(digest);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StoreError::io("open", path, source)),
        };
        let failed = |source| StoreError::io("read", &path, source);
        let metadata = file.metadata().map_err(failed)?;
        if size.is_some_and(|size| size != metadata.len()) {
            tracing::warn!(%digest, "a blob in the store has the wrong size; it will be replaced");
            return Ok(None);
        }
        if stamps::get(&self.stamps(), digest.hex(), &metadata).as_ref() == Some(digest) {
            return Ok(Some(path));
        }
        let (actual, _) = Digest::of_reader(&mut file).map_err(failed)?;
        if actual != *digest {
            tracing::warn!(%digest, "a blob in the store is corrupt; it will be replaced");
            return Ok(None);
        }
        stamps::put(&self.stamps(), self.tmp(), digest.hex(), digest, &metadata);
        Ok(Some(path))
    }

    /// The bytes of a small blob, verified; `None` when missing, damaged or over the limit. Blocking.
    pub(crate) fn read_blob(&self, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.blob_path(digest);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StoreError::io("open", path, source)),
        };
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes).map_err(|source| StoreError::io("read", path, source))?;
        Ok((Digest::of(&bytes) == *digest).then_some(bytes))
    }

    /// Copies a file of the user into the store, so that what was hashed is what runs, and gives its digest and
    /// size. A file that has not changed since is not read again. Blocking.
    pub(crate) fn import(&self, path: &Path, limit: u64) -> Result<(Digest, u64), PullErrorKind> {
        let local = |source| PullErrorKind::Local { path: path.to_owned(), source };
        let mut file = crate::source::open_regular(path).map_err(local)?;
        let metadata = file.metadata().map_err(local)?;
        if metadata.len() > limit {
            return Err(PullErrorKind::TooLarge { what: path.display().to_string(), limit, unit: "bytes" });
        }
        let name = format!("file-{}", Digest::of(path.as_os_str().as_encoded_bytes()).hex());
        if let Some(digest) = stamps::get(&self.stamps(), &name, &metadata)
            && self.blob(&digest, Some(metadata.len()))?.is_some()
        {
            return Ok((digest, metadata.len()));
        }
        let (digest, size) = self.copy_in(&mut file, path, metadata.len())?;
        let after = file.metadata().map_err(local)?;
        if size == after.len() && !stamps::is_fresh(&after) {
            stamps::put(&self.stamps(), self.tmp(), &name, &digest, &after);
        }
        Ok((digest, size))
    }

    /// One pass: the copy is hashed while it is written, so a file that changes meanwhile does no harm.
    fn copy_in(&self, file: &mut File, path: &Path, size: u64) -> Result<(Digest, u64), PullErrorKind> {
        let local = |source| PullErrorKind::Local { path: path.to_owned(), source };
        let mut copy =
            NamedTempFile::new_in(self.tmp()).map_err(|source| StoreError::io("create", self.tmp(), source))?;
        let mut hasher = Hasher::default();
        let mut reader = file.take(size);
        let mut buffer = vec![0; 128 << 10];
        let mut total = 0u64;
        loop {
            let count = reader.read(&mut buffer).map_err(local)?;
            let Some(chunk) = buffer.get(..count).filter(|chunk| !chunk.is_empty()) else { break };
            hasher.update(chunk);
            total = total.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
            copy.write_all(chunk).map_err(|source| StoreError::io("write", self.tmp(), source))?;
        }
        let digest = hasher.finish();
        if self.blob(&digest, Some(total))?.is_none() {
            self.persist_blob(copy, &digest)?;
        }
        Ok((digest, total))
    }
}
