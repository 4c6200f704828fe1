//! Images that are in the store already, and content made ready to use.

use std::sync::Arc;

use super::shape;
use crate::digest::Digest;
use crate::error::PullErrorKind;
use crate::image::{ImageContent, PulledImage};
use crate::progress::Progress;
use crate::reference::Reference;
use crate::store::{Content, Lease, Record, SizedBlob, Store, blocking};
use crate::unpack::{self, Layer};

/// What the store has under a reference.
#[derive(Debug)]
pub(super) enum Present {
    Intact(Box<PulledImage>),
    /// There is a record, but content is missing or corrupt.
    Damaged,
    Missing,
}

impl Store {
    pub(super) async fn present(&self, reference: &Reference) -> Result<Present, PullErrorKind> {
        let (store, wanted) = (self.clone(), reference.clone());
        let found = blocking(move || -> Result<_, PullErrorKind> {
            let Some(record) = store.record(&wanted)? else { return Ok(None) };
            let lease = store.lease(record.digests())?;
            // Between reading and leasing it may have been removed.
            Ok(store.record(&wanted)?.filter(|again| again.digests() == record.digests()).map(|record| (record, lease)))
        })
        .await?;
        let Some((record, lease)) = found else { return Ok(Present::Missing) };
        match self.materialise(&record, None).await {
            Ok(content) => {
                self.touch(reference);
                Ok(Present::Intact(Box::new(image(record, content, lease))))
            }
            Err(PullErrorKind::NotFound { .. }) => Ok(Present::Damaged),
            Err(error) => Err(error),
        }
    }

    /// Looks up, verifies and unpacks content whose blobs have been fetched; `NotFound` when one is missing or
    /// damaged.
    pub(super) async fn materialise(
        &self,
        record: &Record,
        progress: Option<Arc<dyn Progress>>,
    ) -> Result<ImageContent, PullErrorKind> {
        let store = self.clone();
        match record.content.clone() {
            Content::Component(blob) => {
                blocking(move || {
                    let path = locate(&store, &blob)?;
                    shape::check_wasm(&path, &format!("layer {}", blob.digest))?;
                    Ok(ImageContent::Component { path, digest: blob.digest })
                })
                .await
            }
            Content::Linux { chain, layers, diff_ids } => {
                // Two images that share layers may both unpack them: the second to finish finds them there.
                let _flight = self.flight(&format!("layers {chain}")).await;
                blocking(move || {
                    let layers = locate_all(&store, &layers, diff_ids)?;
                    let layers = unpack::unpack_linux(&store, &layers, progress.as_ref())?;
                    Ok(ImageContent::Linux { layers, digest: chain })
                })
                .await
            }
            Content::RootFs { chain, layers, diff_ids } => {
                let dir = self.rootfs_path(&chain);
                if dir.is_dir() {
                    return Ok(ImageContent::RootFs { dir, digest: chain });
                }
                let _flight = self.flight(&format!("rootfs {chain}")).await;
                blocking(move || {
                    let layers = locate_all(&store, &layers, diff_ids)?;
                    let dir = unpack::unpack(&store, &chain, &layers, progress.as_ref())?;
                    Ok(ImageContent::RootFs { dir, digest: chain })
                })
                .await
            }
        }
    }
}

fn locate_all(store: &Store, blobs: &[SizedBlob], diff_ids: Vec<Digest>) -> Result<Vec<Layer>, PullErrorKind> {
    if blobs.len() != diff_ids.len() {
        return Err(PullErrorKind::NotFound { what: "what its layers unpack to".to_owned() });
    }
    let layer = |(blob, diff_id): (&SizedBlob, Digest)| {
        Ok(Layer { digest: blob.digest.clone(), path: locate(store, blob)?, diff_id })
    };
    blobs.iter().zip(diff_ids).map(layer).collect()
}

fn locate(store: &Store, blob: &SizedBlob) -> Result<std::path::PathBuf, PullErrorKind> {
    store
        .blob(&blob.digest, Some(blob.size))?
        .ok_or_else(|| PullErrorKind::NotFound { what: format!("blob {} in the store", blob.digest) })
}

pub(super) fn image(record: Record, content: ImageContent, lease: Lease) -> PulledImage {
    PulledImage {
        reference: record.reference,
        image_id: record.image_id,
        manifest_digest: record.manifest_digest,
        platform: record.platform,
        config: record.config,
        size: record.size,
        content,
        lease,
    }
}
