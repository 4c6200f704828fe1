//! What a regular file holds.
//!
//! ```text
//!   Given ──first change──► Memory: pages            a file of the runtime's own, of which nobody needs a copy
//!   Disk:   Image ──first change──► Spooled       a container's root
//!           New ────first write───┘
//! ```

use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;

use bytes::Bytes;

use super::account::{PAGE, Payer};
use super::extents::Extents;
use super::pages::Pages;
use super::tree::{RootStore, Shared};
use crate::fs::open_files::Slot;
use crate::fs::{Errno, FsResult};

/// What an open file keeps of the files on disk, opened when they are first needed.
#[derive(Debug, Default)]
pub(super) struct Handles {
    lower: OnceLock<Handle>,
    spool: OnceLock<Handle>,
}

pub(super) enum Content {
    /// What others may show as well: it is theirs to pay for.
    Given(Bytes),
    Memory(Pages),
    Disk {
        size: u64,
        place: Place,
    },
}

/// Where on disk.
pub(super) enum Place {
    /// Nowhere yet: all of it reads as zeros.
    New,
    /// The image's file of this path, unchanged.
    Image(Box<str>),
    /// A file of the spool. It may be shorter than the content, which is then zeros.
    Spooled { id: u64, extents: Extents },
}

/// What one more range of pages on disk costs in memory.
const RUN: u64 = 48;

impl Content {
    /// Of a new file.
    pub(super) fn new(tree: &Shared) -> Self {
        match tree.root() {
            None => Self::Memory(Pages::default()),
            Some(_) => Self::Disk { size: 0, place: Place::New },
        }
    }

