//! A pod's and its containers' control groups: one tree of both versions.
//!
//! ```text
//!   v2   <root>/nacelle/pod<uid>/<container>-<attempt>
//!   v1   <root>/<controller>/nacelle/pod<uid>/<container>-<attempt>
//! ```
//!
//! Containers' groups are made and given their first limits by libcontainer, from the OCI spec, which says the same of
//! both versions. Here is what is not in a spec: the pod's own limits, changes, figures, the kernel's count of processes
//! that it killed for want of memory, killing all that is in a group, and finding groups again after a crash; and which
//! devices a group of version 2 may open. What is written and how figures are read is pure ([`limits`], [`figures`],
//! [`devices`]).
//!
//! A user who is not root has none: nothing is limited or counted then, and whoever kills finds processes otherwise.

pub(crate) mod devices;
pub(crate) mod figures;
pub(crate) mod limits;
pub(crate) mod pod;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nacelle_container::stats::Stats;
use rustix::process::{Pid, Signal};

use self::limits::Write;

/// Where the kernel's control groups are on every distribution.
pub(crate) const ROOT: &str = "/sys/fs/cgroup";

/// The group of all pods, below which nothing else is.
const NACELLE: &str = "nacelle";

/// The controllers of version 1 that containers use.
const CONTROLLERS: [&str; 8] = ["memory", "cpu", "cpuacct", "pids", "devices", "freezer", "blkio", "cpuset"];

/// How long processes that were killed may take to go.
const KILL_TIME: Duration = Duration::from_secs(10);

/// Which version of control groups a machine has, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    pub(crate) root: PathBuf,
    pub(crate) version: Version,
    /// Whether groups can be made here.
    usable: bool,
}

/// The version of control groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// A tree for each controller. A machine that has both has its controllers here.
    V1,
    /// One tree.
    V2,
}

/// A machine has no control groups that can be used.
#[derive(Debug, thiserror::Error)]
#[error("{} has no control groups: mount them, as every distribution does (systemd, or cgroupfs-mount)", .0.display())]
pub(crate) struct NoCgroups(PathBuf);

impl Hierarchy {
    /// What is mounted at `root`.
    pub(crate) fn detect(root: &Path) -> Result<Self, NoCgroups> {
        let version = if root.join("cgroup.controllers").exists() {
            Version::V2
        } else if root.join("memory").exists() && root.join("pids").exists() && root.join("cpu").exists() {
            Version::V1
        } else {
            return Err(NoCgroups(root.to_owned()));
        };
        Ok(Self { root: root.to_owned(), version, usable: true })
    }

    /// Groups of version 2 that cannot be made: every process stays in that of whoever started it.
    pub(crate) fn unusable(root: &Path) -> Self {
        Self { root: root.to_owned(), version: Version::V2, usable: false }
    }

    /// Has the kernel get ready for processes that change their control group: before the first one on a quiet machine may,
    /// it waits for all CPUs to have noticed, 8 to 15 ms, and the next ones need not. Puts the calling process, which should
    /// have nothing else to do, into the group above all others.
    ///
    /// Of version 2 the kernel has waited when the pod's group was made.
    pub(crate) fn get_ready(&self) -> io::Result<()> {
        match self.version {
            Version::V1 if self.usable => fs::write(self.root.join("pids/cgroup.procs"), "0"),
            Version::V1 | Version::V2 => Ok(()),
        }
    }

    /// The group of a pod.
    pub(crate) fn pod(&self, uid: &str) -> Cgroup {
        Cgroup { hierarchy: self.clone(), path: format!("{NACELLE}/pod{uid}") }
    }
}

/// One group, whether it is there or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cgroup {
    hierarchy: Hierarchy,
    /// From the root of each tree, without a slash at its beginning.
    path: String,
}

impl Cgroup {
    /// The group of a container in this group of a pod.
    pub(crate) fn container(&self, key: &str) -> Self {
        Self { hierarchy: self.hierarchy.clone(), path: format!("{}/{key}", self.path) }
    }

    /// As an OCI spec names it.
    pub(crate) fn oci_path(&self) -> String {
        format!("/{}", self.path)
    }

