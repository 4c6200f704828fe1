//! Layers into a root file system, once per chain of layers.
//!
//! Unpacking happens in the store's `tmp/`; the finished, synced tree is renamed to its chain id, so that one which
//! is there is whole.

mod budget;
mod entry;
mod headers;
#[cfg(test)]
mod tests;
mod tree;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;

use crate::digest::Digest;
use crate::error::{StoreError, UnpackError};
use crate::progress::{Progress, ProgressEvent};
use crate::store::Store;
use budget::{Bounded, Budget};
use tree::Tree;

/// One layer to unpack.
#[derive(Clone, Debug)]
pub(crate) struct Layer {
    pub(crate) digest: Digest,
    pub(crate) path: PathBuf,
    /// Digest of the uncompressed archive, from the image's config.
    pub(crate) diff_id: Digest,
}

/// The chain id of layers (OCI image specification, config.md).
pub(crate) fn chain_id(diff_ids: &[Digest]) -> Digest {
    let mut ids = diff_ids.iter();
    let Some(first) = ids.next() else { return Digest::of(b"") };
    ids.fold(first.clone(), |chain, id| Digest::of(format!("{chain} {id}").as_bytes()))
}

/// Makes the tree of `chain` present and gives its root. Blocking.
pub(crate) fn unpack(
    store: &Store,
    chain: &Digest,
    layers: &[Layer],
    progress: Option<&Arc<dyn Progress>>,
) -> Result<PathBuf, UnpackError> {
    let target = store.rootfs_path(chain);
    if target.is_dir() {
        return Ok(target);
    }
    let failed = |source| StoreError::io("create", &target, source);
    let dir = tempfile::Builder::new().prefix("rootfs-").tempdir_in(store.tmp()).map_err(failed)?;
    let mut budget = Budget::default();
    let mut tree = Tree::new(dir.path());
    for layer in layers {
        if let Some(progress) = progress {
            progress.event(ProgressEvent::Unpacking { layer: layer.digest.clone() });
        }
        apply(layer, &mut tree, &mut budget)?;
    }
    File::open(dir.path())
        .and_then(|file| rustix::fs::syncfs(file).map_err(io::Error::from))
        .map_err(|source| StoreError::io("sync", dir.path(), source))?;
    match std::fs::rename(dir.path(), &target) {
        Ok(()) => {
            // Moved: there is nothing left to clean up under the old name.
            let _ = dir.keep();
            File::open(store.root().join("rootfs")).and_then(|parent| parent.sync_all()).map_err(failed)?;
        }
        // Another process was faster.
        Err(_) if target.is_dir() => {}
        Err(source) => return Err(failed(source).into()),
    }
    Ok(target)
}

/// Applies one layer and verifies that its bytes are those of the config.
fn apply(layer: &Layer, tree: &mut Tree, budget: &mut Budget) -> Result<(), UnpackError> {
    let read = |source| UnpackError::Archive { layer: layer.digest.clone(), source };
    let file = File::open(&layer.path).map_err(|source| StoreError::io("open", &layer.path, source))?;
    let plain = decompress(BufReader::with_capacity(128 << 10, file)).map_err(read)?;
    let mut reader = Bounded::new(plain, budget.bytes_left());
    let result = entry::apply(&mut reader, &layer.digest, tree, budget);
    if reader.exhausted() {
        return Err(budget.too_many_bytes(&layer.digest));
    }
    result?;
    // What follows the last entry belongs to the digest as well.
    let end = io::copy(&mut reader, &mut io::sink());
    if reader.exhausted() {
        return Err(budget.too_many_bytes(&layer.digest));
    }
    end.map_err(read)?;
    let (actual, bytes) = reader.finish();
    budget.spend(bytes);
    match actual == layer.diff_id {
        true => Ok(()),
        false => Err(UnpackError::DiffId { layer: layer.digest.clone(), expected: layer.diff_id.clone(), actual }),
    }
}

/// Tells the compression by the first bytes: media types are wrong too often.
fn decompress(mut file: BufReader<File>) -> io::Result<Box<dyn Read>> {
    use std::io::BufRead;
    let magic: Vec<u8> = file.fill_buf()?.iter().take(4).copied().collect();
    Ok(match magic.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(file)),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::stream::read::Decoder::with_buffer(file)?),
        _ => Box::new(file),
    })
}
