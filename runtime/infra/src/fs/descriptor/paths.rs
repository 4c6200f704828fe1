//! What is done to names: stat, mkdir, rename and the like.

use super::Descriptor;
use crate::fs::namespace::{Last, Name, Place, Step, Walk};
use crate::fs::{Errno, FileKind, FsResult, SetTime, Stat};

/// The longest target of a link, with the NUL that ends it in C.
const TARGET_MAX: usize = 4096;

impl Descriptor {
    /// fstatat(2).
    ///
    /// # Errors
    /// As fstatat(2); EPERM for a path that leads above the directory. The same goes for all that follow.
    pub fn stat_at(&self, path: &str, follow: bool) -> FsResult<Stat> {
        let mut walk = self.walk(path)?;
        if let Some(stat) = walk.plain_rest().and_then(|rest| walk.place().dir.stat_beneath(rest)) {
            return Ok(stat);
        }
        match settle(&mut walk, follow)? {
            (_, Some(stat)) => Ok(stat),
            (Last::Here { .. }, None) => walk.place().dir.stat(),
            (Last::Name(name), None) => walk.place().dir.stat_name(walk.text(&name)),
        }
    }

    /// utimensat(2).
    ///
    /// # Errors
    /// As utimensat(2).
    pub fn set_times_at(&self, path: &str, follow: bool, accessed: SetTime, modified: SetTime) -> FsResult<()> {
        let mut walk = self.walk(path)?;
        let (last, _) = settle(&mut walk, follow)?;
        let (place, namespace) = (walk.place(), walk.namespace);
        let name = match &last {
            Last::Here { .. } => {
                namespace.check_writable(place)?;
                return place.dir.set_times(accessed, modified);
            }
            Last::Name(name) => walk.text(name),
        };
        if !namespace.is_pinned(place, name) {
            if let Err(error) = namespace.check_writable(place) {
                place.dir.stat_name(name)?;
                return Err(error);
            }
            return place.dir.set_times_name(name, accessed, modified);
        }
        match namespace.step(place, name)? {
            Step::Directory(place) => {
                namespace.check_writable(&place)?;
                place.dir.set_times(accessed, modified)
            }
            Step::Leaf(_) if namespace.leaf_is_read_only(place, name) => Err(Errno::ROFS),
            Step::Leaf(leaf) => leaf.set_times(accessed, modified),
            Step::Symlink(_) => Err(Errno::BUSY),
        }
    }

    /// mkdirat(2).
    ///
    /// # Errors
    /// As mkdirat(2).
    pub fn create_directory_at(&self, path: &str) -> FsResult<()> {
        let mut walk = self.walk(path)?;
        let Last::Name(name) = walk.advance()? else { return Err(Errno::EXIST) };
        let name = walk.text(&name);
        check_new(&walk, walk.place(), name)?;
        walk.place().dir.create_directory(name)
    }

    /// unlinkat(2) with `AT_REMOVEDIR`.
    ///
    /// # Errors
    /// As unlinkat(2).
    pub fn remove_directory_at(&self, path: &str) -> FsResult<()> {
        let mut walk = self.walk(path)?;
        let name = match walk.advance()? {
            Last::Here { up: true } => return Err(Errno::NOTEMPTY),
            Last::Here { up: false } => return Err(Errno::INVAL),
            Last::Name(name) => name,
        };
        let (place, text) = (walk.place(), walk.text(&name));
        if walk.namespace.is_pinned(place, text) {
            return Err(if pinned_is_dir(&walk, text)? { Errno::BUSY } else { Errno::NOTDIR });
        }
        walk.namespace.check_writable(place)?;
        if name.slash
            && let Ok(target) = place.dir.readlink(text)
        {
            // Not a directory. But that a link leads out is what WASI wants to hear first.
            let led = walk.follow(&target).and_then(|()| settle(&mut walk, true).map(drop));
            return Err(if led == Err(Errno::PERM) { Errno::PERM } else { Errno::NOTDIR });
        }
        place.dir.remove_directory(text)
    }

    /// unlinkat(2).
    ///
    /// # Errors
    /// As unlinkat(2).
    pub fn unlink_file_at(&self, path: &str) -> FsResult<()> {
        let mut walk = self.walk(path)?;
        let Last::Name(name) = walk.advance()? else { return Err(Errno::ISDIR) };
        let (place, text) = (walk.place(), walk.text(&name));
        if walk.namespace.is_pinned(place, text) {
            return Err(if pinned_is_dir(&walk, text)? { Errno::ISDIR } else { Errno::BUSY });
        }
        walk.namespace.check_writable(place)?;
        if name.slash {
            let is_dir = place.dir.stat_name(text)?.kind == FileKind::Directory;
            return Err(if is_dir { Errno::ISDIR } else { Errno::NOTDIR });
        }
        place.dir.unlink(text)
    }

    /// renameat(2).
    ///
    /// # Errors
    /// As renameat(2).
    pub fn rename_at(&self, from: &str, to_dir: &Descriptor, to: &str) -> FsResult<()> {
        let (mut source, mut target) = (self.walk(from)?, to_dir.walk(to)?);
        let (from, to) = (source.advance()?, target.advance()?);
        if !source.place().same_mount(target.place()) || !self.same_namespace(to_dir) {
            return Err(Errno::XDEV);
        }
        let (Last::Name(from), Last::Name(to)) = (from, to) else { return Err(Errno::BUSY) };
        source.namespace.check_writable(source.place())?;
        let (from_text, to_text) = (source.text(&from), target.text(&to));
        if source.namespace.is_pinned(source.place(), from_text) || target.namespace.is_pinned(target.place(), to_text)
        {
            return Err(Errno::BUSY);
        }
        let dir = &source.place().dir;
        if (from.slash || to.slash) && dir.stat_name(from_text)?.kind != FileKind::Directory {
            return Err(Errno::NOTDIR);
        }
        dir.rename(from_text, &target.place().dir, to_text)
    }

