//! What a pod and its containers have used. Plain data: it can cross a process boundary.
//!
//! A container's counters begin anew with each incarnation, as in Kubernetes. The pod's go on: what incarnations had
//! used that are gone is kept, and counts in the pod's sums.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use nacelle_container::stats::{CpuStats, Stats};
use nacelle_container::{Cpu, Resources};
use nacelle_infra::stats::{FileUsage, InfraStats};
use serde::{Deserialize, Serialize};

/// What a pod has used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodStats {
    /// When these figures were taken.
    pub time: Timestamp,
    /// When the pod was created here.
    pub created_at: Timestamp,
    /// What its containers may use together.
    pub cpu_limits: Cpu,
    /// CPU time of all its containers, those that are gone included, and how the pod's own limit held them back: periods
    /// in which it was a container's alone do not count. These counters never go back. In a pod with containers of both
    /// kinds the periods of both are added.
    pub cpu: CpuStats,
    /// The latest incarnation of each container that was ever started, by name.
    pub containers: Vec<ContainerStats>,
    /// What they share.
    pub infra: InfraStats,
}

/// What one incarnation of a container has used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStats {
    /// Its name in the pod.
    pub name: String,
    /// Which incarnation: 0 is the first.
    pub attempt: u32,
    /// Kubernetes' `containerID`.
    pub container_id: String,
    /// When its entry point began to run.
    pub started_at: Timestamp,
    /// Whether it has not ended. If it has, these are its last figures.
    pub running: bool,
    /// What it may use.
    pub resources: Resources,
    /// CPU, memory, fuel, processes.
    pub stats: Stats,
    /// What its incarnations that are not removed wrote into their roots; inodes are this one's.
    pub root: FileUsage,
    /// The logs of all its incarnations; inodes are this one's files.
    pub logs: FileUsage,
    /// How often it was killed because of memory, former incarnations included.
    pub oom_kills: u64,
}

/// What is left of containers that were removed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Past {
    /// CPU time in nanoseconds.
    usage_nanos: u64,
    /// The latest of each.
    containers: BTreeMap<String, ContainerStats>,
}

impl Past {
    /// A container was removed, with these last figures.
    pub(crate) fn add(&mut self, mut last: ContainerStats) {
        self.usage_nanos = self.usage_nanos.saturating_add(last.stats.cpu.usage_nanos);
        last.oom_kills += self.oom_kills(&last.name);
        self.containers.insert(last.name.clone(), last);
    }

    /// All of it with those that are there: CPU time in nanoseconds, and the latest incarnation of each container.
    pub(crate) fn with(&self, present: Vec<ContainerStats>) -> (u64, Vec<ContainerStats>) {
        let mut usage_nanos = self.usage_nanos;
        let mut latest = self.containers.clone();
        for mut container in present {
            usage_nanos = usage_nanos.saturating_add(container.stats.cpu.usage_nanos);
            container.oom_kills += self.oom_kills(&container.name);
            match latest.get(&container.name) {
                Some(other) if other.attempt > container.attempt => {}
                _ => drop(latest.insert(container.name.clone(), container)),
            }
        }
        (usage_nanos, latest.into_values().collect())
    }

    fn oom_kills(&self, name: &str) -> u64 {
        self.containers.get(name).map_or(0, |container| container.oom_kills)
    }
}

/// Adds one to a sum.
pub(crate) fn add(total: &mut CpuStats, one: &CpuStats) {
    let CpuStats { usage_nanos, periods, throttled_periods, throttled_nanos } = one;
    for (total, one) in [
        (&mut total.usage_nanos, usage_nanos),
        (&mut total.periods, periods),
        (&mut total.throttled_periods, throttled_periods),
        (&mut total.throttled_nanos, throttled_nanos),
    ] {
        *total = total.saturating_add(*one);
    }
}

/// How many files a log has: itself, and those it was rotated into.
pub(crate) fn log_files(log: &Path) -> u64 {
    let (Some(dir), Some(name)) = (log.parent(), log.file_name()) else { return 0 };
    let name = name.as_encoded_bytes();
    let entries = std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(name)).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(name: &str, attempt: u32, usage_nanos: u64, oom_kills: u64) -> ContainerStats {
        ContainerStats {
            name: name.into(),
            attempt,
            container_id: String::new(),
            started_at: Timestamp::UNIX_EPOCH,
            running: true,
            resources: Resources::default(),
            stats: Stats { cpu: CpuStats { usage_nanos, ..CpuStats::default() }, ..Stats::default() },
            root: FileUsage::default(),
            logs: FileUsage::default(),
            oom_kills,
        }
    }

    fn shown(containers: &[ContainerStats]) -> Vec<(&str, u32, u64, u64)> {
        containers.iter().map(|c| (c.name.as_str(), c.attempt, c.stats.cpu.usage_nanos, c.oom_kills)).collect()
    }

    #[test]
    fn sums_of_a_pod_never_go_back_when_containers_restart() {
        let mut past = Past::default();
        let (nanos, _) = past.with(vec![container("app", 0, 70, 1), container("sidecar", 0, 5, 0)]);
        assert_eq!(nanos, 75);
        past.add(container("app", 0, 80, 1));
        let (nanos, containers) = past.with(vec![container("sidecar", 0, 5, 0)]);
        assert_eq!(nanos, 85);
        assert_eq!(shown(&containers), [("app", 0, 80, 1), ("sidecar", 0, 5, 0)]);
        let (nanos, containers) = past.with(vec![container("app", 1, 1, 1), container("sidecar", 0, 6, 0)]);
        assert_eq!(nanos, 87);
        // The container's own counters begin anew; how often it was killed does not.
        assert_eq!(shown(&containers), [("app", 1, 1, 2), ("sidecar", 0, 6, 0)]);
    }

    #[test]
    fn a_log_and_what_it_was_rotated_into_are_its_files() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["app-1.log", "app-1.log.20260101-000000", "app-0.log", "other"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(log_files(&dir.path().join("app-1.log")), 2);
        assert_eq!(log_files(&dir.path().join("none/app.log")), 0);
    }
}
