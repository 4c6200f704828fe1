//! Records: what each reference was when it was last pulled.

use std::io::ErrorKind;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Store, disk};
use crate::config::ImageConfig;
use crate::digest::Digest;
use crate::error::StoreError;
use crate::platform::Platform;
use crate::reference::Reference;
use crate::unpack::chain_ids;

/// A blob and its size.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SizedBlob {
    pub(crate) digest: Digest,
    pub(crate) size: u64,
}

/// What the image holds, by digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Content {
    Component(SizedBlob),
    RootFs {
        chain: Digest,
        layers: Vec<SizedBlob>,
        diff_ids: Vec<Digest>,
    },
    Linux {
        chain: Digest,
        layers: Vec<SizedBlob>,
        /// Empty in records of before Linux images were unpacked: such an image is pulled again.
        #[serde(default)]
        diff_ids: Vec<Digest>,
    },
}

/// One file of `images/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub(crate) reference: Reference,
    pub(crate) image_id: Digest,
    pub(crate) manifest_digest: Digest,
    pub(crate) platform: Platform,
    pub(crate) config: ImageConfig,
    pub(crate) size: u64,
    pub(crate) created: Option<Timestamp>,
    pub(crate) pulled: Timestamp,
    pub(crate) content: Content,
    /// Indexes, manifest and config: what `content` does not name.
    pub(crate) documents: Vec<Digest>,
}

impl Record {
    /// All that must stay in the store for this image.
    pub(crate) fn digests(&self) -> Vec<Digest> {
        let mut digests = self.documents.clone();
        match &self.content {
            Content::Component(blob) => digests.push(blob.digest.clone()),
            Content::RootFs { chain, layers, .. } => {
                digests.push(chain.clone());
                digests.extend(layers.iter().map(|layer| layer.digest.clone()));
            }
            Content::Linux { chain, layers, diff_ids } => {
                digests.push(chain.clone());
                digests.extend(layers.iter().map(|layer| layer.digest.clone()));
                // Each of the layers has a tree of its own, which images that begin alike share.
                digests.extend(chain_ids(diff_ids));
            }
        }
        digests
    }
}

impl Store {
    pub(super) fn record_path(&self, reference: &Reference) -> PathBuf {
        let name = Digest::of(reference.to_string().as_bytes());
        self.root().join("images").join(format!("{}.json", name.hex()))
    }

    /// What `reference` was when last pulled. A reference by digest also finds the same digest pulled from the
    /// same repository by a tag. Blocking.
    pub(crate) fn record(&self, reference: &Reference) -> Result<Option<Record>, StoreError> {
        let path = self.record_path(reference);
        if let Some(record) = read(&path)?.filter(|record| record.reference == *reference) {
            return Ok(Some(record));
        }
        let Reference::Registry(wanted) = reference else { return Ok(None) };
        let Some(digest) = wanted.digest() else { return Ok(None) };
        let same = |record: &Record| match &record.reference {
            Reference::Registry(other) => {
                record.manifest_digest == *digest
                    && other.registry() == wanted.registry()
                    && other.repository() == wanted.repository()
            }
            _ => false,
        };
        Ok(self.records()?.into_iter().find(same).map(|record| Record { reference: reference.clone(), ..record }))
    }

    /// What the image was built for that `reference` named when it was last pulled, if the store knows. Blocking.
    pub fn platform(&self, reference: &Reference) -> Option<Platform> {
        self.record(reference).ok().flatten().map(|record| record.platform)
    }

    /// Notes that an image is used now, for the order in which unused ones are removed. Failing to is harmless.
    pub(crate) fn touch(&self, reference: &Reference) {
        let path = self.record_path(reference);
        let now = std::fs::FileTimes::new().set_modified(std::time::SystemTime::now());
        let touched = std::fs::File::options().append(true).open(&path).and_then(|file| file.set_times(now));
        if let Err(error) = touched {
            tracing::debug!(%reference, %error, "an image's last use was not noted");
        }
    }

    /// When [`Self::touch`] or [`Self::put_record`] was called last; long ago if that is not known.
    pub(super) fn last_used(&self, reference: &Reference) -> Timestamp {
        let modified = std::fs::metadata(self.record_path(reference)).and_then(|metadata| metadata.modified());
        modified.ok().and_then(|time| Timestamp::try_from(time).ok()).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Notes what a reference is now, durably; nothing is written when that is known already. The caller holds a
    /// lease on its digests. Blocking.
    pub(crate) fn put_record(&self, record: &Record) -> Result<(), StoreError> {
        let path = self.record_path(&record.reference);
        if let Some(old) = read(&path)?
            && (Record { pulled: record.pulled, ..old }) == *record
        {
            return Ok(());
        }
        let _guard = self.lock_shared()?;
        let bytes = serde_json::to_vec(record).map_err(|error| StoreError::io("encode", &path, error.into()))?;
        disk::write_atomically(&path, &bytes, self.tmp())
    }

    pub(super) fn remove_record(&self, reference: &Reference) -> Result<(), StoreError> {
        disk::remove_file(&self.record_path(reference))
    }

    /// All records, by reference.
    pub(crate) fn records(&self) -> Result<Vec<Record>, StoreError> {
        let dir = self.root().join("images");
        let mut records = Vec::new();
        for name in disk::names(&dir)? {
            records.extend(read(&dir.join(name))?);
        }
        records.sort_by(|left, right| left.reference.cmp(&right.reference));
        Ok(records)
    }
}

/// A record that is missing or damaged is as if the image had never been pulled: pulling heals it.
fn read(path: &std::path::Path) -> Result<Option<Record>, StoreError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StoreError::io("read", path, source)),
    };
    match serde_json::from_slice(&bytes) {
        Ok(record) => Ok(Some(record)),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "a damaged image record is left out");
            Ok(None)
        }
    }
}
