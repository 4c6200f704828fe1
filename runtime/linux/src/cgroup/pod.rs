//! The group of a pod and those of its containers, with the limits that they have now.
//!
//! A container's limit of CPU is never written above its pod's: it would mean nothing, and version 1 takes neither a
//! container's above nor a pod's below. So where the pod's goes down its containers' go down first, and where it goes up
//! they follow.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use nacelle_container::stats::CpuStats;
use nacelle_container::{Cpu, PodLimits, Resources, UpdateError};

use super::limits::{self, Write};
use super::{Cgroup, Version};
use crate::cause::MemoryLimits;
use crate::protocol::Key;

/// The group of a pod, made by its monitor, and those of its containers.
#[derive(Debug)]
pub(crate) struct PodGroup {
    group: Cgroup,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What the pod's containers may use together; `None` until one comes.
    wanted: Option<PodLimits>,
    /// What its group says; `None` until the group is there.
    written: Option<Written>,
    /// What its containers may use.
    containers: BTreeMap<Key, Resources>,
}

/// What is in the files of a pod's group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Written {
    cpu: Cpu,
    memory: Option<u64>,
}

impl PodGroup {
    /// The group of a pod that may not be there yet.
    pub(crate) fn new(group: Cgroup) -> Self {
        Self { group, state: Mutex::default() }
    }

    /// The group of one of its containers.
    pub(crate) fn container(&self, key: &str) -> Cgroup {
        self.group.container(key)
    }

    /// What the pod's containers may use together: `limits` if nothing is known yet.
    pub(crate) fn limits_or(&self, limits: PodLimits) -> PodLimits {
        *self.lock().wanted.get_or_insert(limits)
    }

    /// The group is there, and has these limits. If others were wanted meanwhile, it gets them.
    pub(crate) fn is_made(&self, limits: PodLimits) -> io::Result<()> {
        let mut state = self.lock();
        state.written = Some(Written { cpu: limits.cpu, memory: limits.memory_left() });
        match state.wanted {
            Some(wanted) if wanted != limits => {
                let wanted = self.possible(&wanted);
                self.write(&mut state, wanted)
            }
            _ => Ok(()),
        }
    }

    /// A container comes that may use this.
    pub(crate) fn add(&self, key: &str, resources: Resources) {
        self.lock().containers.insert(key.to_owned(), resources);
    }

    /// A container has gone.
    pub(crate) fn forget(&self, key: &str) {
        self.lock().containers.remove(key);
    }

    /// What its containers have used together.
    pub(crate) fn cpu(&self) -> CpuStats {
        self.group.stats().cpu
    }

    /// The limits of memory that a container has.
    pub(crate) fn memory_limits(&self, key: &str) -> MemoryLimits {
        let state = self.lock();
        MemoryLimits {
            container: state.containers.get(key).and_then(|resources| resources.memory),
            pod: state.wanted.and_then(|limits| limits.memory),
        }
    }

    /// Changes what the pod's containers may use together, all of it or nothing.
    pub(crate) fn update(&self, limits: &PodLimits) -> Result<(), UpdateError> {
        let mut state = self.lock();
        let is_limit = limits.memory.is_some() || limits.cpu.limit_millis.is_some();
        if !self.group.is_usable() && is_limit && !state.containers.is_empty() {
            return Err(without_root());
        }
        if let Some(before) = state.written {
            check_memory(&self.group, limits.memory)?;
            let possible = self.possible(limits);
            if let Err(error) = self.write(&mut state, possible) {
                if let Err(error) = self.write(&mut state, before) {
                    tracing::warn!(group = self.group.oci_path(), %error, "cannot take other limits of a pod back");
                }
                return Err(refused(&self.group, error, limits.memory));
            }
        }
        state.wanted = Some(*limits);
        Ok(())
    }

