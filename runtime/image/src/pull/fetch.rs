//! Blobs into the store, each once however many pulls want it.

use std::io::Read;
use std::sync::Arc;

use futures::{FutureExt, StreamExt, TryStreamExt};

use crate::digest::Digest;
use crate::error::PullErrorKind;
use crate::options::PullOptions;
use crate::progress::{Progress, ProgressEvent};
use crate::registry::Registry;
use crate::source::Source;
use crate::store::{Content, Record, SizedBlob, Store, blocking};

/// Layers of one pull in transfer at the same time.
const PARALLEL: usize = 4;

type Listener<'a> = Option<&'a Arc<dyn Progress>>;

impl Store {
    /// Fetches all layers of an image.
    pub(super) async fn fetch_layers(
        &self,
        source: &Source,
        record: &Record,
        options: &PullOptions,
    ) -> Result<(), PullErrorKind> {
        let layers: &[SizedBlob] = match &record.content {
            Content::Component(blob) => std::slice::from_ref(blob),
            Content::RootFs { layers, .. } | Content::Linux { layers, .. } => layers,
        };
        let progress = options.progress.as_ref();
        tell(progress, || ProgressEvent::Resolved { manifest: record.manifest_digest.clone(), layers: layers.len() });
        let transfers: Vec<_> =
            layers.iter().map(|layer| self.fetch(source, &layer.digest, layer.size, progress).boxed()).collect();
        futures::stream::iter(transfers).buffer_unordered(PARALLEL).try_collect().await
    }

    /// Makes one blob present.
    pub(super) async fn fetch(
        &self,
        source: &Source,
        digest: &Digest,
        size: u64,
        progress: Listener<'_>,
    ) -> Result<(), PullErrorKind> {
        let _flight = self.flight(digest.as_str()).await;
        let (store, wanted) = (self.clone(), digest.clone());
        if blocking(move || store.blob(&wanted, Some(size))).await?.is_some() {
            tell(progress, || ProgressEvent::Exists { layer: digest.clone(), bytes: size });
            return Ok(());
        }
        match source {
            Source::Registry(registry) => {
                let mut attempts = registry.attempts();
                while let Err(error) = self.download(registry, digest, size, progress).await {
                    if !attempts.again(&error).await {
                        return Err(error);
                    }
                }
            }
            Source::Layout(layout) => self.copy(layout.blob(digest)?, digest, size, progress).await?,
            Source::Archive(archive) => self.copy(archive.blob(digest)?, digest, size, progress).await?,
        }
        tell(progress, || ProgressEvent::Done { layer: digest.clone() });
        Ok(())
    }

    async fn download(
        &self,
        registry: &Registry,
        digest: &Digest,
        size: u64,
        progress: Listener<'_>,
    ) -> Result<(), PullErrorKind> {
        tell(progress, || ProgressEvent::Started { layer: digest.clone(), total: size });
        let mut writer = self.blob_writer(digest, size)?;
        let mut response = registry.blob(digest, size).await?;
        let what = format!("blob {digest}");
        let mut total = 0u64;
        while let Some(chunk) = registry.chunk(&mut response, &what).await? {
            writer.write(&chunk)?;
            total = total.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
            tell(progress, || ProgressEvent::Transferred { layer: digest.clone(), bytes: total });
        }
        blocking(move || writer.commit().map_err(PullErrorKind::from)).await?;
        Ok(())
    }

    async fn copy(
        &self,
        mut reader: impl Read + Send + 'static,
        digest: &Digest,
        size: u64,
        progress: Listener<'_>,
    ) -> Result<(), PullErrorKind> {
        let (store, digest, progress) = (self.clone(), digest.clone(), progress.cloned());
        blocking(move || {
            tell(progress.as_ref(), || ProgressEvent::Started { layer: digest.clone(), total: size });
            let mut writer = store.blob_writer(&digest, size)?;
            let mut buffer = vec![0; 128 << 10];
            let mut total = 0u64;
            loop {
                let count = reader.read(&mut buffer).map_err(|error| PullErrorKind::Interrupted {
                    what: format!("blob {digest}"),
                    why: error.to_string(),
                })?;
                let Some(chunk) = buffer.get(..count).filter(|chunk| !chunk.is_empty()) else { break };
                writer.write(chunk)?;
                total = total.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
                tell(progress.as_ref(), || ProgressEvent::Transferred { layer: digest.clone(), bytes: total });
            }
            writer.commit()?;
            Ok(())
        })
        .await
    }
}

fn tell(progress: Listener<'_>, event: impl FnOnce() -> ProgressEvent) {
    if let Some(progress) = progress {
        progress.event(event());
    }
}
