//! The entries of a directory of the host.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Dir, FileType};
use rustix::io::Errno;

use super::dir::Held;
use super::stat;
use crate::fs::{DirEntry, FsResult};

/// Read from the kernel piece by piece: the memory for it does not depend on the directory's size.
#[derive(Debug)]
pub(crate) struct HostListing {
    entries: Dir,
    _held: Held,
}

impl HostListing {
    pub(super) fn new(dir: OwnedFd, held: Held) -> FsResult<Self> {
        Ok(Self { entries: Dir::new(dir)?, _held: held })
    }
}

impl Iterator for HostListing {
    type Item = FsResult<DirEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = match self.entries.next()? {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error)),
            };
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            let Ok(text) = name.to_str() else { return Some(Err(Errno::ILSEQ)) };
            let kind = match entry.file_type() {
                // Not every filesystem says.
                FileType::Unknown => {
                    let found =
                        self.entries.fd().and_then(|dir| rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW));
                    match found {
                        Ok(found) => stat::kind(found.st_mode),
                        // Gone meanwhile.
                        Err(Errno::NOENT) => continue,
                        Err(error) => return Some(Err(error)),
                    }
                }
                kind => stat::file_type(kind),
            };
            return Some(Ok(DirEntry { name: text.to_owned(), kind, ino: entry.ino() }));
        }
    }
}
