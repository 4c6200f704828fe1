//! Listing and removing: mark what records and leases name, sweep the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::{Record, Store, disk, lease};
use crate::digest::Digest;
use crate::error::{RemoveError, StoreError};
use crate::image::StoredImage;
use crate::reference::Reference;

/// Fewest hexadecimal digits that name an image.
const SHORTEST_ID: usize = 4;

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
    /// All images, by first reference. Blocking.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn list(&self) -> Result<Vec<StoredImage>, StoreError> {
        Ok(group(self.records()?, &self.leased()?))
    }

    /// Removes what `name` names: a reference (relative paths start from the current folder), or the beginning (four
    /// digits or more) of an id, with all its references. Of an image that other references still name, only the
    /// reference goes. Blocking.
    ///
    /// # Errors
    /// When nothing or more than one image has that name, when a lease protects it, or the store cannot be written.
    pub fn remove(&self, name: &str) -> Result<Removed, RemoveError> {
        let guard = self.lock_exclusive()?;
        let leased = self.leased()?;
        let images = group(self.records()?, &leased);
        let (image, untagged) = find(&images, name)?;
        let last = untagged.len() == image.references.len();
        if last && image.in_use {
            return Err(RemoveError::InUse { name: name.to_owned() });
        }
        for reference in &untagged {
            self.remove_record(reference)?;
        }
        let deleted = if last { vec![image.image_id.clone()] } else { Vec::new() };
        let (bytes, rubbish) = self.sweep(&leased)?;
        drop(guard);
        remove_trees(rubbish)?;
        Ok(Removed { untagged, deleted, bytes })
    }

    /// Removes what nothing names and, with `all`, every image that no lease protects and `keep` does not name.
    /// Blocking.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub fn prune(&self, all: bool, keep: &[Reference]) -> Result<Pruned, StoreError> {
        let guard = self.lock_exclusive()?;
        lease::clear(self.root())?;
        let leased = self.leased()?;
        let mut images = Vec::new();
        if all {
            images = group(self.records()?, &leased);
            images.retain(|image| !image.in_use && !image.references.iter().any(|reference| keep.contains(reference)));
            for reference in images.iter().flat_map(|image| &image.references) {
                self.remove_record(reference)?;
            }
        }
        let (bytes, rubbish) = self.sweep(&leased)?;
        drop(guard);
        remove_trees(rubbish)?;
        Ok(Pruned { images, bytes })
    }

    /// Removes blobs, trees and stamps that neither a record nor a lease names. Trees are only moved aside: the
    /// caller deletes them when it no longer holds the lock. Gives the bytes freed.
    fn sweep(&self, leased: &BTreeSet<Digest>) -> Result<(u64, Vec<PathBuf>), StoreError> {
        let mut marked: BTreeSet<String> = leased.iter().map(|digest| digest.hex().to_owned()).collect();
        for record in self.records()? {
            marked.extend(record.digests().iter().map(|digest| digest.hex().to_owned()));
        }
        let mut bytes = 0u64;
        let blobs = self.root().join("blobs/sha256");
        for name in disk::names(&blobs)?.iter().filter(|name| !marked.contains(*name)) {
            let path = blobs.join(name);
            bytes = bytes.saturating_add(fs::symlink_metadata(&path).map_or(0, |metadata| metadata.len()));
            disk::remove_file(&path)?;
        }
        let mut rubbish = Vec::new();
        for kind in super::TREES {
            let trees = self.root().join(kind);
            for name in disk::names(&trees)?.iter().filter(|name| !marked.contains(*name)) {
                let path = trees.join(name);
                let aside = self.tmp().join(format!("removed-{kind}-{name}"));
                bytes = bytes.saturating_add(tree_bytes(&path));
                fs::rename(&path, &aside).map_err(|source| StoreError::io("remove", path, source))?;
                rubbish.push(aside);
            }
        }
        let stamps = self.stamps();
        for name in disk::names(&stamps)? {
            let path = stamps.join(&name);
            let of = match name.starts_with("file-") {
                true => fs::read_to_string(&path).unwrap_or_default(),
                false => format!("sha256:{name} "),
            };
            let digest = of.split(' ').next().and_then(|text| text.strip_prefix("sha256:")).unwrap_or_default();
            if !marked.contains(digest) {
                disk::remove_file(&path)?;
            }
        }
        Ok((bytes, rubbish))
    }
}

fn remove_trees(trees: Vec<PathBuf>) -> Result<(), StoreError> {
    for path in trees {
        fs::remove_dir_all(&path).map_err(|source| StoreError::io("remove", path, source))?;
    }
    Ok(())
}

/// Bytes of the files of a tree; what cannot be read counts as nothing.
fn tree_bytes(root: &Path) -> u64 {
    let mut total = 0u64;
    let mut pending = vec![root.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => pending.push(entry.path()),
                Ok(metadata) => total = total.saturating_add(metadata.len()),
                Err(_) => {}
            }
        }
    }
    total
}

/// Images with all their references, by first reference.
fn group(records: Vec<Record>, leased: &BTreeSet<Digest>) -> Vec<StoredImage> {
    let mut images: BTreeMap<(Digest, Digest), StoredImage> = BTreeMap::new();
    for record in records {
        let key = (record.image_id.clone(), record.manifest_digest.clone());
        let in_use = leased.contains(&record.manifest_digest);
        let image = images.entry(key).or_insert_with(|| StoredImage {
            references: Vec::new(),
            image_id: record.image_id,
            manifest_digest: record.manifest_digest,
            platform: record.platform,
            size: record.size,
            created: record.created,
            pulled: record.pulled,
            in_use,
        });
        image.references.push(record.reference);
        image.pulled = image.pulled.max(record.pulled);
    }
    let mut images: Vec<_> = images.into_values().collect();
    images.sort_by(|left, right| left.references.cmp(&right.references));
    images
}

/// The image that `name` names, and which of its references go.
fn find<'a>(images: &'a [StoredImage], name: &str) -> Result<(&'a StoredImage, Vec<Reference>), RemoveError> {
    let here = std::env::current_dir().unwrap_or_default();
    if let Ok(reference) = Reference::parse(name, &here)
        && let Some(image) = images.iter().find(|image| image.references.contains(&reference))
    {
        return Ok((image, vec![reference]));
    }
    let prefix = name.strip_prefix("sha256:").unwrap_or(name);
    let fits = |image: &&StoredImage| image.image_id.hex().starts_with(prefix);
    let by_id: Vec<_> = match prefix.len() >= SHORTEST_ID {
        true => images.iter().filter(fits).collect(),
        false => Vec::new(),
    };
    match by_id.as_slice() {
        [] => Err(RemoveError::NotFound(name.to_owned())),
        [image] => Ok((image, image.references.clone())),
        several => Err(RemoveError::Ambiguous {
            name: name.to_owned(),
            candidates: several.iter().map(|image| image.image_id.clone()).collect(),
        }),
    }
}