    /// Of a file of the image.
    pub(super) fn lower(tree: &Shared, path: Box<str>, size: u64) -> FsResult<Self> {
        tree.account.take_memory(path.len() as u64)?;
        Ok(Self::Disk { size, place: Place::Image(path) })
    }

    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Given(bytes) => bytes.len() as u64,
            Self::Memory(pages) => pages.size(),
            Self::Disk { size, .. } => *size,
        }
    }

    /// The image's file, as long as this is it.
    pub(super) fn image_path(&self) -> Option<&str> {
        match self {
            Self::Disk { place: Place::Image(path), .. } => Some(path),
            _ => None,
        }
    }

    pub(super) fn read(&self, tree: &Shared, handles: &Handles, offset: u64, buffer: &mut [u8]) -> FsResult<usize> {
        let (size, place) = match self {
            Self::Given(bytes) => {
                let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
                let len = rest.len().min(buffer.len());
                buffer[..len].copy_from_slice(&rest[..len]);
                return Ok(len);
            }
            Self::Memory(pages) => return Ok(pages.read(offset, buffer)),
            Self::Disk { size, place } => (*size, place),
        };
        let left = usize::try_from(size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let buffer = &mut buffer[..wanted];
        let root = tree.root().ok_or(Errno::IO)?;
        let file = match place {
            Place::New => None,
            Place::Image(path) => Some(handles.lower(root, path)?),
            Place::Spooled { id, .. } => Some(handles.spool(root, *id)?),
        };
        let mut done = 0;
        while let Some(file) = file
            && done < wanted
        {
            match rustix::io::pread(file, &mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        buffer[done..].fill(0);
        Ok(wanted)
    }

    /// Writes as much as fits; nothing at all is ENOSPC. `bytes` is not empty, and its end fits an `i64`.
    /// Pages that are new in memory are charged to `payer`.
    pub(super) fn write(
        &mut self,
        tree: &Shared,
        handles: &Handles,
        payer: &Payer,
        offset: u64,
        bytes: &[u8],
    ) -> FsResult<usize> {
        self.make_own(tree, payer)?;
        match self {
            Self::Given(_) => Err(Errno::IO),
            Self::Memory(pages) => {
                let take = |pages| tree.account.take_pages(payer, pages);
                let retry = |pages| tree.account.retry_pages(payer, pages);
                let len = fitting(offset, bytes.len(), |len| pages.missing(offset, len), take, retry)?;
                pages.write(offset, &bytes[..len], payer);
                Ok(len)
            }
            Self::Disk { size, place } => {
                let written = place.write(tree, handles, *size, offset, bytes)?;
                *size = (*size).max(offset + written as u64);
                Ok(written)
            }
        }
    }

    /// Copies what was given, before it is changed.
    fn make_own(&mut self, tree: &Shared, payer: &Payer) -> FsResult<()> {
        if let Self::Given(bytes) = self {
            let mut pages = Pages::default();
            tree.account.take_pages(payer, pages.missing(0, bytes.len()))?;
            pages.write(0, bytes, payer);
            *self = Self::Memory(pages);
        }
        Ok(())
    }

    /// Cuts or extends; extending makes a hole.
    pub(super) fn set_size(&mut self, tree: &Shared, handles: &Handles, to: u64) -> FsResult<()> {
        if to > 0 {
            self.make_own(tree, tree.account.payer())?;
        }
        match self {
            Self::Given(_) => {
                *self = Self::Memory(Pages::default());
                Ok(())
            }
            Self::Memory(pages) => {
                for (payer, gone) in pages.set_size(to) {
                    tree.account.give_pages(&payer, gone);
                }
                Ok(())
            }
            Self::Disk { size, place } => {
                let root = tree.root().ok_or(Errno::IO)?;
                match place {
                    Place::New => {}
                    Place::Image(path) if to == 0 => {
                        tree.account.give_memory(path.len() as u64);
                        *place = Place::New;
                    }
                    Place::Image(_) => {
                        place.spool(tree, handles, to.min(*size))?;
                    }
                    Place::Spooled { id, extents } if to < *size => {
                        let file = handles.spool(root, *id)?;
                        // The file may be shorter than the content; it must not get longer by this.
                        if rustix::fs::fstat(file)?.st_size.cast_unsigned() > to {
                            rustix::fs::ftruncate(file, to)?;
                        }
                        let runs = extents.runs();
                        root.spool.release(extents.truncate(to.div_ceil(PAGE)) * PAGE);
                        tree.account.give_memory(runs.saturating_sub(extents.runs()) * RUN);
                    }
                    Place::Spooled { .. } => {}
                }
                *size = to;
                Ok(())
            }
        }
    }

    /// Gives back all that was charged, and what is on disk.
    pub(super) fn release(&mut self, tree: &Shared) {
        match self {
            Self::Given(_) => {}
            Self::Memory(pages) => {
                for (payer, gone) in pages.set_size(0) {
                    tree.account.give_pages(&payer, gone);
                }
            }
            Self::Disk { place: Place::New, .. } => {}
            Self::Disk { place: Place::Image(path), .. } => tree.account.give_memory(path.len() as u64),
            Self::Disk { place: Place::Spooled { id, extents }, .. } => {
                if let Some(root) = tree.root() {
                    root.spool.remove(*id, extents.pages() * PAGE);
                }
                tree.account.give_memory(extents.runs() * RUN);
            }
        }
    }
}

impl Place {
    /// As [`Content::write`], for content of `size` bytes.
    fn write(&mut self, tree: &Shared, handles: &Handles, size: u64, offset: u64, bytes: &[u8]) -> FsResult<usize> {
        let root = tree.root().ok_or(Errno::IO)?;
        let (id, extents) = self.spool(tree, handles, size)?;
        let file = handles.spool(root, id)?;
        let spool = &root.spool;
        let missing = |len| extents.missing(&range(offset, len));
        let take = |pages| spool.charge(pages * PAGE);
        let len = fitting(offset, bytes.len(), missing, take, take)?;
        let pages = missing(len);
        // What is written joins other ranges, or is one more.
        let more = if extents.touches(&range(offset, len)) { 0 } else { RUN };
        let written = tree.account.take_memory(more).and_then(|()| {
            let written = match rustix::io::retry_on_intr(|| rustix::io::pwrite(file, &bytes[..len], offset)) {
                Ok(0) => Err(Errno::IO),
                written => written,
            };
            written.inspect_err(|_| tree.account.give_memory(more))
        });
        let written = written.inspect_err(|_| spool.release(pages * PAGE))?;
        // If the disk was full before all was written, the rest counts all the same, until the file is cut or removed.
        let charged = extents.runs() * RUN + more;
        extents.insert(range(offset, len));
        tree.account.give_memory(charged - extents.runs() * RUN);
        Ok(written)
    }

    /// Its file in the spool, made if there is none, with the first `keep` bytes of the image's file in it.
    fn spool(&mut self, tree: &Shared, handles: &Handles, keep: u64) -> FsResult<(u64, &mut Extents)> {
        let root = tree.root().ok_or(Errno::IO)?;
        let from = match self {
            Self::Spooled { .. } => None,
            Self::New => Some(None),
            Self::Image(path) => Some(Some(path)),
        };
        if let Some(from) = from {
            let pages = if from.is_some() { keep.div_ceil(PAGE) } else { 0 };
            let usage = &root.spool;
            usage.charge(pages * PAGE)?;
            tree.account.take_memory(RUN).inspect_err(|_| usage.release(pages * PAGE))?;
            let made = root.files.take().and_then(|_slot| {
                let (id, file) = root.spool.create()?;
                let Some(path) = &from else { return Ok((id, Handle { file, _slot })) };
                let copied = handles.lower(root, path).and_then(|lower| copy(lower, &file, keep));
                copied.map(|()| (id, Handle { file, _slot })).inspect_err(|_| root.spool.remove(id, 0))
            });
            let (id, handle) = made.inspect_err(|_| {
                usage.release(pages * PAGE);
                tree.account.give_memory(RUN);
            })?;
            let mut extents = Extents::default();
            if pages > 0 {
                extents.insert(0..pages);
            } else {
                tree.account.give_memory(RUN);
            }
            if let Some(path) = from {
                tree.account.give_memory(path.len() as u64);
            }
            // Nobody else can have opened a file that was made just now.
            let _ = handles.spool.set(handle);
            *self = Self::Spooled { id, extents };
        }
        match self {
            Self::Spooled { id, extents } => Ok((*id, extents)),
            Self::New | Self::Image(_) => Err(Errno::IO),
        }
    }
}

/// A descriptor that counts as the tree's.
#[derive(Debug)]
struct Handle {
    file: OwnedFd,
    _slot: Slot,
}

impl Handles {
    fn lower(&self, root: &RootStore, path: &str) -> FsResult<&OwnedFd> {
        get_or_open(&self.lower, root, || root.lower.as_ref().ok_or(Errno::IO)?.open_file(path))
    }

    fn spool(&self, root: &RootStore, id: u64) -> FsResult<&OwnedFd> {
        get_or_open(&self.spool, root, || root.spool.open(id))
    }
}

fn get_or_open<'a>(
    cell: &'a OnceLock<Handle>,
    root: &RootStore,
    open: impl FnOnce() -> FsResult<OwnedFd>,
) -> FsResult<&'a OwnedFd> {
    let handle = match cell.get() {
        Some(handle) => handle,
        None => {
            let _slot = root.files.take()?;
            let file = open()?;
            cell.get_or_init(|| Handle { file, _slot })
        }
    };
    Ok(&handle.file)
}

