//! From a reference to an image in the store.
//!
//! ```text
//!  record ── IfNotPresent/Never and intact ──────────────────────────────► PulledImage
//!    │ otherwise
//!    ▼
//!  resolve (manifest, config) ─► lease ─► fetch layers ─► unpack ─► record ─► PulledImage
//! ```
//!
//! The lease comes before anything is looked for in the store: what is found from then on stays.

mod fetch;
mod present;
mod resolve;
mod shape;

use jiff::Timestamp;

use crate::auth::Credentials;
use crate::error::{PullError, PullErrorKind};
use crate::image::{ImageContent, PulledImage};
use crate::limits;
use crate::options::{PullOptions, PullPolicy};
use crate::platform::Platform;
use crate::reference::{Reference, RegistryReference};
use crate::registry::Registry;
use crate::source::{Archive, Layout, Source};
use crate::store::{Content, Record, SizedBlob, Store, blocking};

impl Store {
    /// Makes an image present and gives what it holds. Several pulls of the same content at the same time transfer
    /// it once. Dropping the future stops the pull; nothing unfinished stays.
    ///
    /// # Errors
    /// See [`PullError`]: it knows the reason and message that Kubernetes gives.
    pub async fn pull(&self, reference: &Reference, options: PullOptions) -> Result<PulledImage, PullError> {
        let pulled = match reference {
            Reference::Registry(repository) => self.pull_registry(reference, repository, &options).await,
            Reference::File { path } => {
                let (store, path, reference) = (self.clone(), path.clone(), reference.clone());
                blocking(move || store.import_file(&reference, &path)).await
            }
            Reference::OciLayout { dir, tag } => {
                let source = Source::Layout(Layout { dir: dir.clone(), tag: tag.clone() });
                self.pull_source(reference, &source, &options).await
            }
            Reference::OciArchive { file, tag } => match open_archive(file.clone(), tag.clone()).await {
                Ok(source) => self.pull_source(reference, &source, &options).await,
                Err(error) => Err(error),
            },
        };
        pulled.map_err(|kind| PullError::new(reference, kind))
    }

    async fn pull_registry(
        &self,
        reference: &Reference,
        repository: &RegistryReference,
        options: &PullOptions,
    ) -> Result<PulledImage, PullErrorKind> {
        if options.policy != PullPolicy::Always {
            let present = self.present(reference).await?;
            match (present, options.policy) {
                (present::Present::Intact(image), _) => return Ok(*image),
                (present::Present::Missing, PullPolicy::Never) => return Err(PullErrorKind::NeverPull),
                (present::Present::Damaged, PullPolicy::Never) => {
                    return Err(PullErrorKind::Damaged(
                        "its content in the store is damaged, and the pull policy Never forbids to fetch it again"
                            .to_owned(),
                    ));
                }
                (present::Present::Missing | present::Present::Damaged, _) => {}
            }
        }
        let mut credentials: Vec<Credentials> = Vec::new();
        for config in &options.auth {
            for found in config.resolve(repository).await {
                if !credentials.contains(&found) {
                    credentials.push(found);
                }
            }
        }
        let registry = Registry::new(
            self.clients().clone(),
            repository,
            credentials,
            &options.insecure_registries,
            options.network,
        );
        self.pull_source(reference, &Source::Registry(registry), options).await
    }

    async fn pull_source(
        &self,
        reference: &Reference,
        source: &Source,
        options: &PullOptions,
    ) -> Result<PulledImage, PullErrorKind> {
        let _turn = self.turn().await;
        let resolved = self.resolve(source).await?;
        let shape = shape::shape(&resolved)?;
        let record = Record {
            reference: reference.clone(),
            image_id: resolved.manifest.config.digest.clone(),
            manifest_digest: resolved.top,
            platform: shape.platform,
            config: resolved.config.config,
            size: resolved
                .manifest
                .layers
                .iter()
                .fold(resolved.manifest.config.size, |total, layer| total.saturating_add(layer.size)),
            created: resolved.config.created,
            pulled: Timestamp::now(),
            content: shape.content,
            documents: resolved.documents,
        };
        let digests = record.digests();
        let store = self.clone();
        let lease = blocking(move || store.lease(digests)).await?;
        drop(resolved.leases);
        self.fetch_layers(source, &record, options).await?;
        let content = self.materialise(&record, options.progress.clone()).await?;
        let store = self.clone();
        blocking(move || {
            store.put_record(&record)?;
            Ok(present::image(record, content, lease))
        })
        .await
    }

    /// `file:`: the content is copied, so that what was hashed is what runs.
    fn import_file(&self, reference: &Reference, path: &std::path::Path) -> Result<PulledImage, PullErrorKind> {
        // A sweep between the copy and the lease can take the copy away again: then once more.
        let (digest, size, lease) = loop {
            let (digest, size) = self.import(path, limits::BLOB_BYTES)?;
            let lease = self.lease(vec![digest.clone()])?;
            if self.blob(&digest, Some(size))?.is_some() {
                break (digest, size, lease);
            }
        };
        let blob = self.blob_path(&digest);
        shape::check_wasm(&blob, &path.display().to_string())?;
        let record = Record {
            reference: reference.clone(),
            image_id: digest.clone(),
            manifest_digest: digest.clone(),
            platform: Platform::new("wasi", "wasm"),
            config: crate::config::ImageConfig::default(),
            size,
            created: None,
            pulled: Timestamp::now(),
            content: Content::Component(SizedBlob { digest: digest.clone(), size }),
            documents: Vec::new(),
        };
        self.put_record(&record)?;
        Ok(present::image(record, ImageContent::Component { path: blob, digest }, lease))
    }
}

async fn open_archive(file: std::path::PathBuf, tag: Option<String>) -> Result<Source, PullErrorKind> {
    blocking(move || Archive::open(&file, tag).map(Source::Archive)).await
}

/// A pull runs in any task.
const _: fn() = || {
    fn assert_send<T: Send>(_: T) {}
    let _ = |store: &Store, reference: &Reference| assert_send(store.pull(reference, PullOptions::default()));
};
