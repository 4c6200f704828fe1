//! Layers into root file systems.
//!
//! | for | tree | once per |
//! |---|---|---|
//! | WebAssembly images | all layers in one, permissions only | chain of layers |
//! | Linux images, where root unpacks | one for each layer, in overlayfs' form, with owners, devices and attributes | layer, with those below it |
//! | Linux images elsewhere | all layers in one, the caller's files | chain of layers |
//!
//! What an entry means can depend on the layers below (the attributes of a directory that it only mentions, links on
//! the way to it), so a layer is known by its chain id, as in containerd, not by its own digest.
//!
//! Unpacking happens in the store's `tmp/`; the finished, synced tree is renamed to its chain id, so that one which
//! is there is whole.

mod attributes;
mod budget;
mod entry;
mod headers;
mod layers;
#[cfg(test)]
mod tests;
mod tree;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::digest::Digest;
use crate::error::{StoreError, UnpackError};
use crate::progress::{Progress, ProgressEvent};
use crate::store::Store;
use attributes::Keep;
use budget::{Bounded, Budget};
pub(crate) use layers::unpack_linux;
use tree::{Form, Tree};

type Listener<'a> = Option<&'a Arc<dyn Progress>>;

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
    chain_ids(diff_ids).pop().unwrap_or_else(|| Digest::of(b""))
}

/// The chain ids of the first layer, of the first two, and so on.
pub(crate) fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chains: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for id in diff_ids {
        chains.push(match chains.last() {
            Some(below) => Digest::of(format!("{below} {id}").as_bytes()),
            None => id.clone(),
        });
    }
    chains
}

/// Makes the tree of a WebAssembly image present and gives its root. Blocking.
pub(crate) fn unpack(
    store: &Store,
    chain: &Digest,
    layers: &[Layer],
    progress: Listener<'_>,
) -> Result<PathBuf, UnpackError> {
    unpack_whole(store, &store.rootfs_path(chain), layers, Keep::Plain, progress)
}

/// All layers into one tree, which becomes `target`.
fn unpack_whole(
    store: &Store,
    target: &Path,
    layers: &[Layer],
    keep: Keep,
    progress: Listener<'_>,
) -> Result<PathBuf, UnpackError> {
    if target.is_dir() {
        return Ok(target.to_owned());
    }
    let failed = |source| StoreError::io("create", target, source);
    let dir = tempfile::Builder::new().prefix("rootfs-").tempdir_in(store.tmp()).map_err(failed)?;
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).map_err(failed)?;
    let mut budget = Budget::default();
    let mut tree = Tree::new(dir.path(), keep, Form::Whole);
    for layer in layers {
        tell(progress, layer);
        apply(layer, &mut tree, &mut budget)?;
    }
    sync(dir.path())?;
    publish(dir, target)?;
    Ok(target.to_owned())
}

fn tell(progress: Listener<'_>, layer: &Layer) {
    if let Some(progress) = progress {
        progress.event(ProgressEvent::Unpacking { layer: layer.digest.clone() });
    }
}

/// Brings everything on the disk of `path` to it.
fn sync(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|file| rustix::fs::syncfs(file).map_err(io::Error::from))
        .map_err(|source| StoreError::io("sync", path, source))
}

/// Makes a finished, synced tree appear under its name.
fn publish(dir: tempfile::TempDir, target: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::io("create", target, source);
    match std::fs::rename(dir.path(), target) {
        Ok(()) => {
            // Moved: there is nothing left to clean up under the old name.
            let _ = dir.keep();
            let Some(parent) = target.parent() else { return Ok(()) };
            File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed)
        }
        // Another process was faster.
        Err(_) if target.is_dir() => Ok(()),
        Err(source) => Err(failed(source)),
    }
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