    /// Changes what a container may use, all of it or nothing.
    pub(crate) fn update_container(&self, key: &str, resources: &Resources) -> Result<(), UpdateError> {
        let mut state = self.lock();
        let group = self.group.container(key);
        if !group.is_usable() && (resources.memory.is_some() || resources.cpu.limit_millis.is_some()) {
            return Err(without_root());
        }
        check_memory(&group, resources.memory)?;
        let pod_cpu = state.written.unwrap_or_default().cpu;
        let writes = |resources: &Resources| {
            let cpu = limits::within(&resources.cpu, &pod_cpu);
            limits::container(group.version(), &Resources { cpu, ..*resources })
        };
        if let Err(error) = group.apply(&writes(resources)) {
            if let Some(before) = state.containers.get(key) {
                let _ = group.apply(&writes(before));
            }
            return Err(refused(&group, error, resources.memory));
        }
        state.containers.insert(key.to_owned(), *resources);
        Ok(())
    }

    /// What can be written for these limits: what others hold takes nothing from the group that it has in use. It gets
    /// no more.
    fn possible(&self, limits: &PodLimits) -> Written {
        let used = if limits.memory_elsewhere > 0 { self.group.stats().memory.usage } else { 0 };
        let memory = limits.memory_left().zip(limits.memory).map(|(left, limit)| left.max(used).min(limit));
        Written { cpu: limits.cpu, memory }
    }

    /// Writes what is new of the pod's limits, and those of its containers as far as they follow.
    fn write(&self, state: &mut State, to: Written) -> io::Result<()> {
        let from = state.written.unwrap_or_default();
        let version = self.group.version();
        let is_lower = match (from.cpu.limit_millis, to.cpu.limit_millis) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(from), Some(to)) => to < from,
        };
        // Whatever fails below: what is written next follows from here.
        state.written = Some(to);
        if is_lower {
            self.write_containers(&state.containers, &from.cpu, &to.cpu)?;
        }
        // The kernel begins a period anew with each write of a quota.
        if to.cpu != from.cpu {
            self.group.apply(&limits::cpu(version, &to.cpu))?;
        }
        if !is_lower {
            self.write_containers(&state.containers, &from.cpu, &to.cpu)?;
        }
        if to.memory != from.memory { self.group.apply(&limits::memory(version, to.memory)) } else { Ok(()) }
    }

    fn write_containers(&self, containers: &BTreeMap<Key, Resources>, from: &Cpu, to: &Cpu) -> io::Result<()> {
        for (key, resources) in containers {
            let cpu = limits::within(&resources.cpu, to);
            if cpu != limits::within(&resources.cpu, from) {
                self.write_container(key, &limits::cpu(self.group.version(), &cpu))?;
            }
        }
        Ok(())
    }

    /// A container that is being made gets it with the rest, and one that has ended needs nothing.
    fn write_container(&self, key: &str, writes: &[Write]) -> io::Result<()> {
        let group = self.group.container(key);
        match group.apply(writes) {
            Err(error) if group.exists() => Err(error),
            _ => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is a single assignment or a single call on the map: it is whole even if a thread panicked while it
        // held the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn without_root() -> UpdateError {
    UpdateError::Unsupported("resources.limits cannot be enforced without root".to_owned())
}

/// Version 2 takes a limit below what is in use, and kills.
fn check_memory(group: &Cgroup, limit: Option<u64>) -> Result<(), UpdateError> {
    let Some(limit) = limit else { return Ok(()) };
    let used = group.stats().memory.usage;
    if used > limit { Err(UpdateError::MemoryInUse { limit, used }) } else { Ok(()) }
}

/// Version 1 refuses a limit below what is in use and cannot be reclaimed.
fn refused(group: &Cgroup, error: io::Error, memory: Option<u64>) -> UpdateError {
    match memory {
        Some(limit) if group.version() == Version::V1 && error.kind() == io::ErrorKind::ResourceBusy => {
            UpdateError::MemoryInUse { limit, used: group.stats().memory.usage }
        }
        _ => UpdateError::Unsupported(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
