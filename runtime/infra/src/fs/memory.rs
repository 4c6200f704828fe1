//! Trees of our own: inodes in memory.
//!
//! One kind of inode serves volumes in memory, content volumes, `/dev`, and a container's root; they differ in where
//! the content of regular files lies ([`content`]) and in whether there is an image below ([`lower`]). Directories of
//! an image are read when they are first looked into, and are ordinary directories from then on: what is removed is
//! just not there any more.
//!
//! Permission bits are kept and shown, but nobody is refused by them: a guest is its container's root user. Access
//! times change only when they are set, as with `noatime`.
//!
//! **Locks**, in this order: a tree's `change` (rename and rmdir), directories (two only under `change`, or a parent
//! and then its child), a file's content, an inode's attributes. Nothing waits for anything but a disk under them.

mod account;
mod content;
mod device;
mod dir;
mod extents;
mod file;
mod inode;
mod listing;
mod lower;
mod pages;
mod rename;
mod spool;
mod tree;

pub use device::Device;

pub(crate) use account::{PAGE, Payer};
pub(crate) use dir::MemDir;
pub(crate) use file::{MemFile, MemLeaf};
pub(crate) use inode::Slot;
pub(crate) use listing::MemListing;
pub(crate) use lower::Lower;
pub(crate) use spool::Spool;
pub(crate) use tree::{MemTree, RootStore};

use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

// A panic under a lock is a defect of ours; every change is complete before anything under these locks can panic, so
// the others go on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