    /// linkat(2).
    ///
    /// # Errors
    /// As linkat(2).
    pub fn link_at(&self, follow: bool, from: &str, to_dir: &Descriptor, to: &str) -> FsResult<()> {
        let mut source = self.walk(from)?;
        let (last, stat) = settle(&mut source, follow)?;
        if let (Last::Name(name), None) = (&last, stat) {
            source.place().dir.stat_name(source.text(name))?;
        }
        let mut target = to_dir.walk(to)?;
        let Last::Name(to) = target.advance()? else { return Err(Errno::EXIST) };
        check_slash(&target, &to)?;
        let to = target.text(&to);
        check_new(&target, target.place(), to)?;
        // What is here is a directory.
        let Last::Name(from) = last else { return Err(Errno::PERM) };
        let from = source.text(&from);
        if !source.place().same_mount(target.place())
            || !self.same_namespace(to_dir)
            || source.namespace.is_pinned(source.place(), from)
        {
            return Err(if target.place().dir.stat_name(to).is_ok() { Errno::EXIST } else { Errno::XDEV });
        }
        source.place().dir.link(from, &target.place().dir, to)
    }

    /// symlinkat(2). As in WASI, an absolute target is EPERM.
    ///
    /// # Errors
    /// As symlinkat(2).
    pub fn symlink_at(&self, target: &str, path: &str) -> FsResult<()> {
        if target.is_empty() {
            return Err(Errno::NOENT);
        }
        if target.len() >= TARGET_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        if target.contains('\0') {
            return Err(Errno::INVAL);
        }
        if target.starts_with('/') {
            return Err(Errno::PERM);
        }
        let mut walk = self.walk(path)?;
        let Last::Name(name) = walk.advance()? else { return Err(Errno::EXIST) };
        check_slash(&walk, &name)?;
        let name = walk.text(&name);
        check_new(&walk, walk.place(), name)?;
        walk.place().dir.symlink(target, name)
    }

    /// readlinkat(2).
    ///
    /// # Errors
    /// As readlinkat(2).
    pub fn readlink_at(&self, path: &str) -> FsResult<String> {
        let mut walk = self.walk(path)?;
        match settle(&mut walk, false)? {
            (Last::Name(name), None) => walk.place().dir.readlink(walk.text(&name)).map(|target| target.to_string()),
            // Looked at, and no link.
            (_, _) => Err(Errno::INVAL),
        }
    }

    fn walk<'a>(&'a self, path: &'a str) -> FsResult<Walk<'a>> {
        Walk::relative(&self.0.namespace, self.trail()?, path)
    }

    fn same_namespace(&self, other: &Self) -> bool {
        std::sync::Arc::ptr_eq(&self.0.namespace, &other.0.namespace)
    }
}

/// Goes on to the last component, through links if it is to be followed or ends in a slash. Gives what is there if that
/// had to be found out; without, nothing may be there.
fn settle(walk: &mut Walk<'_>, follow: bool) -> FsResult<(Last, Option<Stat>)> {
    loop {
        let name = match walk.advance()? {
            Last::Name(name) => name,
            here @ Last::Here { .. } => return Ok((here, None)),
        };
        let (place, text) = (walk.place(), walk.text(&name));
        let stat = if walk.namespace.is_pinned(place, text) {
            match walk.namespace.step(place, text)? {
                Step::Directory(place) => place.dir.stat()?,
                Step::Leaf(leaf) => leaf.stat()?,
                Step::Symlink(_) => place.dir.stat_name(text)?,
            }
        } else if follow || name.slash {
            place.dir.stat_name(text)?
        } else {
            return Ok((Last::Name(name), None));
        };
        match stat.kind {
            FileKind::Symlink => {
                let target = place.dir.readlink(text)?;
                walk.follow(&target)?;
            }
            FileKind::Directory => return Ok((Last::Name(name), Some(stat))),
            _ if name.slash => return Err(Errno::NOTDIR),
            _ => return Ok((Last::Name(name), Some(stat))),
        }
    }
}

/// EEXIST if there is something, before EROFS if nothing may be made.
fn check_new(walk: &Walk<'_>, place: &Place, name: &str) -> FsResult<()> {
    if walk.namespace.is_pinned(place, name) {
        return Err(Errno::EXIST);
    }
    walk.namespace.check_writable(place).map_err(|error| match place.dir.stat_name(name) {
        Ok(_) => Errno::EXIST,
        Err(_) => error,
    })
}

/// What is made is no directory, but a slash asks for one.
fn check_slash(walk: &Walk<'_>, name: &Name) -> FsResult<()> {
    if !name.slash {
        return Ok(());
    }
    let stat = walk.place().dir.stat_name(walk.text(name))?;
    // A link is there, wherever it leads.
    Err(if matches!(stat.kind, FileKind::Directory | FileKind::Symlink) { Errno::EXIST } else { Errno::NOTDIR })
}

fn pinned_is_dir(walk: &Walk<'_>, name: &str) -> FsResult<bool> {
    Ok(matches!(walk.namespace.step(walk.place(), name)?, Step::Directory(_)))
}