/// Page numbers of a range of bytes.
fn range(offset: u64, len: usize) -> Range<u64> {
    let start = offset / PAGE;
    start..if len == 0 { start } else { (offset + len as u64).div_ceil(PAGE) }
}

/// How many of `len` bytes from `offset` can be taken: all, or up to the end of the last page that fits. `missing` says
/// how many pages that many bytes need.
fn fitting(
    offset: u64,
    len: usize,
    missing: impl Fn(usize) -> u64,
    take: impl Fn(u64) -> FsResult<()>,
    retry: impl Fn(u64) -> FsResult<()>,
) -> FsResult<usize> {
    let Err(error) = take(missing(len)) else { return Ok(len) };
    // By halving: at the limit a guest tries again and again.
    let bytes = |pages: u64| usize::try_from((offset / PAGE + pages) * PAGE - offset).unwrap_or(len).min(len);
    let all = range(offset, len).end - range(offset, len).start;
    let (mut fits, mut fits_bytes, mut step) = (0, 0, all.next_power_of_two());
    while step > 0 {
        if fits + step < all {
            let more = bytes(fits + step);
            if retry(missing(more) - missing(fits_bytes)).is_ok() {
                (fits, fits_bytes) = (fits + step, more);
            }
        }
        step /= 2;
    }
    if fits_bytes == 0 { Err(error) } else { Ok(fits_bytes) }
}

/// Copies the first `len` bytes; shares them where the filesystem can.
fn copy(from: &OwnedFd, to: &OwnedFd, len: u64) -> FsResult<()> {
    let mut done: u64 = 0;
    let mut buffer = Vec::new();
    while done < len {
        let (mut from_at, mut to_at) = (done, done);
        let left = usize::try_from(len - done).unwrap_or(usize::MAX);
        let copied = if buffer.is_empty() {
            rustix::fs::copy_file_range(from, Some(&mut from_at), to, Some(&mut to_at), left)
        } else {
            let len = buffer.len().min(left);
            match rustix::io::pread(from, &mut buffer[..len], done) {
                Ok(read) => rustix::io::pwrite(to, &buffer[..read], done),
                Err(error) => Err(error),
            }
        };
        match copied {
            // Shorter than it was said to be: the rest is zeros.
            Ok(0) => break,
            Ok(copied) => done += copied as u64,
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) if buffer.is_empty() => {
                buffer.resize(128 << 10, 0);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
