//! From what the reference names, through indexes, to the manifest and config for this node.

use crate::digest::Digest;
use crate::document::{self, ConfigFile, Document, Manifest};
use crate::error::{BlobError, PullErrorKind};
use crate::limits;
use crate::platform::Platform;
use crate::source::{Source, Top};
use crate::store::{Lease, Store, blocking};

/// A manifest and all that was read on the way to it.
#[derive(Clone, Debug)]
pub(super) struct Resolved {
    /// What the reference names: the index, or the manifest itself.
    pub(super) top: Digest,
    pub(super) manifest: Manifest,
    pub(super) config: ConfigFile,
    /// The platform that the index gives.
    pub(super) listed_as: Option<Platform>,
    /// All documents, the config included.
    pub(super) documents: Vec<Digest>,
    /// One per document, taken before it was looked for: until the whole image is leased.
    pub(super) leases: Vec<Lease>,
}

impl Store {
    pub(super) async fn resolve(&self, source: &Source) -> Result<Resolved, PullErrorKind> {
        let (top, mut bytes) = match source.top().await? {
            Top::Digest(digest) => (digest, None),
            Top::Bytes(bytes) => (Digest::of(&bytes), Some(bytes)),
        };
        let mut digest = top.clone();
        let mut listed_as = None;
        let mut documents = Vec::new();
        let mut leases = Vec::new();
        for _ in 0..limits::INDEX_DEPTH {
            documents.push(digest.clone());
            leases.push(self.lease_document(&digest).await?);
            let document = match bytes.take() {
                Some(bytes) => self.put_document(bytes).await?,
                None => self.manifest(source, &digest).await?,
            };
            match Document::parse(&document, &format!("manifest {digest}"))? {
                Document::Manifest(manifest) => {
                    documents.push(manifest.config.digest.clone());
                    leases.push(self.lease_document(&manifest.config.digest).await?);
                    let config = self.config(source, &manifest).await?;
                    return Ok(Resolved { top, manifest, config, listed_as, documents, leases });
                }
                Document::Index(members) => {
                    let member = document::choose(&members)?;
                    listed_as = member.platform.clone().or(listed_as);
                    digest = member.digest.clone();
                }
            }
        }
        Err(PullErrorKind::Malformed { what: format!("index {top}"), why: "it is nested too deeply".to_owned() })
    }

    async fn lease_document(&self, digest: &Digest) -> Result<Lease, PullErrorKind> {
        let (store, digests) = (self.clone(), vec![digest.clone()]);
        blocking(move || Ok(store.lease(digests)?)).await
    }

    /// A manifest or index, from the store if it has it.
    async fn manifest(&self, source: &Source, digest: &Digest) -> Result<Vec<u8>, PullErrorKind> {
        let _flight = self.flight(digest.as_str()).await;
        if let Some(bytes) = self.document(digest, limits::MANIFEST_BYTES).await? {
            return Ok(bytes);
        }
        let bytes = source.manifest(digest).await?;
        let actual = Digest::of(&bytes);
        if actual != *digest {
            return Err(BlobError::Digest { expected: digest.clone(), actual }.into());
        }
        self.put_document(bytes).await
    }

    async fn config(&self, source: &Source, manifest: &Manifest) -> Result<ConfigFile, PullErrorKind> {
        let descriptor = &manifest.config;
        self.fetch(source, &descriptor.digest, descriptor.size, None).await?;
        match self.document(&descriptor.digest, limits::CONFIG_BYTES).await? {
            Some(bytes) => ConfigFile::parse(&bytes),
            // It was verified a moment ago: somebody else writes here.
            None => Err(PullErrorKind::Interrupted {
                what: format!("config {}", descriptor.digest),
                why: "it was removed from the store while being pulled".to_owned(),
            }),
        }
    }

    async fn document(&self, digest: &Digest, limit: u64) -> Result<Option<Vec<u8>>, PullErrorKind> {
        let (store, digest) = (self.clone(), digest.clone());
        blocking(move || Ok(store.read_blob(&digest, limit)?)).await
    }

    async fn put_document(&self, bytes: Vec<u8>) -> Result<Vec<u8>, PullErrorKind> {
        let store = self.clone();
        blocking(move || {
            store.put_blob(&bytes)?;
            Ok(bytes)
        })
        .await
    }
}
