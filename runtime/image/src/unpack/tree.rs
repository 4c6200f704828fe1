//! The tree that a layer is unpacked into: one for a whole image, or one for each layer.
//!
//! Nobody else writes below the root while it grows (it is in a directory of mode 0700), so paths may be resolved in
//! steps: each parent is walked component by component, symbolic links are followed by hand as if the root were `/`,
//! and so the path handed to the system never contains one. Where there are layers below, the walk goes through all of
//! them, so that an entry means the same in either form.

mod union;

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode};
use rustix::io::Errno;

use super::attributes::{Attributes, Keep, set_mtime};
pub(super) use union::is_possible;
use union::{Dir, Found, is_opaque, is_whiteout, make_opaque, make_whiteout, stat};
#[cfg(test)]
pub(super) use union::{Shown, shown};

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
        Some(code) if code == Errno::NAMETOOLONG.raw_os_error() => TreeError::Refused("has a path that is too long"),
        Some(code) if code == Errno::MLINK.raw_os_error() => TreeError::Refused("has too many hard links"),
        _ => TreeError::Io(path.to_owned(), source),
    }
}

/// A device of an image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) kind: FileType,
    pub(super) major: u32,
    pub(super) minor: u32,
}

/// What a tree holds of its image.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// All layers, the later ones applied to what the earlier ones left.
    Whole,
    /// One layer in overlayfs' form, above those in `below`, the highest first.
    Layer { below: Vec<PathBuf> },
}

/// A root file system, or a layer of one, in the making.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    keep: Keep,
    form: Form,
    /// What the current layer wrote: whiteouts hide only what is below it.
    /// Ordered, so that what lies below a directory is found without looking at all.
    written: BTreeSet<PathBuf>,
    /// Directories that the current layer has made opaque: once is enough, and each time costs a walk.
    opaque: HashSet<PathBuf>,
    /// When directories were modified last, by the archive: what is put into them would change it.
    times: Vec<(PathBuf, u64)>,
    /// The parent of the last entry, resolved: most entries share it with the one before.
    last: Option<(Vec<OsString>, Dir)>,
}

impl Tree {
    pub(super) fn new(root: &Path, keep: Keep, form: Form) -> Self {
        Self {
            root: root.to_owned(),
            keep,
            form,
            written: BTreeSet::new(),
            opaque: HashSet::new(),
            times: Vec::new(),
            last: None,
        }
    }

    /// Gives the root of a layer the attributes of the one below, until the layer says otherwise.
    pub(super) fn start(&mut self) -> Result<(), TreeError> {
        let below = match &self.form {
            Form::Layer { below } => below.first().cloned(),
            Form::Whole => None,
        };
        let root = self.root.clone();
        match below {
            Some(below) => self.attribute_directory(&root, &attributes_of(&below)?),
            None => self.attribute_directory(&root, &Attributes { mode: 0o755, ..Attributes::default() }),
        }
    }

    pub(super) fn start_layer(&mut self) {
        self.written.clear();
        self.opaque.clear();
        self.last = None;
    }

    /// Gives directories the times that the layer says; those that have gone since are left out.
    pub(super) fn finish_layer(&mut self) -> Result<(), TreeError> {
        for (path, mtime) in std::mem::take(&mut self.times) {
            if stat(&path)?.is_some_and(|metadata| metadata.is_dir()) {
                set_mtime(&path, mtime)?;
            }
        }
        Ok(())
    }

    pub(super) fn keep(&self) -> Keep {
        self.keep
    }

    /// The attributes of the image's `/`.
    pub(super) fn root_directory(&mut self, attributes: &Attributes) -> Result<(), TreeError> {
        if self.keep == Keep::Plain {
            return Ok(());
        }
        let root = self.root.clone();
        self.attribute_directory(&root, attributes)
    }

    pub(super) fn directory(
        &mut self,
        parents: &[OsString],
        name: &OsStr,
        attributes: &Attributes,
    ) -> Result<(), TreeError> {
        let path = self.parent(parents)?.path.join(name);
        match stat(&path)? {
            Some(metadata) if metadata.is_dir() => {}
            own => self.make_directory(&path, own.is_some())?,
        }
        self.attribute_directory(&path, attributes)?;
        self.written.insert(path);
        Ok(())
    }

