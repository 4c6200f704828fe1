//! One container of a pod, and its processes.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;

use nacelle_container::{ContainerConfig, LinuxProgram};
use rustix::process::{Pid, PidfdFlags, WaitStatus};

use super::executor::Program;
use super::rootless;
use super::streams::Held;
use crate::cgroup::Cgroup;
use crate::protocol::{End, Failure, How, Key};
use crate::user::Ids;

/// A container, as its monitor knows it.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) config: ContainerConfig,
    pub(super) program: Box<LinuxProgram>,
    pub(super) ids: Ids,
    pub(super) executor: Program,
    pub(super) cgroup: Cgroup,
    /// Its configuration, as the backend has written it.
    pub(super) file: PathBuf,
    /// As libcontainer wants it.
    pub(super) bundle: PathBuf,
    pub(super) root: PathBuf,
    /// What its specification names the namespace of processes by, if it shares one.
    pub(super) _processes: Option<File>,
    /// Its namespace of mounts, where it is known by that.
    pub(super) mounts: Option<PathBuf>,
    pub(super) phase: Phase,
}

impl Container {
    /// Ends all its processes, and waits until they are gone.
    pub(super) fn kill(&self) -> io::Result<()> {
        if self.cgroup.is_usable() {
            return self.cgroup.kill();
        }
        let first = match &self.phase {
            Phase::Running { pidfd, .. } => Some(pidfd.as_fd()),
            Phase::Prepared | Phase::Ended { .. } => None,
        };
        rootless::kill(first, self.mounts.as_deref())
    }
}

/// How far it is.
#[derive(Debug)]
pub(super) enum Phase {
    Prepared,
    Running { pid: Pid, pidfd: OwnedFd, held: Held },
    Ended { end: End, held: Held },
}

/// A program that runs beside a container's own.
#[derive(Debug)]
pub(super) struct Exec {
    pub(super) key: Key,
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
}

/// How a process ended, if it did.
pub(super) fn how(status: WaitStatus) -> Option<How> {
    if let Some(code) = status.exit_status() {
        return Some(How::Exited(u8::try_from(code).unwrap_or(u8::MAX)));
    }
    Some(How::Signalled(u8::try_from(status.terminating_signal()?).unwrap_or(u8::MAX)))
}

pub(super) fn open_pidfd(pid: Pid) -> Result<OwnedFd, Failure> {
    let opened = rustix::process::pidfd_open(pid, PidfdFlags::empty());
    opened.map_err(|error| Failure::Other(format!("cannot watch process {pid:?}: {error}")))
}
