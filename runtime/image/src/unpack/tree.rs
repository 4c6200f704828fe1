//! The tree that layers are unpacked into.
//!
//! Nobody else writes below the root while it grows (it is in a directory of mode 0700), so paths may be resolved in
//! steps: each parent is walked component by component, symbolic links are followed by hand as if the root were `/`,
//! and so the path handed to the system never contains one.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

/// Symbolic links on the way to one entry; the kernel's own limit.
const LINKS: usize = 40;

/// Why an entry cannot be applied.
#[derive(Debug)]
pub(super) enum TreeError {
    /// What it asks for is not done.
    Refused(&'static str),
    /// Its content cannot be read.
    Archive(io::Error),
    /// The tree cannot be written.
    Io(PathBuf, io::Error),
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> TreeError + '_ {
    move |source| match source.raw_os_error() {
        // The archive's doing, not the disk's.
        Some(code) if code == rustix::io::Errno::NAMETOOLONG.raw_os_error() => {
            TreeError::Refused("has a path that is too long")
        }
        Some(code) if code == rustix::io::Errno::MLINK.raw_os_error() => TreeError::Refused("has too many hard links"),
        _ => TreeError::Io(path.to_owned(), source),
    }
}

/// A root file system in the making.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    /// What the current layer wrote: whiteouts hide only what is below it.
    /// Ordered, so that what lies below a directory is found without looking at all.
    written: BTreeSet<PathBuf>,
    /// Directories that the current layer has made opaque: once is enough, and each time costs a walk.
    opaque: HashSet<PathBuf>,
    /// The parent of the last entry, resolved: most entries share it with the one before.
    last: Option<(Vec<OsString>, PathBuf)>,
}