    fn attribute_directory(&mut self, path: &Path, attributes: &Attributes) -> Result<(), TreeError> {
        let mode = self.keep.directory_mode(attributes.mode);
        self.keep.apply(path, attributes, Some(mode))?;
        self.times.push((path.to_owned(), attributes.mtime));
        Ok(())
    }

    /// A directory, in place of something else if `replaces`: that hid what is below, and so does the directory then.
    fn make_directory(&mut self, path: &Path, replaces: bool) -> Result<(), TreeError> {
        self.clear(path)?;
        DirBuilder::new().mode(0o700).create(path).map_err(at(path))?;
        match (&self.form, replaces) {
            (Form::Layer { .. }, true) => make_opaque(path),
            _ => Ok(()),
        }
    }

    pub(super) fn file(
        &mut self,
        parents: &[OsString],
        name: &OsStr,
        attributes: &Attributes,
        content: &mut impl Read,
    ) -> Result<(), TreeError> {
        let path = self.vacate(parents, name)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(at(&path))?;
        copy(content, &mut file, &path)?;
        drop(file);
        self.keep.apply(&path, attributes, Some(self.keep.file_mode(attributes.mode)))?;
        self.written.insert(path);
        Ok(())
    }

    pub(super) fn symlink(
        &mut self,
        parents: &[OsString],
        name: &OsStr,
        target: &OsStr,
        attributes: &Attributes,
    ) -> Result<(), TreeError> {
        let path = self.vacate(parents, name)?;
        std::os::unix::fs::symlink(target, &path).map_err(at(&path))?;
        self.keep.apply(&path, attributes, None)?;
        self.last = None;
        self.written.insert(path);
        Ok(())
    }

    /// A device or a pipe.
    pub(super) fn node(
        &mut self,
        parents: &[OsString],
        name: &OsStr,
        node: Node,
        attributes: &Attributes,
    ) -> Result<(), TreeError> {
        let path = self.vacate(parents, name)?;
        let device = rustix::fs::makedev(node.major, node.minor);
        match rustix::fs::mknodat(CWD, &path, node.kind, Mode::from_bits_truncate(0o600), device) {
            Ok(()) => {}
            // Root in a user namespace, or without the capability: programs find their devices in /dev, made anew for
            // each container, so the image's are seldom missed.
            Err(Errno::PERM) => {
                tracing::debug!(path = %path.display(), "a device of an image is left out: this process may make none");
                return Ok(());
            }
            Err(error) => return Err(at(&path)(error.into())),
        }
        self.keep.apply(&path, attributes, Some(self.keep.file_mode(attributes.mode)))?;
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
        let target = match self.parent(target_parents)?.find(target)? {
            // Maybe in a layer below: it is in the same store, and is never changed.
            Found::Other(path, metadata) if metadata.is_file() || metadata.is_symlink() => path,
            _ => return Err(TreeError::Refused("is a hard link to something that is no file of the image")),
        };
        let path = self.parent(parents)?.path.join(name);
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
        let dir = self.parent(parents)?;
        let path = dir.path.join(name);
        if self.written.contains(&path) || self.below(&path).next().is_some() {
            return match stat(&path)? {
                Some(metadata) if metadata.is_dir() => self.hide_below(&path),
                _ => Ok(()),
            };
        }
        self.clear(&path)?;
        match (&self.form, dir.find_below(name)?) {
            (Form::Whole, _) | (_, Found::Nothing) => Ok(()),
            (Form::Layer { .. }, _) => {
                self.last = None;
                make_whiteout(&path)
            }
        }
    }

    /// Hides everything in a directory that is of the layers below.
    pub(super) fn opaque(&mut self, dir: &[OsString]) -> Result<(), TreeError> {
        let dir = self.parent(dir)?.path;
        self.hide_below(&dir)
    }

    fn hide_below(&mut self, dir: &Path) -> Result<(), TreeError> {
        self.last = None;
        if !self.opaque.insert(dir.to_owned()) {
            return Ok(());
        }
        // In a layer's form as well: it may have directories that are there only because an entry went through them.
        let mut pending = vec![dir.to_owned()];
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
        match self.form {
            Form::Whole => Ok(()),
            Form::Layer { .. } => make_opaque(dir),
        }
    }

    /// What the current layer wrote at `path` and below it: paths are ordered by component.
    fn below<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a PathBuf> {
        self.written.range(path.to_owned()..).take_while(move |written| written.starts_with(path))
    }

