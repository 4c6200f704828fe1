//! What a pod's Linux containers share: made once, by the monitor entering it.

use std::fs;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use nacelle_container::{NetworkNamespace, ProcessNamespace};
use rustix::fs::{Mode, OFlags};
use rustix::mount::MountFlags;
use rustix::process::{Pid, WaitOptions};
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use super::Setup;
use super::machine;
use crate::cgroup::{Cgroup, Hierarchy, limits};
use crate::namespaces;
use crate::spec::Machine;
use crate::sys::{self, Fork};
use crate::sysctl;

/// The size of a pod's /dev/shm: containerd's.
const SHARED_MEMORY: &std::ffi::CStr = c"mode=1777,size=65536k";

/// What is in the monitor's directory is small, but a configuration may have long arguments.
const WORK: &std::ffi::CStr = c"mode=0700,size=65536k";

/// The group of process 1 of a pod, below the pod's own. No container can have this name.
const INIT: &str = "_init";

/// The pod that this monitor is in.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) setup: Setup,
    pub(super) dir: PathBuf,
    /// A directory of the monitor's own, in memory: what libcontainer reads and writes while it starts a program. Nobody
    /// else sees it, and it goes with the monitor.
    pub(super) work: PathBuf,
    pub(super) cgroup: Cgroup,
    pub(super) machine: Machine,
    /// What its containers have at /dev/shm.
    pub(super) shared_memory: PathBuf,
    /// Process 1 of all its containers, if they share their processes.
    pub(super) init: Option<Pid>,
    /// A process that ends by itself, after some milliseconds.
    ahead: Option<Pid>,
}

impl Pod {
    /// Enters the pod's namespaces and makes its control group.
    pub(super) fn enter(dir: &Path, setup: Setup) -> Result<Self, String> {
        let hierarchy = Hierarchy::detect(&setup.cgroups).map_err(|error| error.to_string())?;
        let cgroup = hierarchy.pod(&setup.uid);
        let limits = limits::pod(hierarchy.version, &setup.cpu, setup.pod.memory, setup.pod.options.pids_limit);
        cgroup.create().map_err(|error| format!("cannot make the pod's control group: {error}"))?;
        let ahead = begin_grace_period(&cgroup);
        cgroup.apply(&limits).map_err(|error| format!("the pod's control group: {error}"))?;
        let machine = machine::inspect(hierarchy.version);
        enter_namespaces(&setup)?;
        let work = work(dir).map_err(|error| format!("cannot make a directory in memory: {error}"))?;
        let shared_memory = shared_memory(dir, &setup).map_err(|error| format!("cannot make /dev/shm: {error}"))?;
        for (file, value) in sysctl::settings(&setup.pod).map_err(|error| error.to_string())? {
            fs::write(Path::new("/proc/sys").join(&file), &value)
                .map_err(|error| format!("spec.securityContext.sysctls: cannot set {file} to {value:?}: {error}"))?;
        }
        let init = match setup.pod.options.processes {
            ProcessNamespace::Pod => {
                Some(start_init(&cgroup).map_err(|error| format!("cannot start process 1 of the pod: {error}"))?)
            }
            ProcessNamespace::Container | ProcessNamespace::Host => None,
        };
        Ok(Self { setup, dir: dir.to_owned(), work, cgroup, machine, shared_memory, init, ahead })
    }

    /// Ends and removes what is left of the pod, but for its directory.
    pub(super) fn remove(&self) -> io::Result<()> {
        if let Some(pid) = self.ahead {
            // Most often it has ended long ago.
            let _ = rustix::process::waitpid(Some(pid), WaitOptions::empty());
        }
        self.cgroup.kill()?;
        self.cgroup.remove()
    }
}

fn enter_namespaces(setup: &Setup) -> Result<(), String> {
    let network = &setup.pod.network;
    namespaces::own_mounts().map_err(|error| {
        format!("cannot make mounts the pod's own: {error}. Linux containers need root, or CAP_SYS_ADMIN")
    })?;
    let mut flags = UnshareFlags::empty();
    flags.set(UnshareFlags::NEWIPC, !setup.pod.options.host_ipc);
    // As in Kubernetes, the host's name comes with its network.
    flags.set(UnshareFlags::NEWUTS, *network != NetworkNamespace::Host);
    flags.set(UnshareFlags::NEWNET, *network == NetworkNamespace::Isolated);
    sys::unshare(flags).map_err(|error| format!("cannot make namespaces: {error}"))?;
    match network {
        NetworkNamespace::Host => return Ok(()),
        NetworkNamespace::Isolated => {
            sys::loopback_up().map_err(|error| format!("cannot switch the loopback on: {error}"))?;
        }
        NetworkNamespace::Path(path) => {
            let failed = |error: rustix::io::Errno| format!("cannot enter {}: {error}", path.display());
            let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map_err(failed)?;
            namespaces::enter_network(&file).map_err(failed)?;
        }
    }
    rustix::system::sethostname(setup.hostname.as_bytes())
        .map_err(|error| format!("cannot set the hostname {:?}: {error}", setup.hostname))
}

/// On a disk the same takes 10 ms: libcontainer writes a container's state four times over, and each time the file is cut
/// short first, so that the filesystem writes it out and who removes it waits for that.
fn work(dir: &Path) -> io::Result<PathBuf> {
    let path = dir.join("work");
    fs::create_dir_all(&path)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("nacelle", &path, "tmpfs", flags, WORK)?;
    Ok(path)
}

fn shared_memory(dir: &Path, setup: &Setup) -> io::Result<PathBuf> {
    if setup.pod.options.host_ipc {
        return Ok("/dev/shm".into());
    }
    let path = dir.join("shm");
    fs::create_dir_all(&path)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    rustix::mount::mount("shm", &path, "tmpfs", flags, SHARED_MEMORY)?;
    Ok(path)
}

/// Has the kernel get ready for a process that changes its control group: before the first one on a quiet machine may, it
/// waits for all CPUs to have noticed, 8 to 15 ms, and the next ones need not. A process that has nothing else to do comes
/// first, while the container is prepared.
fn begin_grace_period(pod: &Cgroup) -> Option<Pid> {
    match sys::fork() {
        // Of version 2, a group with groups below it takes no process: the kernel has waited by then.
        Ok(Fork::Child) => sys::end_with(|| drop(pod.enter())),
        Ok(Fork::Parent(pid)) => Some(pid),
        Err(error) => {
            tracing::debug!(%error, "the first container waits for the kernel");
            None
        }
    }
}

/// Starts a process whose process namespace all containers share. It reaps what their ends leave.
fn start_init(pod: &Cgroup) -> io::Result<Pid> {
    let own = rustix::fs::open("/proc/self/ns/pid", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let cgroup = pod.container(INIT);
    cgroup.create()?;
    sys::unshare(UnshareFlags::NEWPID)?;
    let forked = sys::fork();
    if let Ok(Fork::Child) = forked {
        sys::reap_forever();
    }
    // Of what is forked from here on, only containers are in it.
    rustix::thread::move_into_link_name_space(own.as_fd(), Some(LinkNameSpaceType::ProcessID))?;
    match forked? {
        Fork::Parent(pid) => cgroup.add(pid).map(|()| pid),
        Fork::Child => sys::reap_forever(),
    }
}