    /// Whether it limits and counts.
    pub(crate) fn is_usable(&self) -> bool {
        self.hierarchy.usable
    }

    /// Whether it is there.
    pub(crate) fn exists(&self) -> bool {
        self.dirs().iter().any(|dir| dir.exists())
    }

    /// The version of its tree.
    pub(crate) fn version(&self) -> Version {
        self.hierarchy.version
    }

    /// Its directory; of version 1, that of a controller.
    fn dir(&self, controller: &str) -> PathBuf {
        match self.hierarchy.version {
            Version::V1 => self.hierarchy.root.join(controller).join(&self.path),
            Version::V2 => self.hierarchy.root.join(&self.path),
        }
    }

    fn dirs(&self) -> Vec<PathBuf> {
        if !self.hierarchy.usable {
            return Vec::new();
        }
        match self.hierarchy.version {
            Version::V1 => CONTROLLERS.iter().map(|controller| self.dir(controller)).collect(),
            Version::V2 => vec![self.dir("")],
        }
    }

    /// Makes it in each tree that is mounted, as a group of groups: of version 2, those below it can use the controllers.
    pub(crate) fn create(&self) -> io::Result<()> {
        self.create_for_processes()?;
        if self.hierarchy.usable && self.hierarchy.version == Version::V2 {
            enable_controllers(&self.dir(""))?;
        }
        Ok(())
    }

    /// Makes it in each tree that is mounted, as a group that can have processes: of version 2, one whose groups can use
    /// controllers cannot.
    pub(crate) fn create_for_processes(&self) -> io::Result<()> {
        if !self.hierarchy.usable {
            return Ok(());
        }
        match self.hierarchy.version {
            Version::V1 => {
                for controller in CONTROLLERS {
                    let tree = self.hierarchy.root.join(controller);
                    if tree.exists() {
                        fs::create_dir_all(self.dir(controller))?;
                        if controller == "cpuset" {
                            self.inherit_cpus(&tree)?;
                        }
                    }
                }
            }
            Version::V2 => {
                let mut dir = self.hierarchy.root.clone();
                for name in self.path.split('/') {
                    enable_controllers(&dir)?;
                    dir.push(name);
                    make_dir(&dir)?;
                }
            }
        }
        Ok(())
    }

    /// Makes it so that its processes cannot open the machine's devices. Of version 1 libcontainer does that.
    pub(crate) fn restrict_devices(&self) -> io::Result<()> {
        if !self.hierarchy.usable || self.hierarchy.version == Version::V1 {
            return Ok(());
        }
        self.create_for_processes()?;
        devices::restrict(&self.dir(""))
    }

    /// A cpuset of version 1 is empty at first, and takes no process then.
    fn inherit_cpus(&self, tree: &Path) -> io::Result<()> {
        let mut dir = tree.to_owned();
        for name in self.path.split('/') {
            let parent = dir.clone();
            dir.push(name);
            for file in ["cpuset.cpus", "cpuset.mems"] {
                let own = fs::read_to_string(dir.join(file)).unwrap_or_default();
                if own.trim().is_empty()
                    && let Ok(inherited) = fs::read_to_string(parent.join(file))
                {
                    fs::write(dir.join(file), inherited.trim())?;
                }
            }
        }
        Ok(())
    }

    /// Writes limits, in their order.
    pub(crate) fn apply(&self, writes: &[Write]) -> io::Result<()> {
        if !self.hierarchy.usable {
            return Ok(());
        }
        for Write { controller, file, value, optional } in writes {
            let path = self.dir(controller).join(file);
            match fs::write(&path, value) {
                Ok(()) => {}
                // A kernel without swap accounting, for instance.
                Err(error) if *optional => {
                    tracing::debug!(path = %path.display(), %error, "this kernel has no such limit");
                }
                Err(error) => {
                    let what = format!("cannot write {value} to {}: {error}", path.display());
                    return Err(io::Error::new(error.kind(), what));
                }
            }
        }
        Ok(())
    }

    /// What it has used so far.
    pub(crate) fn stats(&self) -> Stats {
        if !self.hierarchy.usable {
            return Stats::default();
        }
        let read = |controller: &str, file: &str| fs::read_to_string(self.dir(controller).join(file)).ok();
        figures::stats(self.hierarchy.version, &read)
    }

