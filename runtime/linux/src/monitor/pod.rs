//! What a pod's Linux containers share: made once, by the monitor entering it.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use nacelle_container::{NetworkNamespace, ProcessNamespace, UserNamespace};
use rustix::fs::{Mode, OFlags};
use rustix::mount::MountFlags;
use rustix::process::Pid;
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use super::{Ahead, Setup, machine, staging};
use crate::cgroup::{Cgroup, Hierarchy, limits};
use crate::namespaces;
use crate::spec::Machine;
use crate::sys::{self, Fork};
use crate::sysctl;
use crate::users::Users;

/// The size of a pod's /dev/shm: containerd's.
const SHARED_MEMORY: &str = "mode=1777,size=65536k";

/// Where it is staged. No container can have this name.
const SHM: &str = "_shm";

/// Where message queues are staged. No container can have this name.
const QUEUES: &str = "_mqueue";

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
    /// The namespace of processes of all its containers, if they share one. Its process 1 is the monitor's child.
    pub(super) processes: Option<File>,
    /// The mount namespace that the monitor comes from.
    pub(super) host_mounts: File,
    /// Its ids, if they are not the host's.
    pub(super) users: Option<Users>,
    ahead: Option<Ahead>,
}

impl Pod {
    /// Enters the pod's namespaces and makes its control group.
    ///
    /// Without root, the monitor is in a user namespace, in the pod's network, and in mounts of its own.
    pub(super) fn enter(dir: &Path, setup: Setup, is_rootless: bool, ahead: Option<Ahead>) -> Result<Self, String> {
        let hierarchy = if is_rootless {
            Hierarchy::unusable(&setup.cgroups)
        } else {
            Hierarchy::detect(&setup.cgroups).map_err(|error| error.to_string())?
        };
        let cgroup = hierarchy.pod(&setup.uid);
        let limits = limits::pod(hierarchy.version, &setup.cpu, setup.pod.memory, setup.pod.options.pids_limit);
        cgroup.create().map_err(|error| format!("cannot make the pod's control group: {error}"))?;
        cgroup.apply(&limits).map_err(|error| format!("the pod's control group: {error}"))?;
        let machine = machine::inspect(hierarchy.version, is_rootless);
        let users = if is_rootless { None } else { find_users(&setup)? };
        if users.is_some() && dir.starts_with(staging::ROOT) {
            return Err(format!("spec.hostUsers: false needs a state directory outside of {}", staging::ROOT));
        }
        let host_mounts =
            File::open("/proc/self/ns/mnt").map_err(|error| format!("cannot open the mounts: {error}"))?;
        enter_namespaces(&setup, users.as_ref(), is_rootless)?;
        let work = work(dir).map_err(|error| format!("cannot make a directory in memory: {error}"))?;
        if users.is_some() {
            staging::make().map_err(|error| format!("cannot make {}: {error}", staging::ROOT))?;
        }
        let shared_memory = shared_memory(&work, &setup, users.as_ref());
        let shared_memory = shared_memory.map_err(|error| format!("cannot make /dev/shm: {error}"))?;
        let settings = sysctl::settings(&setup.pod).map_err(|error| error.to_string())?;
        match &users {
            // Some of them only the root of the user namespace may set.
            Some(users) if !settings.is_empty() => {
                users.as_root(|| sysctl::write(&settings)).map_err(|error| error.to_string())??;
            }
            _ => sysctl::write(&settings)?,
        }
        let processes = match setup.pod.options.processes {
            ProcessNamespace::Pod => {
                let started = start_init(&cgroup, users.as_ref(), is_rootless);
                Some(started.map_err(|error| format!("cannot start process 1 of the pod: {error}"))?)
            }
            ProcessNamespace::Container | ProcessNamespace::Host => None,
        };
        Ok(Self {
            setup,
            dir: dir.to_owned(),
            work,
            cgroup,
            machine,
            shared_memory,
            processes,
            host_mounts,
            users,
            ahead,
        })
    }

    /// Where the pod's message queues are mounted, for containers with a label of SELinux: one cannot be said when they are
    /// mounted anew.
    pub(super) fn message_queues(&self) -> io::Result<PathBuf> {
        let path = match &self.users {
            Some(_) => staging::of(QUEUES),
            None => self.work.join("mqueue"),
        };
        if !path.exists() {
            match &self.users {
                Some(_) => drop(staging::make_for(QUEUES)?),
                None => fs::create_dir(&path)?,
            }
            let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
            rustix::mount::mount("mqueue", &path, "mqueue", flags, None::<&std::ffi::CStr>)?;
        }
        Ok(path)
    }