impl Tree {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), written: BTreeSet::new(), opaque: HashSet::new(), last: None }
    }

    pub(super) fn start_layer(&mut self) {
        self.written.clear();
        self.opaque.clear();
        self.last = None;
    }

    pub(super) fn directory(&mut self, parents: &[OsString], name: &OsStr, mode: u32) -> Result<(), TreeError> {
        let path = self.parent(parents)?.join(name);
        // The owner can always read, search and remove.
        let mode = mode | 0o700;
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => {}
            _ => {
                self.clear(&path)?;
                DirBuilder::new().mode(mode).create(&path).map_err(at(&path))?;
            }
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(at(&path))?;
        self.written.insert(path);
        Ok(())
    }

    pub(super) fn file(
        &mut self,
        parents: &[OsString],
        name: &OsStr,
        mode: u32,
        mtime: Option<SystemTime>,
        content: &mut impl Read,
    ) -> Result<(), TreeError> {
        let path = self.parent(parents)?.join(name);
        self.clear(&path)?;
        let mode = mode | 0o600;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path).map_err(at(&path))?;
        copy(content, &mut file, &path)?;
        file.set_permissions(fs::Permissions::from_mode(mode)).map_err(at(&path))?;
        if let Some(mtime) = mtime {
            file.set_modified(mtime).map_err(at(&path))?;
        }
        self.written.insert(path);
        Ok(())
    }

    pub(super) fn symlink(&mut self, parents: &[OsString], name: &OsStr, target: &OsStr) -> Result<(), TreeError> {
        let path = self.parent(parents)?.join(name);
        self.clear(&path)?;
        std::os::unix::fs::symlink(target, &path).map_err(at(&path))?;
        self.last = None;
        self.written.insert(path);
        Ok(())
    }

    pub(super) fn hard_link(
        &mut self,
        parents: &[OsString],
        name: &OsStr,
        target_parents: &[OsString],
        target: &OsStr,
    ) -> Result<(), TreeError> {
        let target = self.parent(target_parents)?.join(target);
        let path = self.parent(parents)?.join(name);
        if !fs::symlink_metadata(&target).is_ok_and(|metadata| metadata.is_file() || metadata.is_symlink()) {
            return Err(TreeError::Refused("is a hard link to something that is no file of the image"));
        }
        if path != target {
            self.clear(&path)?;
            // linkat(2) without AT_SYMLINK_FOLLOW: a link to a symbolic link is one to the link itself.
            fs::hard_link(&target, &path).map_err(at(&path))?;
        }
        self.written.insert(path);
        Ok(())
    }

    /// Hides `name` of the layers below.
    pub(super) fn whiteout(&mut self, parents: &[OsString], name: &OsStr) -> Result<(), TreeError> {
        let path = self.parent(parents)?.join(name);
        match self.written.contains(&path) {
            true => Ok(()),
            false => self.clear(&path),
        }
    }

    /// Hides everything in a directory that is of the layers below.
    pub(super) fn opaque(&mut self, dir: &[OsString]) -> Result<(), TreeError> {
        let dir = self.parent(dir)?;
        self.last = None;
        if !self.opaque.insert(dir.clone()) {
            return Ok(());
        }
        let mut pending = vec![dir];
        while let Some(dir) = pending.pop() {
            for entry in fs::read_dir(&dir).map_err(at(&dir))? {
                let entry = entry.map_err(at(&dir))?;
                let path = entry.path();
                let is_dir = entry.file_type().map_err(at(&path))?.is_dir();
                // Below a directory that this layer wrote there may be remains of lower layers.
                let ours = self.written.contains(&path);
                let holds_ours = is_dir && self.below(&path).next().is_some();
                if is_dir && (ours || holds_ours) {
                    pending.push(path);
                } else if !ours {
                    remove(&path)?;
                }
            }
        }
        Ok(())
    }

    /// What the current layer wrote at `path` and below it: paths are ordered by component.
    fn below<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a PathBuf> {
        self.written.range(path.to_owned()..).take_while(move |written| written.starts_with(path))
    }

    /// Makes room: whatever is at `path` goes, links not followed.
    fn clear(&mut self, path: &Path) -> Result<(), TreeError> {
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(at(path)(error)),
            Ok(metadata) => {
                if metadata.is_dir() || metadata.is_symlink() {
                    self.last = None;
                }
                if metadata.is_dir() {
                    let gone: Vec<_> = self.below(path).cloned().collect();
                    for path in gone {
                        self.written.remove(&path);
                    }
                }
                remove(path)
            }
        }
    }

    /// The directory that `parents` leads to inside the root, made where it is missing.
    fn parent(&mut self, parents: &[OsString]) -> Result<PathBuf, TreeError> {
        if let Some((last, resolved)) = &self.last
            && last == parents
        {
            return Ok(resolved.clone());
        }
        let resolved = self.resolve(parents)?;
        self.last = Some((parents.to_vec(), resolved.clone()));
        Ok(resolved)
    }

    fn resolve(&self, parents: &[OsString]) -> Result<PathBuf, TreeError> {
        let mut current = self.root.clone();
        let mut pending: VecDeque<OsString> = parents.iter().cloned().collect();
        let mut links = 0;
        while let Some(part) = pending.pop_front() {
            if part == ".." {
                if current != self.root {
                    current.pop();
                }
                continue;
            }
            let next = current.join(&part);
            match fs::symlink_metadata(&next) {
                Ok(metadata) if metadata.is_dir() => current = next,
                Ok(metadata) if metadata.is_symlink() => {
                    links += 1;
                    if links > LINKS {
                        return Err(TreeError::Refused("lies behind too many symbolic links"));
                    }
                    let target = fs::read_link(&next).map_err(at(&next))?;
                    for component in target.components().rev() {
                        match component {
                            Component::Normal(part) => pending.push_front(part.to_owned()),
                            Component::ParentDir => pending.push_front("..".into()),
                            Component::RootDir => current.clone_from(&self.root),
                            Component::CurDir | Component::Prefix(_) => {}
                        }
                    }
                }
                Ok(_) => return Err(TreeError::Refused("lies below something that is not a directory")),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    DirBuilder::new().mode(0o755).create(&next).map_err(at(&next))?;
                    current = next;
                }
                Err(error) => return Err(at(&next)(error)),
            }
        }
        Ok(current)
    }
}

fn remove(path: &Path) -> Result<(), TreeError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        _ => fs::remove_file(path),
    };
    removed.map_err(at(path))
}

/// Copies, telling a damaged archive from a full disk.
fn copy(content: &mut impl Read, file: &mut File, path: &Path) -> Result<(), TreeError> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = content.read(&mut buffer).map_err(TreeError::Archive)?;
        match buffer.get(..count).filter(|chunk| !chunk.is_empty()) {
            Some(chunk) => file.write_all(chunk).map_err(at(path))?,
            None => return Ok(()),
        }
    }
}
