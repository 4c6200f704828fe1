//! A file of a tree of ours: located, and open.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::account::Payer;
use super::content::Handles;
use super::device::Device;
use super::inode::{FileBody, FileNode};
use super::{lock, read, write};
use crate::fs::node::OpenNode;
use crate::fs::{Errno, FileKind, FsResult, SetTime, Stat};

/// The most that [`MemFile::read_bytes_at`] gives at once: a guest names any number.
const READ_MAX: usize = 1 << 20;

/// Located, but not open; by somebody who pays for what is written.
#[derive(Clone, Debug)]
pub(crate) struct MemLeaf(pub(super) Arc<FileNode>, pub(super) Payer);

/// Open.
#[derive(Debug)]
pub(crate) struct MemFile {
    node: Arc<FileNode>,
    handles: Handles,
    payer: Payer,
}

impl MemLeaf {
    /// The same file for somebody else.
    pub(crate) fn paid_by(&self, payer: &Payer) -> Self {
        Self(self.0.clone(), payer.clone())
    }

    pub(crate) fn open(&self, how: OpenNode) -> FsResult<MemFile> {
        let file = MemFile::new(self.0.clone(), &self.1)?;
        match &self.0.body {
            FileBody::Special(_) => return Err(Errno::NXIO),
            FileBody::Regular(_) if how.truncate => file.set_size(0)?,
            // It is mounted read-only, and this is where nobody gets.
            FileBody::Fixed(_) if how.truncate || how.write => return Err(Errno::ROFS),
            _ => {}
        }
        Ok(file)
    }

    pub(crate) fn stat(&self) -> FsResult<Stat> {
        stat(&self.0)
    }

    #[expect(clippy::unnecessary_wraps, reason = "the host's may fail")]
    pub(crate) fn set_times(&self, accessed: SetTime, modified: SetTime) -> FsResult<()> {
        self.0.head.set_times(accessed, modified);
        Ok(())
    }
}

impl MemFile {
    /// EMFILE if too many are open already.
    pub(super) fn new(node: Arc<FileNode>, payer: &Payer) -> FsResult<Self> {
        if let Some(root) = node.on_disk() {
            root.spool.take_descriptor()?;
        }
        Ok(Self { node, handles: Handles::default(), payer: payer.clone() })
    }

    pub(crate) fn kind(&self) -> FileKind {
        self.node.kind()
    }

    pub(crate) fn stat(&self) -> FsResult<Stat> {
        stat(&self.node)
    }

    #[expect(clippy::unnecessary_wraps, reason = "the host's may fail")]
    pub(crate) fn set_times(&self, accessed: SetTime, modified: SetTime) -> FsResult<()> {
        self.node.head.set_times(accessed, modified);
        Ok(())
    }

    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> FsResult<usize> {
        check_offset(offset, 0)?;
        match &self.node.body {
            FileBody::Regular(content) => read(content).read(&self.node.head.tree, &self.handles, offset, buffer),
            FileBody::Fixed(bytes) => {
                let bytes = rest(bytes, offset);
                let len = bytes.len().min(buffer.len());
                buffer[..len].copy_from_slice(&bytes[..len]);
                Ok(len)
            }
            FileBody::Device(device) => device.read(buffer),
            FileBody::Special(_) => Err(Errno::NXIO),
        }
    }

    pub(crate) fn read_bytes_at(&self, offset: u64, max: usize) -> FsResult<Bytes> {
        check_offset(offset, 0)?;
        let max = max.min(READ_MAX);
        let len = match &self.node.body {
            FileBody::Regular(content) => {
                let left = read(content).size().saturating_sub(offset);
                usize::try_from(left).unwrap_or(usize::MAX).min(max)
            }
            FileBody::Fixed(bytes) => {
                let start = bytes.len() - rest(bytes, offset).len();
                return Ok(bytes.slice(start..bytes.len().min(start + max)));
            }
            FileBody::Device(_) | FileBody::Special(_) => max,
        };
        let mut buffer = vec![0; len];
        let read = self.read_at(offset, &mut buffer)?;
        buffer.truncate(read);
        Ok(buffer.into())
    }

    pub(crate) fn write_at(&self, offset: u64, bytes: &[u8]) -> FsResult<usize> {
        self.write(Some(offset), bytes)
    }

    pub(crate) fn append(&self, bytes: &[u8]) -> FsResult<usize> {
        self.write(None, bytes)
    }

    /// Without an offset, at the end.
    fn write(&self, offset: Option<u64>, bytes: &[u8]) -> FsResult<usize> {
        check_offset(offset.unwrap_or(0), 0)?;
        let tree = &self.node.head.tree;
        let written = match &self.node.body {
            FileBody::Regular(_) if bytes.is_empty() => return Ok(0),
            FileBody::Regular(content) => {
                let mut content = write(content);
                let offset = offset.unwrap_or_else(|| content.size());
                check_offset(offset, bytes.len())?;
                content.write(tree, &self.handles, &self.payer, offset, bytes)?
            }
            FileBody::Fixed(_) => return Err(Errno::ROFS),
            FileBody::Device(device) => return device.write(bytes),
            FileBody::Special(_) => return Err(Errno::NXIO),
        };
        lock(&self.node.head.attributes).touch();
        Ok(written)
    }

    pub(crate) fn set_size(&self, size: u64) -> FsResult<()> {
        i64::try_from(size).map_err(|_| Errno::INVAL)?;
        match &self.node.body {
            FileBody::Regular(content) => write(content).set_size(&self.node.head.tree, &self.handles, size)?,
            FileBody::Fixed(_) => return Err(Errno::ROFS),
            FileBody::Device(_) | FileBody::Special(_) => return Err(Errno::INVAL),
        }
        lock(&self.node.head.attributes).touch();
        Ok(())
    }

    /// What a container's root holds goes with the container, crash or not: there is nothing to wait for.
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "the host's has something to write")]
    pub(crate) fn sync(&self, _data_only: bool) -> FsResult<()> {
        Ok(())
    }

    pub(crate) fn is_same(&self, other: &MemFile) -> bool {
        Arc::ptr_eq(&self.node, &other.node)
    }

    pub(crate) fn on_disk(&self) -> bool {
        self.node.on_disk().is_some()
    }

    /// The image's file that this is, unchanged.
    pub(crate) fn store_path(&self) -> Option<PathBuf> {
        let FileBody::Regular(content) = &self.node.body else { return None };
        let lower = self.node.head.tree.root()?.lower.as_ref()?;
        read(content).image_path().map(|path| lower.store_path(path))
    }

    pub(crate) fn device(&self) -> Option<Device> {
        match self.node.body {
            FileBody::Device(device) => Some(device),
            _ => None,
        }
    }
}

impl Drop for MemFile {
    fn drop(&mut self) {
        if let Some(root) = self.node.on_disk() {
            root.spool.give_descriptor();
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the host's may fail")]
fn stat(node: &FileNode) -> FsResult<Stat> {
    let size = match &node.body {
        FileBody::Regular(content) => read(content).size(),
        FileBody::Fixed(bytes) => bytes.len() as u64,
        FileBody::Device(_) | FileBody::Special(_) => 0,
    };
    Ok(node.head.stat(node.kind(), size, None))
}

/// Linux's positions are signed.
fn check_offset(offset: u64, len: usize) -> FsResult<()> {
    i64::try_from(offset).map_err(|_| Errno::INVAL)?;
    i64::try_from(offset.saturating_add(len as u64)).map(drop).map_err(|_| Errno::FBIG)
}

/// What comes from `offset` on.
fn rest(bytes: &Bytes, offset: u64) -> &[u8] {
    usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or(&[])
}
