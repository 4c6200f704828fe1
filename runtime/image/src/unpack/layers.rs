//! A Linux image as a stack of directories that overlayfs puts together.

use std::path::PathBuf;

use super::attributes::Keep;
use super::budget::Budget;
use super::entry::explain;
use super::tree::{Form, Tree, hides_all_below, is_possible};
use super::{Layer, Listener, apply, chain_id, chain_ids, publish, sync, tell, unpack_whole};
use crate::digest::Digest;
use crate::error::{StoreError, UnpackError};
use crate::store::Store;

/// A layer that is being unpacked, and what it will be called.
struct Unfinished {
    dir: tempfile::TempDir,
    target: PathBuf,
}

/// Makes the layers of a Linux image present and gives their directories, lowest first: one for each layer in overlayfs'
/// form, or a single one where this process cannot make that form. Blocking.
pub(crate) fn unpack_linux(
    store: &Store,
    layers: &[Layer],
    progress: Listener<'_>,
) -> Result<Vec<PathBuf>, UnpackError> {
    let diff_ids: Vec<_> = layers.iter().map(|layer| layer.diff_id.clone()).collect();
    let whole = store.tree_path(&chain_id(&diff_ids));
    let is_there = || chain_ids(&diff_ids).iter().all(|chain| store.layer_path(chain).is_dir());
    // An image without layers is an empty tree.
    if whole.is_dir() || layers.is_empty() || !possible(store, is_there)? {
        let keep = if rustix::process::geteuid().is_root() { Keep::Everything } else { Keep::Unprivileged };
        return Ok(vec![unpack_whole(store, &whole, layers, keep, progress)?]);
    }
    unpack_layers(store, layers, &diff_ids, progress)
}

/// Whether layers can have overlayfs' form; where all of them have it already, nothing is tried.
fn possible(store: &Store, is_there: impl FnOnce() -> bool) -> Result<bool, StoreError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(false);
    }
    if is_there() {
        return Ok(true);
    }
    is_possible(store.tmp()).map_err(|source| StoreError::io("write", store.tmp(), source))
}

fn unpack_layers(
    store: &Store,
    layers: &[Layer],
    diff_ids: &[Digest],
    progress: Listener<'_>,
) -> Result<Vec<PathBuf>, UnpackError> {
    // Where each layer lies at the moment, lowest first.
    let mut places: Vec<PathBuf> = Vec::new();
    let mut targets: Vec<PathBuf> = Vec::new();
    let mut unfinished: Vec<Unfinished> = Vec::new();
    let mut budget = Budget::default();
    for (layer, chain) in layers.iter().zip(chain_ids(diff_ids)) {
        let target = store.layer_path(&chain);
        targets.push(target.clone());
        if target.is_dir() {
            places.push(target);
            continue;
        }
        tell(progress, layer);
        let below: Vec<_> = places.iter().rev().cloned().collect();
        let dir = tempfile::Builder::new().prefix("layer-").tempdir_in(store.tmp());
        let dir = dir.map_err(|source| StoreError::io("create", &target, source))?;
        let mut tree = Tree::new(dir.path(), Keep::Everything, Form::Layer { below });
        tree.start().map_err(|error| explain(error, &layer.digest, b"/"))?;
        apply(layer, &mut tree, &mut budget)?;
        places.push(dir.path().to_owned());
        unfinished.push(Unfinished { dir, target });
    }
    if !unfinished.is_empty() {
        sync(store.tmp())?;
    }
    for layer in unfinished {
        publish(layer.dir, &layer.target)?;
    }
    visible(layers, targets)
}

/// Without those that a layer above hides as a whole: overlayfs does not heed that mark on a root.
fn visible(layers: &[Layer], mut dirs: Vec<PathBuf>) -> Result<Vec<PathBuf>, UnpackError> {
    for (index, dir) in dirs.iter().enumerate().rev() {
        let digest = layers.get(index).map(|layer| &layer.digest);
        let hides = hides_all_below(dir).map_err(|error| match digest {
            Some(digest) => explain(error, digest, b"/"),
            None => StoreError::Interrupted.into(),
        });
        if hides? {
            dirs.drain(..index);
            break;
        }
    }
    Ok(dirs)
}
