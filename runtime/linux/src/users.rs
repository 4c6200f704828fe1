//! The user namespace of a pod: `hostUsers: false`.
//!
//! ```text
//!   inside      0 ─────────────── 65535          the host      first ─────────────── first + 65535
//!                        │                                              ▲
//!                        └──────────────────────────────────────────────┘
//! ```
//!
//! It is made together with the pod's network namespace and owns it; whoever has that one's file finds it there. So it needs
//! no file of its own. Ids of files on the host stay what they are: mounts translate them ([`mapped`](crate::rootfs)).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Gid, Pid, Uid};
use rustix::thread::UnshareFlags;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{beside, sys};

/// How many ids a pod has: Kubernetes' number.
pub(crate) const IDS: u32 = 65_536;

/// The ids that a pod has on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdBlock {
    first: u32,
}

impl IdBlock {
    /// The block that begins there; none overlaps another one, and none has an id of the host's own users.
    pub(crate) fn at(first: u32) -> Option<Self> {
        // The last id of all is no id.
        (first >= IDS && first.is_multiple_of(IDS) && first < u32::MAX - IDS).then_some(Self { first })
    }

    /// What root of the pod is on the host.
    pub(crate) fn first(self) -> u32 {
        self.first
    }

    /// What an id of the pod is on the host.
    pub(crate) fn on_host(self, id: u32) -> Option<u32> {
        (id < IDS).then(|| self.first.checked_add(id)).flatten()
    }
}

/// Makes a user namespace with these ids and a network namespace that it owns, and gives both to `take` as the process that
/// holds them. What is not kept by a mount or a descriptor ends after that.
pub(crate) fn make<T>(ids: IdBlock, take: impl FnOnce(Pid) -> io::Result<T>) -> io::Result<T> {
    beside::holding(None, UnshareFlags::NEWUSER | UnshareFlags::NEWNET, |pid| {
        let map = format!("0 {} {IDS}", ids.first());
        for file in ["uid_map", "gid_map"] {
            std::fs::write(format!("/proc/{}/{file}", pid.as_raw_nonzero()), &map)?;
        }
        take(pid)
    })
}

/// A user namespace that a process has entered or enters, with its ids.
#[derive(Debug)]
pub(crate) struct Users {
    namespace: OwnedFd,
    ids: IdBlock,
}

impl Users {
    /// The one that owns this network namespace.
    ///
    /// # Errors
    /// When that is the host's, or one that [`make`] did not make.
    pub(crate) fn owning(network: impl AsFd) -> io::Result<Self> {
        let namespace = sys::owning_user_namespace(network.as_fd())?;
        let map = beside::holding(Some(&namespace), UnshareFlags::empty(), |pid| {
            std::fs::read_to_string(format!("/proc/{}/uid_map", pid.as_raw_nonzero()))
        })?;
        let fields: Vec<u32> = map.split_whitespace().filter_map(|field| field.parse().ok()).collect();
        let ids = match fields[..] {
            [0, first, IDS] => IdBlock::at(first),
            _ => None,
        };
        let unknown =
            || io::Error::other(format!("its network is one of a user namespace with other ids ({})", map.trim()));
        Ok(Self { namespace, ids: ids.ok_or_else(unknown)? })
    }

    /// Its ids on the host.
    pub(crate) fn ids(&self) -> IdBlock {
        self.ids
    }

    /// The namespace itself.
    pub(crate) fn namespace(&self) -> &OwnedFd {
        &self.namespace
    }

    /// What stands for it in this process, and in those that it forks.
    pub(crate) fn path(&self) -> String {
        own_path(&self.namespace)
    }

    /// Does something as its root, in another process. Must be called by a process of one thread.
    pub(crate) fn as_root<T: Serialize + DeserializeOwned>(&self, work: impl FnOnce() -> T) -> io::Result<T> {
        beside::inside(&self.namespace, || {
            rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT).map_err(Errno::raw_os_error)?;
            rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT).map_err(Errno::raw_os_error)?;
            Ok(work())
        })?
        .map_err(io::Error::from_raw_os_error)
    }

    /// New namespaces of these kinds that it owns.
    pub(crate) fn make<const N: usize>(&self, flags: UnshareFlags, names: [&str; N]) -> io::Result<[File; N]> {
        beside::holding(Some(&self.namespace), flags, |pid| {
            let open = |name: &str| File::open(format!("/proc/{}/ns/{name}", pid.as_raw_nonzero()));
            let files = names.into_iter().map(open).collect::<io::Result<Vec<_>>>()?;
            files.try_into().map_err(|_| io::ErrorKind::InvalidData.into())
        })
    }
}

/// The path of a descriptor in this process, and in those that it forks.
pub(crate) fn own_path(fd: &impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_do_not_overlap_and_are_never_the_hosts() {
        assert_eq!(IdBlock::at(0), None);
        assert_eq!(IdBlock::at(65_537), None);
        assert_eq!(IdBlock::at(u32::MAX - 65_535), None);
        let block = IdBlock::at(131_072).unwrap();
        assert_eq!(
            (block.on_host(0), block.on_host(65_535), block.on_host(65_536)),
            (Some(131_072), Some(196_607), None)
        );
    }
}