    /// How many of its processes the kernel has killed for want of memory: its own count.
    pub(crate) fn oom_kills(&self) -> u64 {
        if !self.hierarchy.usable {
            return 0;
        }
        let file = match self.hierarchy.version {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        };
        let content = fs::read_to_string(self.dir("memory").join(file)).unwrap_or_default();
        figures::keyed(&content, "oom_kill").unwrap_or(0)
    }

    /// The processes in it and below it.
    pub(crate) fn processes(&self) -> Vec<Pid> {
        let mut found = Vec::new();
        if !self.hierarchy.usable {
            return found;
        }
        // Of version 1 a process is in a group of every tree; one is enough.
        collect_processes(&self.dir("pids"), &mut found);
        found
    }

    /// Puts a process into it.
    pub(crate) fn add(&self, process: Pid) -> io::Result<()> {
        for dir in self.dirs().iter().filter(|dir| dir.exists()) {
            fs::write(dir.join("cgroup.procs"), process.as_raw_nonzero().to_string())?;
        }
        Ok(())
    }

    /// Kills all that is in it, and waits until it is gone.
    pub(crate) fn kill(&self) -> io::Result<()> {
        if !self.hierarchy.usable {
            return Ok(());
        }
        if self.hierarchy.version == Version::V2 && fs::write(self.dir("").join("cgroup.kill"), "1").is_ok() {
            return self.wait_until_empty(false);
        }
        // So that nothing is born meanwhile. What is there may be above the limit.
        let _ = fs::write(self.dir("pids").join("pids.max"), "0");
        self.wait_until_empty(true)
    }

    fn wait_until_empty(&self, kill: bool) -> io::Result<()> {
        let began = Instant::now();
        loop {
            let left = self.processes();
            if left.is_empty() {
                return Ok(());
            }
            if kill {
                for pid in &left {
                    // It may have ended by itself.
                    let _ = rustix::process::kill_process(*pid, Signal::KILL);
                }
            }
            if began.elapsed() > KILL_TIME {
                let reason = format!("{} processes of {} do not end", left.len(), self.path);
                return Err(io::Error::new(io::ErrorKind::TimedOut, reason));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Removes it with all groups below it. There need not be one; there must be no process in it.
    pub(crate) fn remove(&self) -> io::Result<()> {
        let dirs = match self.hierarchy.version {
            _ if !self.hierarchy.usable => return Ok(()),
            // libcontainer makes it in every tree, those included that nothing here is about.
            Version::V1 => child_dirs(&self.hierarchy.root).iter().map(|tree| tree.join(&self.path)).collect(),
            Version::V2 => self.dirs(),
        };
        let mut result = Ok(());
        for dir in dirs {
            result = result.and(remove_below(&dir));
        }
        result
    }
}

fn make_dir(dir: &Path) -> io::Result<()> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Lets the children of a group of version 2 use what the group may use.
fn enable_controllers(dir: &Path) -> io::Result<()> {
    let available = fs::read_to_string(dir.join("cgroup.controllers"))?;
    for controller in available.split_whitespace() {
        // One that cannot be delegated is missed when it is needed, and said then.
        let _ = fs::write(dir.join("cgroup.subtree_control"), format!("+{controller}"));
    }
    Ok(())
}

fn collect_processes(dir: &Path, found: &mut Vec<Pid>) {
    let content = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    found.extend(content.lines().filter_map(|line| Pid::from_raw(line.trim().parse().ok()?)));
    for child in child_dirs(dir) {
        collect_processes(&child, found);
    }
}

fn child_dirs(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).map(|entry| entry.path()).collect()
}

/// A group is removed by rmdir(2): its files are the kernel's.
fn remove_below(dir: &Path) -> io::Result<()> {
    for child in child_dirs(dir) {
        remove_below(&child)?;
    }
    // A process that has just ended is still there for a moment.
    for _ in 0..100 {
        match fs::remove_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            result => return result,
        }
    }
    fs::remove_dir(dir)
}

#[cfg(test)]
mod tests;
