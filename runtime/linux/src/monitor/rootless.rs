//! Where a pod's monitor goes before it works, if its user is not root.
//!
//! ```text
//!   monitor, as it was started ──► user namespace ──► network ──► fork ──► process 1 of a process namespace: the monitor
//!                                   (the network's, or a new one)   └► ends
//! ```
//!
//! With control groups whatever a killed monitor leaves is found and killed. Here nobody could find it: a program may have
//! gone to other namespaces, and to other users. So the monitor is process 1 of a namespace that all its containers are
//! in, and when it ends, however that is, the kernel ends them.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nacelle_container::{NetworkNamespace, ProcessNamespace, UserNamespace};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountFlags;
use rustix::process::{Pid, Signal};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use super::Setup;
use crate::cgroup::{Hierarchy, Version};
use crate::namespaces;
use crate::rootless::{Rootless, TakesRoot};
use crate::sys::{self, Fork};

/// What processes may not do with files of the kernel's own.
const PLAIN: MountFlags = MountFlags::NOSUID.union(MountFlags::NODEV).union(MountFlags::NOEXEC);

/// How long processes that were killed may take to go.
const KILL_TIME: Duration = Duration::from_secs(10);
/// Between two looks at them.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 1_000_000 };

/// Goes there, in another process: this one ends. Gives the number of that other process outside. The process has one
/// thread.
pub(super) fn enter(setup: &Setup) -> Result<Pid, String> {
    check(setup).map_err(|error| error.to_string())?;
    match &setup.pod.network {
        NetworkNamespace::Path(path) => {
            join(path).map_err(|error| format!("cannot enter the pod's network: {error}"))?
        }
        NetworkNamespace::Host | NetworkNamespace::Isolated => {
            let rootless = Rootless::find().map_err(|error| error.to_string())?;
            rootless.enter().map_err(|error| format!("cannot make a user namespace: {error}"))?;
        }
    }
    // They are those of whoever runs this, and no container's.
    rustix::thread::set_thread_groups(&[]).map_err(|error| format!("cannot leave groups: {error}"))?;
    let failed = |error: io::Error| format!("cannot make a namespace of processes: {error}");
    sys::unshare(UnshareFlags::NEWPID).map_err(failed)?;
    let Fork::Child = sys::fork().map_err(failed)? else { sys::exit(0) };
    let own = own_number().map_err(failed)?;
    namespaces::own_mounts().map_err(|error| format!("cannot make mounts the pod's own: {error}"))?;
    mount_proc()?;
    mount_cgroups(&setup.cgroups).map_err(|error| format!("cannot mount control groups: {error}"))?;
    Ok(own)
}

/// What no user can have.
fn check(setup: &Setup) -> Result<(), TakesRoot> {
    let options = &setup.pod.options;
    let field = |field, why| Err(TakesRoot::Field { field, why });
    if options.processes == ProcessNamespace::Host {
        return field("spec.hostPID", "the host's processes cannot be shown");
    }
    if options.host_ipc {
        return field("spec.hostIPC", "the host's message queues cannot be shown");
    }
    if options.users == UserNamespace::Pod {
        return field("spec.hostUsers", "all pods have this user's ids");
    }
    Ok(())
}

/// Enters a pod's network, and before it the user namespace that owns it.
fn join(path: &Path) -> io::Result<()> {
    let network = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let users = sys::owning_user_namespace(network.as_fd())?;
    rustix::thread::move_into_link_name_space(users.as_fd(), Some(LinkNameSpaceType::User))?;
    Ok(namespaces::enter_network(&network)?)
}

/// This process's number for those outside. /proc is still theirs.
fn own_number() -> io::Result<Pid> {
    let target = std::fs::read_link("/proc/self")?;
    let number = target.to_str().and_then(|text| text.parse().ok()).and_then(Pid::from_raw);
    number.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Shows the processes of the new namespace only.
fn mount_proc() -> Result<(), String> {
    match rustix::mount::mount("proc", "/proc", "proc", PLAIN, None::<&std::ffi::CStr>) {
        Ok(()) => Ok(()),
        Err(Errno::PERM) => Err("Linux containers without root need a /proc of which nothing is hidden, and on this \
                                 machine something is mounted over parts of it, as in most containers: run nacelle \
                                 outside of one, or as root"
            .to_owned()),
        Err(error) => Err(format!("cannot mount /proc: {error}")),
    }
}

/// Lets libcontainer see control groups of version 2, which no user can change: of these it takes that for what it is, and
/// leaves processes where they are. Only the monitor sees this.
fn mount_cgroups(root: &Path) -> io::Result<()> {
    if Hierarchy::detect(root).is_ok_and(|hierarchy| hierarchy.version == Version::V2) {
        return Ok(());
    }
    sys::unshare(UnshareFlags::NEWCGROUP)?;
    Ok(rustix::mount::mount("cgroup2", root, "cgroup2", PLAIN, None::<&std::ffi::CStr>)?)
}

/// The namespace of mounts that a process is in: every container has one of its own, in which all its processes are.
pub(super) fn mounts_of(process: Pid) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{}/ns/mnt", process.as_raw_nonzero())).ok()
}

/// All processes in this namespace of mounts.
pub(super) fn in_mounts(mounts: &Path) -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let processes =
        entries.filter_map(|entry| entry.file_name().to_str().and_then(|name| Pid::from_raw(name.parse().ok()?)));
    processes.filter(|process| mounts_of(*process).as_deref() == Some(mounts)).collect()
}

/// Kills a container's first process, if it runs, and all others that are in its namespace of mounts, and waits until they
/// are gone. Of a namespace of processes of its own the kernel kills the others with the first one.
pub(super) fn kill(first: Option<BorrowedFd<'_>>, mounts: Option<&Path>) -> io::Result<()> {
    let began = Instant::now();
    loop {
        let others = mounts.map(in_mounts).unwrap_or_default();
        for process in &others {
            // It may have ended by itself.
            let _ = rustix::process::kill_process(*process, Signal::KILL);
        }
        if let Some(first) = first {
            let _ = sys::send_signal(first, libc::SIGKILL);
        }
        let ended = match first {
            Some(first) => poll(&mut [PollFd::from_borrowed_fd(first, PollFlags::IN)], Some(&PAUSE))? > 0,
            None => poll(&mut [], Some(&PAUSE)).is_ok(),
        };
        if ended && others.is_empty() {
            return Ok(());
        }
        if began.elapsed() > KILL_TIME {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "its processes do not end"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_found_by_their_mounts() {
        let own = rustix::process::getpid();
        let mounts = mounts_of(own).unwrap();
        assert!(in_mounts(&mounts).contains(&own));
        assert!(in_mounts(Path::new("mnt:[1]")).is_empty());
    }
}
