//! Content volumes: configMap, secret, downwardAPI, projected. In the layout that the kubelet's containers know:
//!
//! ```text
//!   config.yaml  -> ..data/config.yaml             one link per name at the top
//!   ..data       -> ..2026_01_02_15_04_05.123456   replaced by an update
//!   ..2026_01_02_15_04_05.123456/config.yaml       the content; never changed
//! ```
//!
//! An update is one step under the lock of the top directory, and whoever goes through `..data` gets to a version even
//! if that is replaced in the same moment: a reader sees all of the old or all of the new. What was opened stays what it
//! was. Mounts are read-only; nobody but this module changes these trees.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::memory::{MemDir, MemTree, Slot};
use super::node::Found;
use super::{Errno, FsResult, MemLimits, Ownership};
use crate::budget::Budget;
use crate::config::VolumeFile;
use crate::stats::FileUsage;

/// The most files of one volume.
const MAX_FILES: usize = 16_384;
/// The most bytes of all of its files. One ConfigMap or Secret holds at most 1 MiB; a projected volume holds several.
const MAX_BYTES: usize = 64 << 20;
/// Longest name and path on Linux.
const NAME_MAX: usize = 255;
const PATH_MAX: usize = 4096;

const DATA: &str = "..data";

/// A content volume cannot be as it is asked for.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// A name that cannot be.
    #[error("the volume's file {path:?} {reason}")]
    BadFile {
        /// Its path in the volume, perhaps cut.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Too much.
    #[error("the volume has more than {MAX_FILES} files or {} MiB", MAX_BYTES >> 20)]
    TooLarge,
    /// The pod's memory limit.
    #[error("the volume's content does not fit in the pod's memory limit")]
    NoMemory,
    /// The tree holds something else.
    #[error("this volume's content is not given by the pod's specification")]
    NotContent,
}

/// A content volume.
#[derive(Debug)]
pub(crate) struct ContentTree {
    tree: MemTree,
    owner: Ownership,
    /// What is shown now. Held during an update.
    shown: Mutex<Shown>,
}

#[derive(Default)]
struct Shown {
    /// The directory of the version.
    version: Option<Box<str>>,
    files: Vec<ContentFile>,
}

/// A file of a content volume. Cheap to clone.
#[derive(Clone)]
pub(crate) struct ContentFile {
    /// Relative, and checked.
    pub(crate) path: Box<str>,
    /// As asked for.
    pub(crate) mode: u32,
    pub(crate) bytes: Bytes,
}

/// Content may be secret.
impl std::fmt::Debug for ContentFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContentFile").field("path", &self.path).finish_non_exhaustive()
    }
}

// Content may be secret.
impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shown").field("version", &self.version).finish_non_exhaustive()
    }
}

impl ContentTree {
    pub(crate) fn new(files: &[VolumeFile], owner: Ownership, budget: Arc<Budget>) -> Result<Self, ContentError> {
        let limits = MemLimits { bytes: None, inodes: u64::MAX };
        let tree = MemTree::new(limits, owner, 0o777, budget);
        let content = Self { tree, owner, shown: Mutex::default() };
        content.update(files)?;
        Ok(content)
    }

    pub(crate) fn root(&self) -> MemDir {
        self.tree.root()
    }

    /// The files that are shown: their bytes, and the inodes with directories and links.
    pub(crate) fn usage(&self) -> FileUsage {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = shown.files.iter().map(|file| file.bytes.len() as u64).sum();
        FileUsage { bytes, inodes: self.tree.inodes() }
    }

