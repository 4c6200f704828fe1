//! The files of a pod and of its containers: trees, and one namespace per container that they are mounted in.
//!
//! ```text
//!   Descriptor ──► MountNamespace ──► walk ──► Dir/Leaf/File ──► memory   volumes, content, a container's root
//!   (a guest's)    (mount table)      (paths)   (one component)  host     a directory of the host
//! ```
//!
//! A guest names paths; only `namespace` knows them. A tree is asked one component at a time and never follows a link
//! or goes up, so that no tree can be left by a path. Errors are Linux's numbers throughout, as every interface above
//! speaks in them.
//!
//! Everything is synchronous. [`Descriptor::on_disk`] says where a caller may have to wait.

mod content;
mod descriptor;
mod host;
mod memory;
mod namespace;
mod node;
mod open_files;
mod tree;
mod usage;

use std::time::SystemTime;

pub use content::ContentError;
pub(crate) use content::ContentFile;
pub use descriptor::Descriptor;
pub use host::DiskQuota;
pub use memory::Device;
pub use namespace::{MountNamespace, NamespaceBuilder, NamespaceError, ReadDir, RootUsage};
pub use rustix::io::Errno;
pub use tree::{HostTreeError, MemLimits, Ownership, RootLimits, RootTreeError, Tree};
pub use usage::{DiskUsage, Notice, OverStorage, Recount};

/// What a call gives: a value, or Linux's error number.
pub type FsResult<T> = Result<T, Errno>;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
}

/// What is known of a file: stat(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// What it is.
    pub kind: FileKind,
    /// The tree it belongs to.
    pub dev: u64,
    /// Its number within the tree.
    pub ino: u64,
    /// How many names it has.
    pub nlink: u64,
    /// Its size in bytes.
    pub size: u64,
    /// Permission bits, with setuid, setgid and sticky.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// When it was last read.
    pub accessed: SystemTime,
    /// When its content last changed.
    pub modified: SystemTime,
    /// When anything of it last changed.
    pub changed: SystemTime,
}

/// How to open a path: open(2)'s flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the flags of a system call, each independent of the others")]
pub struct OpenHow {
    /// Make a regular file if there is nothing.
    pub create: bool,
    /// ENOTDIR unless it is a directory.
    pub directory: bool,
    /// With `create`: EEXIST if there is anything.
    pub exclusive: bool,
    /// Cut a regular file to nothing.
    pub truncate: bool,
    /// Follow a link that is the last component; without, such a link is ELOOP.
    pub follow: bool,
    /// Read access.
    pub read: bool,
    /// Write access.
    pub write: bool,
    /// For a directory: what is in it may be changed through the descriptor.
    pub mutate_directory: bool,
}

/// What to do with a time of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    /// Leave it.
    Keep,
    /// The time of the call.
    Now,
    /// This one.
    To(SystemTime),
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: FileKind,
    /// Its number within its tree.
    pub ino: u64,
}
