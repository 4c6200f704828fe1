//! openat(2).

use std::sync::Arc;

use super::{Access, Descriptor, Object, Open};
use crate::fs::namespace::{Last, MountNamespace, Name, Place, Step, Walk};
use crate::fs::node::{File, OpenNode, Opened};
use crate::fs::{Errno, FileKind, FsResult, OpenHow};

impl Descriptor {
    /// openat(2). As in WASI, whoever makes or cuts a file may write to it, and whoever does not ask to write may read.
    ///
    /// # Errors
    /// As openat(2); EPERM for a path that leads above the directory.
    pub fn open_at(&self, path: &str, how: OpenHow) -> FsResult<Descriptor> {
        let walk = Walk::relative(&self.0.namespace, self.trail()?, path)?;
        open(walk, &self.0.namespace, how)
    }

    pub(crate) fn open_absolute(namespace: &Arc<MountNamespace>, path: &str, how: OpenHow) -> FsResult<Descriptor> {
        open(Walk::absolute(namespace, path)?, namespace, how)
    }
}

/// What a path leads to, opened.
enum Found {
    /// A directory where the walk is.
    Here,
    File(File, Mount),
}

/// How a file is mounted.
enum Mount {
    Writable,
    ReadOnly,
}

fn open(mut walk: Walk<'_>, namespace: &Arc<MountNamespace>, how: OpenHow) -> FsResult<Descriptor> {
    // As in WASI; Linux says so for the first alone.
    if how.directory && (how.create || how.exclusive || how.truncate) {
        return Err(Errno::INVAL);
    }
    let found = find(&mut walk, how)?;
    let (object, read_only) = match found {
        Found::Here if how.write || how.create || how.truncate => return Err(Errno::ISDIR),
        Found::Here => {
            let read_only = namespace.check_writable(walk.place()).is_err();
            (Object::Directory(walk.into_trail()), read_only)
        }
        Found::File(file, mount) => (Object::File(file), matches!(mount, Mount::ReadOnly)),
    };
    let is_dir = matches!(object, Object::Directory(_));
    let may_write = !read_only || matches!(&object, Object::File(file) if is_device(file));
    let access = Access {
        read: how.read || !how.write,
        write: !is_dir && may_write && (how.write || how.create || how.truncate),
        mutate_directory: is_dir && !read_only && how.mutate_directory,
        read_only,
    };
    Ok(Descriptor(Arc::new(Open { namespace: namespace.clone(), object, access })))
}

fn find(walk: &mut Walk<'_>, how: OpenHow) -> FsResult<Found> {
    if let Some(found) = find_at_once(walk, how) {
        return Ok(found);
    }
    loop {
        let name = match walk.advance()? {
            Last::Here { .. } if how.create && how.exclusive => return Err(Errno::EXIST),
            Last::Here { .. } => return Ok(Found::Here),
            Last::Name(name) if name.slash && how.create => return Err(Errno::ISDIR),
            Last::Name(name) => name,
        };
        let (place, text) = (walk.place(), walk.text(&name));
        let opened = if walk.namespace.is_pinned(place, text) {
            open_pinned(walk, &name, how)?
        } else {
            open_name(walk, place, &name, how)?
        };
        match opened {
            Outcome::Found(found) => return Ok(found),
            Outcome::Directory(place) => {
                walk.enter(place);
                return Ok(Found::Here);
            }
            Outcome::Symlink(_) if !how.follow && !name.slash => {
                return Err(if how.directory { Errno::NOTDIR } else { Errno::LOOP });
            }
            // Some links lead on without their text.
            Outcome::Symlink(target) => match walk.namespace.step(walk.place(), walk.text(&name)) {
                Ok(Step::Directory(place)) => {
                    walk.enter(place);
                    return Ok(Found::Here);
                }
                _ => walk.follow(&target)?,
            },
        }
    }
}

/// What is at a path's last component.
enum Outcome {
    Found(Found),
    Directory(Place),
    Symlink(Arc<str>),
}

/// In one system call, if the rest of the path is plain and on the host.
fn find_at_once(walk: &Walk<'_>, how: OpenHow) -> Option<Found> {
    let rest = walk.plain_rest()?;
    if how.directory || walk.namespace.check_writable(walk.place()).is_err() {
        return None;
    }
    let file = walk.place().dir.open_beneath(rest, node(how, Mount::Writable, false))?;
    Some(Found::File(file, Mount::Writable))
}

fn open_name(walk: &Walk<'_>, place: &Place, name: &Name, how: OpenHow) -> FsResult<Outcome> {
    let read_only = walk.namespace.check_writable(place).is_err();
    let mount = if read_only { Mount::ReadOnly } else { Mount::Writable };
    match place.dir.open(walk.text(name), node(how, mount, name.slash)) {
        Ok(_) if read_only && how.create && how.exclusive => Err(Errno::EXIST),
        Ok(Opened::Directory(dir)) => Ok(Outcome::Directory(place.below(dir))),
        Ok(Opened::Symlink(target)) => Ok(Outcome::Symlink(target)),
        Ok(Opened::File(file)) if !read_only => Ok(Outcome::Found(Found::File(file, Mount::Writable))),
        // A device is not part of what it is mounted with.
        Ok(Opened::File(file)) if (how.write || how.truncate) && !is_device(&file) => Err(Errno::ROFS),
        Ok(Opened::File(file)) => Ok(Outcome::Found(Found::File(file, Mount::ReadOnly))),
        Err(Errno::NOENT) if read_only && how.create => Err(Errno::ROFS),
        Err(error) => Err(error),
    }
}

/// A mount point, or a directory on the way to one.
fn open_pinned(walk: &Walk<'_>, name: &Name, how: OpenHow) -> FsResult<Outcome> {
    let (place, text) = (walk.place(), walk.text(name));
    let step = walk.namespace.step(place, text)?;
    if how.create && how.exclusive {
        return Err(Errno::EXIST);
    }
    match step {
        Step::Directory(place) => Ok(Outcome::Directory(place)),
        Step::Symlink(target) => Ok(Outcome::Symlink(target)),
        Step::Leaf(_) if how.directory || name.slash => Err(Errno::NOTDIR),
        Step::Leaf(leaf) => {
            let read_only = walk.namespace.leaf_is_read_only(place, text);
            if read_only && (how.write || how.truncate) {
                return Err(Errno::ROFS);
            }
            let mount = || if read_only { Mount::ReadOnly } else { Mount::Writable };
            Ok(Outcome::Found(Found::File(leaf.open(node(how, mount(), false))?, mount())))
        }
    }
}

/// What a tree is to do. Of what is mounted read-only nothing is made, cut, or opened for writing.
fn node(how: OpenHow, mount: Mount, slash: bool) -> OpenNode {
    let writable = matches!(mount, Mount::Writable);
    OpenNode {
        read: how.read || !how.write,
        write: writable && (how.write || how.create || how.truncate),
        create: writable && how.create,
        exclusive: writable && how.create && how.exclusive,
        truncate: writable && how.truncate && !slash,
        directory: how.directory || slash,
    }
}

fn is_device(file: &File) -> bool {
    file.kind() == FileKind::CharDevice
}
