//! Layers as they lie above each other: what a path means in a layer that is being written, given those below.
//!
//! A layer on the disk has overlayfs' form: a character device 0:0 hides what is below, and a directory with the
//! attribute `trusted.overlay.opaque` hides what is in those below it. A tree without layers below never holds either.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, XattrFlags};
use rustix::io::Errno;

use super::{TreeError, at};

const OPAQUE: &str = "trusted.overlay.opaque";

/// A directory of the union: its place in the layer that is written, where it need not exist yet, and the directories
/// below that shine through, the highest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dir {
    pub(super) path: PathBuf,
    pub(super) below: Vec<PathBuf>,
}

/// What a name in a directory of the union is.
#[derive(Debug)]
pub(super) enum Found {
    Nothing,
    Directory(Dir),
    /// Anything else, where it lies.
    Other(PathBuf, Metadata),
}

impl Dir {
    /// The root of a layer in `root` above the roots `below`, the highest first.
    pub(super) fn root(root: &Path, below: &[PathBuf]) -> Result<Self, TreeError> {
        let mut dir = Self { path: root.to_owned(), below: Vec::new() };
        if below.is_empty() || is_opaque(root)? {
            return Ok(dir);
        }
        for lower in below {
            dir.below.push(lower.clone());
            if is_opaque(lower)? {
                break;
            }
        }
        Ok(dir)
    }

    /// Looks a name up, links not followed.
    pub(super) fn find(&self, name: &OsStr) -> Result<Found, TreeError> {
        let path = self.path.join(name);
        match stat(&path)? {
            Some(own) if is_whiteout(&own) => Ok(Found::Nothing),
            Some(own) if own.is_dir() => {
                let covered = self.below.is_empty() || is_opaque(&path)?;
                let below = if covered { Vec::new() } else { directories(&self.below, name)? };
                Ok(Found::Directory(Self { path, below }))
            }
            Some(own) => Ok(Found::Other(path, own)),
            None => self.find_below(name),
        }
    }

    /// The same in the layers below only.
    pub(super) fn find_below(&self, name: &OsStr) -> Result<Found, TreeError> {
        for (index, dir) in self.below.iter().enumerate() {
            let path = dir.join(name);
            match stat(&path)? {
                None => {}
                Some(found) if is_whiteout(&found) => return Ok(Found::Nothing),
                Some(found) if found.is_dir() => {
                    let below = directories(self.below.get(index..).unwrap_or_default(), name)?;
                    return Ok(Found::Directory(Self { path: self.path.join(name), below }));
                }
                Some(found) => return Ok(Found::Other(path, found)),
            }
        }
        Ok(Found::Nothing)
    }
}

/// The directories of one name that shine through, down to the first thing that is none or hides the rest.
fn directories(dirs: &[PathBuf], name: &OsStr) -> Result<Vec<PathBuf>, TreeError> {
    let mut found = Vec::new();
    for dir in dirs {
        let path = dir.join(name);
        match stat(&path)? {
            None => {}
            Some(metadata) if metadata.is_dir() => {
                let last = is_opaque(&path)?;
                found.push(path);
                if last {
                    break;
                }
            }
            Some(_) => break,
        }
    }
    Ok(found)
}

/// What is at `path`, if anything.
pub(super) fn stat(path: &Path) -> Result<Option<Metadata>, TreeError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(at(path)(error)),
    }
}

pub(super) fn is_whiteout(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device() && metadata.rdev() == 0
}

/// Hides what the layers below have at `path`.
pub(super) fn make_whiteout(path: &Path) -> Result<(), TreeError> {
    rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, Mode::empty(), 0).map_err(|error| at(path)(error.into()))
}

/// Hides what is in the directories below the directory `path`.
pub(super) fn make_opaque(path: &Path) -> Result<(), TreeError> {
    let set = rustix::fs::lsetxattr(path, OPAQUE, b"y", XattrFlags::empty());
    set.map_err(|error| at(path)(error.into()))
}

/// Whether a directory hides what is in those below it.
pub(super) fn is_opaque(path: &Path) -> Result<bool, TreeError> {
    let mut value = [0; 1];
    match rustix::fs::lgetxattr(path, OPAQUE, &mut value) {
        Ok(length) => Ok(value.get(..length) == Some(b"y")),
        // Not there; a file system that has none; a user, who sees none of these attributes and writes none.
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOENT) => Ok(false),
        Err(error) => Err(at(path)(error.into())),
    }
}

/// Whether layers of this form can be made in `dir`: that takes root and a file system with its attributes.
pub(crate) fn is_possible(dir: &Path) -> io::Result<bool> {
    let probe = tempfile::Builder::new().prefix("probe-").tempdir_in(dir)?;
    let made = make_whiteout(&probe.path().join("whiteout")).and_then(|()| make_opaque(probe.path()));
    Ok(made.is_ok())
}

/// A path that a stack of layers shows, and where its bytes and attributes lie.
#[cfg(test)]
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) path: PathBuf,
    pub(crate) place: PathBuf,
}

/// All that the roots show, the highest first.
#[cfg(test)]
pub(crate) fn shown(roots: &[PathBuf]) -> Result<Vec<Shown>, TreeError> {
    let Some((root, below)) = roots.split_first() else { return Ok(Vec::new()) };
    let mut shown = Vec::new();
    let mut pending = vec![(PathBuf::new(), Dir::root(root, below)?)];
    while let Some((path, dir)) = pending.pop() {
        let mut names = std::collections::BTreeSet::new();
        for place in std::iter::once(&dir.path).chain(&dir.below) {
            for entry in fs::read_dir(place).into_iter().flatten().flatten() {
                names.insert(entry.file_name());
            }
        }
        for name in names {
            let path = path.join(&name);
            match dir.find(&name)? {
                Found::Nothing => {}
                Found::Other(place, _) => shown.push(Shown { path, place }),
                Found::Directory(found) => {
                    let own = stat(&found.path)?.is_some();
                    let place = if own { Some(&found.path) } else { found.below.first() };
                    if let Some(place) = place.cloned() {
                        shown.push(Shown { path: path.clone(), place });
                    }
                    pending.push((path, found));
                }
            }
        }
    }
    Ok(shown)
}
