//! The seal of a cache entry.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use sha2::{Digest, Sha256};

const FIRST_LINE: &str = "nacelle compiled component 1";

/// What an entry's file must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seal {
    length: u64,
    sha256: String,
    inode: u64,
    changed: (i64, i64),
}

/// What the look at a file gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has not been touched since it was verified.
    Untouched,
    /// It was touched, but its content is right; the seal to keep from now on.
    Verified(Seal),
    /// It is not what was sealed.
    Damaged,
}

impl Seal {
    /// Seals the file as it is now.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        // Looked at before it is read: a change meanwhile then shows.
        let meta = file.metadata()?;
        let mut hash = Sha256::new();
        io::copy(&mut file, &mut hash)?;
        Ok(Self {
            length: meta.len(),
            sha256: crate::hex(&hash.finalize()),
            inode: meta.ino(),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }

    /// Compares the file with the seal.
    pub(super) fn check(&self, path: &Path) -> io::Result<Verdict> {
        let meta = std::fs::symlink_metadata(path)?;
        if !meta.is_file() || meta.len() != self.length {
            return Ok(Verdict::Damaged);
        }
        if (meta.ino(), (meta.ctime(), meta.ctime_nsec())) == (self.inode, self.changed) {
            return Ok(Verdict::Untouched);
        }
        let now = Self::of(path)?;
        Ok(if (now.length, &now.sha256) == (self.length, &self.sha256) {
            Verdict::Verified(now)
        } else {
            Verdict::Damaged
        })
    }

    /// Reads what `Display` wrote; `None` for anything else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != FIRST_LINE {
            return None;
        }
        let length = lines.next()?.strip_prefix("length ")?.parse().ok()?;
        let sha256 = lines.next()?.strip_prefix("sha256 ")?.to_owned();
        let inode = lines.next()?.strip_prefix("inode ")?.parse().ok()?;
        let (seconds, nanos) = lines.next()?.strip_prefix("changed ")?.split_once(' ')?;
        Some(Self { length, sha256, inode, changed: (seconds.parse().ok()?, nanos.parse().ok()?) })
    }
}

impl fmt::Display for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { length, sha256, inode, changed: (seconds, nanos) } = self;
        writeln!(f, "{FIRST_LINE}\nlength {length}\nsha256 {sha256}\ninode {inode}\nchanged {seconds} {nanos}")
    }
}
