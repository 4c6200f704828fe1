//! Entering namespaces, one thread at a time.
//!
//! A thread that has left the process's namespaces must not be used for anything else afterwards: both functions are
//! for threads that were made for it and end with it.
#![allow(unsafe_code)] // unshare(2) and setns(2) change what the kernel shares between the threads of this process.

use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::mount::MountPropagationFlags;
use rustix::thread::UnshareFlags;

/// Gives the calling thread a mount namespace of its own, into which mounts of the host still come and out of which none
/// get. It ends, with its mounts, when the thread does.
///
/// # Errors
/// EPERM without the capability.
pub fn own_mounts() -> Result<(), Errno> {
    // SAFETY: NEWNS implies a copy of root and working directory for this thread, and nothing else stops being shared:
    // no memory, no descriptors. Relative paths of other threads mean what they meant.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }?;
    rustix::mount::mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::DOWNSTREAM)
}

/// Gives the calling thread a network namespace of its own.
///
/// # Errors
/// EPERM without the capability.
pub fn own_network() -> Result<(), Errno> {
    // SAFETY: only the namespace of sockets that this thread makes from now on changes.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }
}

/// Moves the calling thread into a network namespace.
///
/// # Errors
/// EPERM without the capability; EINVAL if the descriptor is none of a network namespace.
pub fn enter_network(namespace: impl AsFd) -> Result<(), Errno> {
    rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(rustix::thread::LinkNameSpaceType::Network))
}
