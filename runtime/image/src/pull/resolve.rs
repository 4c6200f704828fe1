//! From what the reference names, through indexes, to the manifest and config for this node.

use crate::digest::Digest;
use crate::document::{self, ConfigFile, Document, Manifest};
use crate::error::{BlobError, PullErrorKind};
use crate::limits;
use crate::platform::Platform;
use crate::source::{Source, Top};
use crate::store::{Store, blocking};

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
    /// Their bytes.
    pub(super) bytes: Vec<(Digest, Vec<u8>)>,
}

impl Store {
    pub(super) async fn resolve(&self, source: &Source) -> Result<Resolved, PullErrorKind> {
        let mut bytes = Vec::new();
        let (top, mut document) = match source.top().await? {
            Top::Digest(digest) => {
                let document = self.manifest(source, &digest).await?;
                (digest, document)
            }
            Top::Bytes(document) => (Digest::of(&document), document),
        };
        let mut digest = top.clone();
        let mut listed_as = None;
        for _ in 0..limits::INDEX_DEPTH {
            let parsed = Document::parse(&document, &format!("manifest {digest}"))?;
            bytes.push((digest.clone(), document));
            match parsed {
                Document::Manifest(manifest) => {
                    let config = self.config(source, &manifest).await?;
                    bytes.push((manifest.config.digest.clone(), config.clone()));
                    let config = ConfigFile::parse(&config)?;
                    let documents = bytes.iter().map(|(digest, _)| digest.clone()).collect();
                    return Ok(Resolved { top, manifest, config, listed_as, documents, bytes });
                }
                Document::Index(members) => {
                    let member = document::choose(&members)?;
                    listed_as = member.platform.clone().or(listed_as);
                    digest = member.digest.clone();
                    document = self.manifest(source, &digest).await?;
                }
            }
        }
        Err(PullErrorKind::Malformed { what: format!("index {top}"), why: "it is nested too deeply".to_owned() })
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

    async fn config(&self, source: &Source, manifest: &Manifest) -> Result<Vec<u8>, PullErrorKind> {
        let descriptor = &manifest.config;
        self.fetch(source, &descriptor.digest, descriptor.size, None).await?;
        match self.document(&descriptor.digest, limits::CONFIG_BYTES).await? {
            Some(bytes) => Ok(bytes),
            // Swept this instant, or the disk lies.
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
