//! The entries of one layer, in order, onto the tree (OCI image specification, layer.md).

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;

use rustix::fs::FileType;
use tar::EntryType;

use super::attributes::Attributes;
use super::budget::{Budget, Padded};
use super::headers::Extensions;
use super::tree::{Node, Tree, TreeError};
use crate::digest::Digest;
use crate::error::{StoreError, UnpackError};
use crate::limits;

const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Other names that the aufs file system once left in layers.
const AUFS: &[u8] = b".wh..wh.";

/// Applies all entries of an uncompressed archive.
pub(super) fn apply(
    reader: &mut impl Read,
    layer: &Digest,
    tree: &mut Tree,
    budget: &mut Budget,
) -> Result<(), UnpackError> {
    let damaged = |source| UnpackError::Archive { layer: layer.clone(), source };
    tree.start_layer();
    let mut archive = tar::Archive::new(Padded::new(reader));
    let mut extensions = Extensions::default();
    for entry in archive.entries().map_err(damaged)?.raw(true) {
        let mut entry = entry.map_err(damaged)?;
        budget.entry(layer)?;
        let size = entry.size();
        match entry.header().entry_type() {
            EntryType::GNULongName => extensions.long_name(&mut entry, size).map_err(damaged)?,
            EntryType::GNULongLink => extensions.long_link(&mut entry, size).map_err(damaged)?,
            EntryType::XHeader => extensions.pax(&mut entry, size).map_err(damaged)?,
            EntryType::XGlobalHeader => {}
            _ => {
                let said = std::mem::take(&mut extensions);
                let path = said.path.clone().unwrap_or_else(|| entry.path_bytes().into_owned());
                one(&mut entry, &path, said, tree).map_err(|error| explain(error, layer, &path))?;
            }
        }
    }
    tree.finish_layer().map_err(|error| explain(error, layer, b""))
}

/// What went wrong, with the layer and the entry it went wrong at.
pub(super) fn explain(error: TreeError, layer: &Digest, path: &[u8]) -> UnpackError {
    let name = || String::from_utf8_lossy(path).chars().take(200).collect();
    match error {
        TreeError::Refused(why) => UnpackError::Entry { layer: layer.clone(), entry: name(), why },
        TreeError::Archive(source) => UnpackError::Archive { layer: layer.clone(), source },
        TreeError::Io(path, source) => StoreError::io("write", path, source).into(),
    }
}

fn one<R: Read>(
    entry: &mut tar::Entry<'_, R>,
    path: &[u8],
    said: Extensions,
    tree: &mut Tree,
) -> Result<(), TreeError> {
    let header = entry.header();
    let kind = header.entry_type();
    if said.sparse || kind == EntryType::GNUSparse {
        return Err(TreeError::Refused("is a sparse file, which is not supported"));
    }
    if said.size.is_some_and(|size| size != entry.size()) {
        return Err(TreeError::Refused("is larger than a plain header can say (8 GiB)"));
    }
    let Some((parents, name)) = components(path)? else {
        // The root itself.
        return match kind {
            EntryType::Directory => tree.root_directory(&attributes(entry.header(), said)),
            _ => Ok(()),
        };
    };
    if name == OPAQUE {
        return tree.opaque(&parents);
    }
    if name.starts_with(AUFS) {
        return Ok(());
    }
    if let Some(hidden) = name.strip_prefix(WHITEOUT) {
        return match hidden {
            b"" | b"." | b".." => Err(TreeError::Refused("is a whiteout of nothing")),
            hidden => tree.whiteout(&parents, &OsString::from_vec(hidden.to_vec())),
        };
    }
    let name = OsString::from_vec(name.to_vec());
    let link = said.link.clone().or_else(|| entry.link_name_bytes().map(|name| name.into_owned())).unwrap_or_default();
    let device = (header.device_major().ok().flatten(), header.device_minor().ok().flatten());
    let attributes = attributes(header, said);
    match kind {
        EntryType::Directory => tree.directory(&parents, &name, &attributes),
        EntryType::Regular | EntryType::Continuous => tree.file(&parents, &name, &attributes, entry),
        EntryType::Symlink => {
            check_length(&link)?;
            match link.is_empty() || link.contains(&0) {
                true => Err(TreeError::Refused("is a symbolic link to nothing")),
                false => tree.symlink(&parents, &name, &OsString::from_vec(link), &attributes),
            }
        }
        EntryType::Link => match components(&link)? {
            Some((target_parents, target)) => {
                tree.hard_link(&parents, &name, &target_parents, &OsString::from_vec(target.to_vec()))
            }
            None => Err(TreeError::Refused("is a hard link to the root")),
        },
        EntryType::Fifo if tree.keep().pipes() => {
            tree.node(&parents, &name, Node { kind: FileType::Fifo, major: 0, minor: 0 }, &attributes)
        }
        EntryType::Block | EntryType::Char if tree.keep().devices() => match device {
            // To overlayfs, the device 0:0 is none but a mark that hides what is below.
            (Some(major), Some(minor)) if (major, minor) != (0, 0) => {
                let kind = if kind == EntryType::Block { FileType::BlockDevice } else { FileType::CharacterDevice };
                tree.node(&parents, &name, Node { kind, major, minor }, &attributes)
            }
            _ => Err(TreeError::Refused("is a device without a number")),
        },
        EntryType::Block | EntryType::Char | EntryType::Fifo => Ok(()),
        _ => Err(TreeError::Refused("has a type that is not supported")),
    }
}

fn attributes(header: &tar::Header, said: Extensions) -> Attributes {
    let id = |field: io::Result<u64>| field.ok().and_then(|id| u32::try_from(id).ok());
    Attributes {
        mode: header.mode().unwrap_or(0o644) & 0o7777,
        uid: said.uid.or_else(|| id(header.uid())).unwrap_or(0),
        gid: said.gid.or_else(|| id(header.gid())).unwrap_or(0),
        mtime: said.mtime.or_else(|| header.mtime().ok()).unwrap_or(0),
        xattrs: said.xattrs,
    }
}

fn check_length(path: &[u8]) -> Result<(), TreeError> {
    match path.len() > limits::PATH_BYTES {
        true => Err(TreeError::Refused("has a path that is too long")),
        false => Ok(()),
    }
}

/// A path below the root, as parents and name; `None` for the root. An absolute path starts at the root of the image.
#[expect(clippy::type_complexity, reason = "used twice, right here")]
fn components(path: &[u8]) -> Result<Option<(Vec<OsString>, &[u8])>, TreeError> {
    check_length(path)?;
    if path.contains(&0) {
        return Err(TreeError::Refused("has a NUL in its path"));
    }
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(TreeError::Refused("has \"..\" in its path")),
            part if part.len() > 255 => return Err(TreeError::Refused("has a name that is too long")),
            part => parts.push(part),
        }
    }
    if parts.len() > limits::PATH_DEPTH {
        return Err(TreeError::Refused("is nested too deeply"));
    }
    Ok(parts.pop().map(|name| (parts.into_iter().map(|part| OsString::from_vec(part.to_vec())).collect(), name)))
}

impl From<io::Error> for TreeError {
    fn from(source: io::Error) -> Self {
        Self::Archive(source)
    }
}