    /// What is shown now.
    pub(crate) fn files(&self) -> Vec<ContentFile> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).files.clone()
    }

    /// Shows `files` from now on. Returns whether anything changed.
    pub(crate) fn update(&self, files: &[VolumeFile]) -> Result<bool, ContentError> {
        validate(files)?;
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.version.is_some() && shown.is_same(files) {
            return Ok(false);
        }
        // Nothing is seen of it until it is complete, and nothing is left of it if it does not get so far.
        *shown = self.show(files, &shown).map_err(|_| ContentError::NoMemory)?;
        Ok(true)
    }

    fn show(&self, files: &[VolumeFile], old: &Shown) -> FsResult<Shown> {
        let (tree, root) = (&self.tree, self.tree.root());
        let version = tree.directory(&root, self.owner.content_dir_mode())?;
        let mut kept = Vec::with_capacity(files.len());
        for file in files {
            let bytes = Bytes::copy_from_slice(&file.bytes);
            let (dir, name) = self.parent(&version, &file.path)?;
            tree.put_fixed(&dir, name, self.owner.content_file_mode(file.mode), bytes.clone())?;
            kept.push(ContentFile { path: file.path.as_str().into(), mode: file.mode, bytes });
        }
        let name = self.version_name(&root);
        let tops = |files: &mut dyn Iterator<Item = &str>| -> BTreeSet<Box<str>> {
            files.filter_map(|path| path.split('/').next()).map(Box::from).collect()
        };
        let now = tops(&mut files.iter().map(|file| file.path.as_str()));
        let before = tops(&mut old.files.iter().map(|file| file.path.as_ref()));
        let mut put =
            vec![(name.clone(), Slot::from(&version)), (DATA.into(), tree.link(&root, &name, Some(&version))?)];
        for top in now.difference(&before) {
            put.push((top.clone(), tree.link(&root, &format!("{DATA}/{top}"), None)?));
        }
        let gone: Vec<_> = before.difference(&now).chain(&old.version).cloned().collect();
        tree.swap(&root, put, &gone)?;
        Ok(Shown { version: Some(name), files: kept })
    }

    /// The directory in a version that `path` is in, made if it is missing, and the name there.
    fn parent<'a>(&self, version: &MemDir, path: &'a str) -> FsResult<(MemDir, &'a str)> {
        let mut dir = version.clone();
        let mut rest = path;
        while let Some((name, below)) = rest.split_once('/') {
            dir = match dir.lookup(name) {
                Ok(Found::Directory(super::node::Dir::Memory(dir))) => dir,
                Err(Errno::NOENT) => self.tree.put_directory(&dir, name, self.owner.content_dir_mode())?,
                Ok(_) => return Err(Errno::NOTDIR),
                Err(error) => return Err(error),
            };
            rest = below;
        }
        Ok((dir, rest))
    }

    /// After the time; made different from what is there.
    fn version_name(&self, root: &MemDir) -> Box<str> {
        let stamp = jiff::Timestamp::now().strftime("..%Y_%m_%d_%H_%M_%S.%9f").to_string();
        let mut name = stamp.clone();
        let mut count = 1_u32;
        while root.lookup(&name).is_ok() {
            name = format!("{stamp}{count}");
            count += 1;
        }
        name.into()
    }
}

impl Shown {
    fn is_same(&self, files: &[VolumeFile]) -> bool {
        let same = |(shown, file): (&ContentFile, &VolumeFile)| {
            shown.path.as_ref() == file.path && shown.mode == file.mode && shown.bytes == file.bytes.as_slice()
        };
        self.files.len() == files.len() && self.files.iter().zip(files).all(same)
    }
}

/// Checks names and sizes before anything is made.
fn validate(files: &[VolumeFile]) -> Result<(), ContentError> {
    let bytes = files.iter().fold(0_usize, |sum, file| sum.saturating_add(file.bytes.len()));
    if files.len() > MAX_FILES || bytes > MAX_BYTES {
        return Err(ContentError::TooLarge);
    }
    let mut paths = BTreeSet::new();
    for file in files {
        let bad = |reason| Err(ContentError::BadFile { path: file.path.chars().take(120).collect(), reason });
        if file.path.len() >= PATH_MAX || file.path.contains('\0') {
            return bad("is too long or has a NUL in it");
        }
        if file.path.is_empty() || file.path.starts_with('/') || file.path.ends_with('/') {
            return bad("must be a relative path to a file");
        }
        for name in file.path.split('/') {
            match name {
                "" | "." | ".." => return bad("must not contain empty names, '.' or '..'"),
                name if name.len() > NAME_MAX => return bad("has a name of more than 255 bytes"),
                _ => {}
            }
        }
        if file.path.starts_with("..") {
            return bad("must not start with '..'");
        }
        if !paths.insert(Path::new(&file.path)) {
            return bad("is there twice");
        }
    }
    for file in files {
        if Path::new(&file.path).ancestors().skip(1).any(|parent| paths.contains(parent)) {
            let path = file.path.chars().take(120).collect();
            return Err(ContentError::BadFile { path, reason: "is below another file" });
        }
    }
    Ok(())
}
