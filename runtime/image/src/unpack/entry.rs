//! The entries of one layer, in order, onto the tree (OCI image specification, layer.md).

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::time::{Duration, SystemTime};

use tar::EntryType;

use super::budget::Budget;
use super::headers::Extensions;
use super::tree::{Tree, TreeError};
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
    let mut archive = tar::Archive::new(reader);
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
                one(&mut entry, &path, said, tree).map_err(|error| {
                    let name = || String::from_utf8_lossy(&path).chars().take(200).collect();
                    match error {
                        TreeError::Refused(why) => UnpackError::Entry { layer: layer.clone(), entry: name(), why },
                        TreeError::Archive(source) => damaged(source),
                        TreeError::Io(path, source) => StoreError::io("write", path, source).into(),
                    }
                })?;
            }
        }
    }
    Ok(())
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
        return Ok(());
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
    let mode = header.mode().unwrap_or(0o644) & 0o777;
    let mtime = said.mtime.or_else(|| header.mtime().ok()).unwrap_or(0);
    // A time that the file system could not keep is no reason to refuse an image.
    let mtime = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(mtime.min(u64::from(u32::MAX))));
    let link =
        || said.link.clone().or_else(|| entry.link_name_bytes().map(|name| name.into_owned())).unwrap_or_default();
    match kind {
        EntryType::Directory => tree.directory(&parents, &name, mode),
        EntryType::Regular | EntryType::Continuous => tree.file(&parents, &name, mode, mtime, entry),
        EntryType::Symlink => {
            let target = link();
            check_length(&target)?;
            match target.is_empty() || target.contains(&0) {
                true => Err(TreeError::Refused("is a symbolic link to nothing")),
                false => tree.symlink(&parents, &name, &OsString::from_vec(target)),
            }
        }
        EntryType::Link => match components(&link())? {
            Some((target_parents, target)) => {
                tree.hard_link(&parents, &name, &target_parents, &OsString::from_vec(target.to_vec()))
            }
            None => Err(TreeError::Refused("is a hard link to the root")),
        },
        // Devices and pipes mean nothing to a WebAssembly program.
        EntryType::Block | EntryType::Char | EntryType::Fifo => Ok(()),
        _ => Err(TreeError::Refused("has a type that is not supported")),
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
