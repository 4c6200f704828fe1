//! The way along a path.
//!
//! Stops before the last component, which is for the caller to do something with, and goes on when the caller finds a
//! link there and wants it followed. Where the walk has been is remembered, so that `..` never asks a tree: a directory
//! that is moved meanwhile leads to where it was, and never out.
//!
//! ```text
//!   start ──advance──► Here              the path ends in a directory that is known: `.`, `a/..`
//!                  └──► Name(a) ──follow(target)──► advance …
//! ```
//!
//! `..` in a guest's path may not lead above the directory it starts from, and no `..` above the root: EPERM, as WASI
//! wants it. The runtime's own paths stay at the root there, as on Linux. A link leads wherever it points to within the
//! namespace, also above the directory that the guest started from: it can reach that from `/` anyway.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use super::{MountNamespace, Place, Step, Trail};
use crate::fs::{Errno, FsResult};

/// Links that are followed before it is taken for a loop.
const MAX_LINKS: u8 = 40;
/// With the NUL that ends it in C.
const PATH_MAX: usize = 4096;
const NAME_MAX: usize = 255;

/// Whose path it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// Relative to a descriptor, and held to it.
    Guest,
    /// Absolute.
    Runtime,
}

/// Where a path ends.
pub(crate) enum Last {
    /// At a directory where the walk is.
    Here {
        /// The last component was `..`, which some calls tell from `.`.
        up: bool,
    },
    /// At a name in the directory where the walk is.
    Name(Name),
}

/// The last component of a path.
#[derive(Clone)]
pub(crate) struct Name {
    range: Range<usize>,
    /// A slash follows: it has to be a directory.
    pub(crate) slash: bool,
}

pub(crate) struct Walk<'a> {
    pub(crate) namespace: &'a MountNamespace,
    text: Cow<'a, str>,
    position: usize,
    /// How many bytes at the end of `text` are the caller's own; what is before them came out of links.
    own: usize,
    who: Who,
    links: u8,
    /// Where it starts.
    base: &'a Arc<Trail>,
    /// Whether `base` is (still) what the caller gave.
    at_start: bool,
    /// Beyond the base.
    steps: Vec<Place>,
}

impl<'a> Walk<'a> {
    /// A guest's path, from `base`.
    pub(crate) fn relative(namespace: &'a MountNamespace, base: &'a Arc<Trail>, path: &'a str) -> FsResult<Self> {
        if path.starts_with('/') {
            return Err(Errno::PERM);
        }
        Self::new(namespace, base, path, Who::Guest)
    }

    /// A path of the runtime.
    pub(crate) fn absolute(namespace: &'a MountNamespace, path: &'a str) -> FsResult<Self> {
        if !path.starts_with('/') {
            return Err(if path.is_empty() { Errno::NOENT } else { Errno::INVAL });
        }
        Self::new(namespace, &namespace.top, path, Who::Runtime)
    }

    fn new(namespace: &'a MountNamespace, base: &'a Arc<Trail>, path: &'a str, who: Who) -> FsResult<Self> {
        if path.is_empty() {
            return Err(Errno::NOENT);
        }
        if path.len() >= PATH_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        if path.contains('\0') {
            return Err(Errno::INVAL);
        }
        let (text, own) = (Cow::Borrowed(path), path.len());
        Ok(Self { namespace, text, position: 0, own, who, links: 0, base, at_start: true, steps: Vec::new() })
    }

    /// Where the walk is.
    pub(crate) fn place(&self) -> &Place {
        self.steps.last().unwrap_or(&self.base.place)
    }

    /// The name's text.
    pub(crate) fn text(&self, name: &Name) -> &str {
        &self.text[name.range.clone()]
    }

    /// What is left of the path, if it is several plain names on the host that may be gone along in one step.
    pub(crate) fn plain_rest(&self) -> Option<&str> {
        if !self.place().dir.is_on_host() {
            return None;
        }
        let rest = self.text.get(self.position..)?;
        let plain = |name: &str| !name.is_empty() && name != "." && name != ".." && name.len() <= NAME_MAX;
        (MountNamespace::is_plain(self.place()) && rest.contains('/') && rest.split('/').all(plain)).then_some(rest)
    }

    /// Goes on to the last component.
    pub(crate) fn advance(&mut self) -> FsResult<Last> {
        let mut up = false;
        loop {
            let rest = &self.text[self.position..];
            let start = self.position + (rest.len() - rest.trim_start_matches('/').len());
            let rest = &self.text[start..];
            if rest.is_empty() {
                return Ok(Last::Here { up });
            }
            let end = start + rest.find('/').unwrap_or(rest.len());
            let is_own = self.text.len() - start <= self.own;
            self.position = end;
            match &self.text[start..end] {
                "." => up = false,
                ".." => {
                    self.up(is_own)?;
                    up = true;
                }
                name if name.len() > NAME_MAX => return Err(Errno::NAMETOOLONG),
                name => {
                    if self.text[end..].bytes().all(|byte| byte == b'/') {
                        let slash = end < self.text.len();
                        return Ok(Last::Name(Name { range: start..end, slash }));
                    }
                    match self.namespace.step(self.place(), name)? {
                        Step::Directory(place) => self.steps.push(place),
                        Step::Symlink(target) => self.follow(&target)?,
                        Step::Leaf(_) => return Err(Errno::NOTDIR),
                    }
                    up = false;
                }
            }
        }
    }

    /// Goes on with what a link at the component that was read last points to.
    pub(crate) fn follow(&mut self, target: &str) -> FsResult<()> {
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(Errno::LOOP);
        }
        if target.is_empty() {
            return Err(Errno::NOENT);
        }
        if target.starts_with('/') {
            self.base = &self.namespace.top;
            self.at_start = false;
            self.steps.clear();
        }
        let rest = &self.text[self.position..];
        self.own = self.own.min(rest.len());
        self.text = Cow::Owned(format!("{target}{rest}"));
        self.position = 0;
        Ok(())
    }

    /// Goes into a directory that was found at the last component.
    pub(crate) fn enter(&mut self, place: Place) {
        self.steps.push(place);
    }

    fn up(&mut self, is_own: bool) -> FsResult<()> {
        if self.steps.pop().is_some() {
            return Ok(());
        }
        if self.who == Who::Guest && is_own && self.at_start {
            return Err(Errno::PERM);
        }
        if let Some(above) = &self.base.above {
            self.at_start = false;
            self.base = above;
            return Ok(());
        }
        match self.who {
            Who::Guest => Err(Errno::PERM),
            Who::Runtime => Ok(()),
        }
    }

    /// The way from the root to where the walk is.
    pub(crate) fn into_trail(self) -> Arc<Trail> {
        self.steps.into_iter().fold(self.base.clone(), Trail::down)
    }
}