    /// The place of an entry that replaces whatever was there.
    fn vacate(&mut self, parents: &[OsString], name: &OsStr) -> Result<PathBuf, TreeError> {
        let path = self.parent(parents)?.path.join(name);
        self.clear(&path)?;
        Ok(path)
    }

    /// Makes room: whatever this tree has at `path` goes, links not followed.
    fn clear(&mut self, path: &Path) -> Result<(), TreeError> {
        let Some(metadata) = stat(path)? else { return Ok(()) };
        if metadata.is_dir() || metadata.is_symlink() || is_whiteout(&metadata) {
            self.last = None;
        }
        if metadata.is_dir() {
            let gone: Vec<_> = self.below(path).cloned().collect();
            for path in gone {
                self.written.remove(&path);
            }
            self.opaque.retain(|opaque| !opaque.starts_with(path));
        }
        remove(path)
    }

    /// The directory that `parents` leads to inside the root, made where it is missing.
    fn parent(&mut self, parents: &[OsString]) -> Result<Dir, TreeError> {
        if let Some((last, resolved)) = &self.last
            && last == parents
        {
            return Ok(resolved.clone());
        }
        let resolved = self.resolve(parents)?;
        self.last = Some((parents.to_vec(), resolved.clone()));
        Ok(resolved)
    }

    fn resolve(&mut self, parents: &[OsString]) -> Result<Dir, TreeError> {
        let below: &[PathBuf] = match &self.form {
            Form::Whole => &[],
            Form::Layer { below } => below,
        };
        // From the root to where the walk is, so that `..` finds back.
        let mut trail = vec![Dir::root(&self.root, below)?];
        let mut pending: VecDeque<OsString> = parents.iter().cloned().collect();
        let mut links = 0;
        while let Some(part) = pending.pop_front() {
            if part == ".." {
                if trail.len() > 1 {
                    trail.pop();
                }
                continue;
            }
            // The root never leaves the trail.
            let Some(current) = trail.last() else { break };
            match current.find(&part)? {
                Found::Directory(dir) => {
                    self.materialise(&dir)?;
                    trail.push(dir);
                }
                Found::Other(path, metadata) if metadata.is_symlink() => {
                    links += 1;
                    if links > LINKS {
                        return Err(TreeError::Refused("lies behind too many symbolic links"));
                    }
                    let target = fs::read_link(&path).map_err(at(&path))?;
                    for component in target.components().rev() {
                        match component {
                            Component::Normal(part) => pending.push_front(part.to_owned()),
                            Component::ParentDir => pending.push_front("..".into()),
                            Component::RootDir => trail.truncate(1),
                            Component::CurDir | Component::Prefix(_) => {}
                        }
                    }
                }
                Found::Other(..) => return Err(TreeError::Refused("lies below something that is not a directory")),
                Found::Nothing => {
                    let path = current.path.join(&part);
                    let hidden = stat(&path)?.is_some();
                    self.make_directory(&path, hidden)?;
                    rustix::fs::chmod(&path, Mode::from_bits_truncate(0o755)).map_err(|e| at(&path)(e.into()))?;
                    trail.push(Dir { path, below: Vec::new() });
                }
            }
        }
        trail.pop().ok_or(TreeError::Refused("has no parent"))
    }

    /// Makes a directory that only layers below have, as it is there, so that this layer's entries have a place.
    fn materialise(&mut self, dir: &Dir) -> Result<(), TreeError> {
        if stat(&dir.path)?.is_some() {
            return Ok(());
        }
        let Some(lower) = dir.below.first() else { return Ok(()) };
        let attributes = attributes_of(lower)?;
        DirBuilder::new().mode(0o700).create(&dir.path).map_err(at(&dir.path))?;
        self.attribute_directory(&dir.path, &attributes)
    }
}

fn attributes_of(dir: &Path) -> Result<Attributes, TreeError> {
    let metadata = fs::symlink_metadata(dir).map_err(at(dir))?;
    Ok(Attributes {
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
        mtime: u64::try_from(metadata.mtime()).unwrap_or_default(),
        // Directories have no capabilities, and what programs noted for themselves is not worth a second copy.
        xattrs: Vec::new(),
    })
}

/// Whether a layer hides all below it.
pub(super) fn hides_all_below(layer: &Path) -> Result<bool, TreeError> {
    is_opaque(layer)
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