    /// Ends and removes what is left of the pod, but for its directory.
    pub(super) fn remove(&mut self) -> io::Result<()> {
        drop(self.ahead.take());
        self.cgroup.kill()?;
        self.cgroup.remove()
    }
}

/// The pod's user namespace, if it has one: it came with its network.
fn find_users(setup: &Setup) -> Result<Option<Users>, String> {
    match (setup.pod.options.users, &setup.pod.network) {
        (UserNamespace::Host, _) => Ok(None),
        (UserNamespace::Pod, NetworkNamespace::Path(path)) => {
            let found = File::open(path).and_then(Users::owning);
            found.map(Some).map_err(|error| format!("spec.hostUsers: cannot find the pod's user namespace: {error}"))
        }
        (UserNamespace::Pod, NetworkNamespace::Isolated | NetworkNamespace::Host) => {
            Err("spec.hostUsers: false needs a network namespace of the pod's own, and this node makes none".to_owned())
        }
    }
}

fn enter_namespaces(setup: &Setup, users: Option<&Users>, is_rootless: bool) -> Result<(), String> {
    let network = &setup.pod.network;
    if !is_rootless {
        namespaces::own_mounts().map_err(|error| {
            format!("cannot make mounts the pod's own: {error}. Linux containers need root, or CAP_SYS_ADMIN")
        })?;
    }
    if let Some(users) = users {
        let failed = |error: io::Error| format!("cannot make namespaces: {error}");
        for namespace in users.make(UnshareFlags::NEWIPC | UnshareFlags::NEWUTS, ["ipc", "uts"]).map_err(failed)? {
            rustix::thread::move_into_link_name_space(namespace.as_fd(), None).map_err(|error| failed(error.into()))?;
        }
    }
    let mut flags = UnshareFlags::empty();
    flags.set(UnshareFlags::NEWIPC, users.is_none() && !setup.pod.options.host_ipc);
    // As in Kubernetes, the host's name comes with its network.
    flags.set(UnshareFlags::NEWUTS, users.is_none() && *network != NetworkNamespace::Host);
    flags.set(UnshareFlags::NEWNET, *network == NetworkNamespace::Isolated);
    sys::unshare(flags).map_err(|error| format!("cannot make namespaces: {error}"))?;
    match network {
        NetworkNamespace::Host => return Ok(()),
        NetworkNamespace::Isolated => {
            sys::loopback_up().map_err(|error| format!("cannot switch the loopback on: {error}"))?;
        }
        NetworkNamespace::Path(_) if is_rootless => {}
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

fn shared_memory(work: &Path, setup: &Setup, users: Option<&Users>) -> io::Result<PathBuf> {
    if setup.pod.options.host_ipc {
        return Ok("/dev/shm".into());
    }
    let root = users.map_or(0, |users| users.ids().first());
    let path = match users {
        Some(_) => staging::make_for(SHM)?,
        None => work.join("shm"),
    };
    fs::create_dir_all(&path)?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let options = CString::new(format!("{SHARED_MEMORY},uid={root},gid={root}"))?;
    rustix::mount::mount("shm", &path, "tmpfs", flags, options.as_c_str())?;
    Ok(path)
}

/// Starts a process whose process namespace all containers share, and gives that. It reaps what their ends leave.
fn start_init(pod: &Cgroup, users: Option<&Users>, is_rootless: bool) -> io::Result<File> {
    let cgroup = pod.container(INIT);
    cgroup.create_for_processes()?;
    let pid = match users {
        // Its parent ends: then it is this process's.
        Some(users) => {
            users.as_root(|| fork_init(Look::Hidden).map_err(|error| error.to_string()))?.map_err(io::Error::other)?
        }
        None => {
            let own = rustix::fs::open("/proc/self/ns/pid", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
            // This process could not look into one that is hidden either, and is no stranger to the pod's root.
            let forked = fork_init(if is_rootless { Look::Open } else { Look::Hidden });
            // Of what is forked from here on, only containers are in it.
            rustix::thread::move_into_link_name_space(own.as_fd(), Some(LinkNameSpaceType::ProcessID))?;
            forked?
        }
    };
    let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidData)?;
    cgroup.add(pid)?;
    File::open(format!("/proc/{}/ns/pid", pid.as_raw_nonzero()))
}

/// Whether other processes may look into one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Hidden,
    Open,
}

/// Has what this process forks be in a new namespace of processes, and forks its first one.
fn fork_init(look: Look) -> io::Result<i32> {
    sys::unshare(UnshareFlags::NEWPID)?;
    match sys::fork()? {
        Fork::Child => {
            if look == Look::Hidden {
                sys::hide();
            }
            sys::reap_forever()
        }
        Fork::Parent(pid) => Ok(pid.as_raw_nonzero().get()),
    }
}
