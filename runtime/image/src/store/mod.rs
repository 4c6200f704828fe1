//! The content store.

use std::path::Path;
use std::sync::Arc;

use crate::digest::Digest;
use crate::error::{PullError, PullErrorKind, RemoveError, StoreError};
use crate::image::{PulledImage, StoredImage};
use crate::options::PullOptions;
use crate::reference::Reference;

/// A content store.
#[derive(Clone, Debug)]
pub struct Store {
    _root: Arc<Path>,
}

/// Keeps an image from being removed, by any process, until the last clone is dropped or the process ends.
#[derive(Clone, Debug)]
pub struct Lease(Arc<()>);

/// What [`Store::remove`] took away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// References that no longer name an image.
    pub untagged: Vec<Reference>,
    /// Ids of images whose content is gone; empty when another reference still names it.
    pub deleted: Vec<Digest>,
    /// Bytes of disk freed.
    pub bytes: u64,
}

/// What [`Store::prune`] took away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Images that are gone.
    pub images: Vec<StoredImage>,
    /// Bytes of disk freed.
    pub bytes: u64,
}

impl Store {
    /// Opens the store in the directory `root`, which is made (mode 0700) when missing.
    ///
    /// # Errors
    /// When the directory cannot be used.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        Ok(Self { _root: root.into() })
    }

    /// Makes an image present.
    ///
    /// # Errors
    /// See [`PullError`].
    pub async fn pull(&self, reference: &Reference, options: PullOptions) -> Result<PulledImage, PullError> {
        let _ = options;
        Err(PullError::new(reference, PullErrorKind::NeverPull))
    }

    /// All images, by first reference. Blocking.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self) -> Result<Vec<StoredImage>, StoreError> {
        Ok(Vec::new())
    }

    /// Removes the image that `name`, a reference or a prefix of an id, names. Blocking.
    ///
    /// # Errors
    /// See [`RemoveError`].
    pub fn remove(&self, name: &str) -> Result<Removed, RemoveError> {
        Err(RemoveError::NotFound(name.to_owned()))
    }

    /// Removes what nothing names and, with `all`, images that no lease protects and `keep` does not name. Blocking.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn prune(&self, all: bool, keep: &[Reference]) -> Result<Pruned, StoreError> {
        let _ = (all, keep);
        Ok(Pruned::default())
    }
}
