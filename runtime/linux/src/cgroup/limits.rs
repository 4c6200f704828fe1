//! What is written into control groups for a limit. No I/O.

use nacelle_container::{Cpu, Resources};

use super::Version;

/// The period of a CPU quota, in microseconds: the kubelet's.
const PERIOD: u64 = 100_000;
/// The smallest quota that the kernel takes, in microseconds.
const MIN_QUOTA: u64 = 1000;
/// The smallest and the largest weight of version 1.
const SHARES: std::ops::RangeInclusive<u64> = 2..=262_144;

/// A value for a file of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Write {
    pub(crate) controller: &'static str,
    pub(crate) file: &'static str,
    pub(crate) value: String,
    /// Whether the file may be missing.
    pub(crate) optional: bool,
}

fn write(controller: &'static str, file: &'static str, value: impl ToString) -> Write {
    Write { controller, file, value: value.to_string(), optional: false }
}

fn optional(controller: &'static str, file: &'static str, value: impl ToString) -> Write {
    Write { optional: true, ..write(controller, file, value) }
}

/// The weight of version 1 for a request, as the kubelet computes it.
pub(crate) fn shares(cpu: &Cpu) -> u64 {
    (cpu.request_millis.saturating_mul(1024) / 1000).clamp(*SHARES.start(), *SHARES.end())
}

/// The quota for a limit, in microseconds a period; `None` for no limit.
pub(crate) fn quota(cpu: &Cpu) -> Option<u64> {
    cpu.limit_millis.map(|millis| (millis.saturating_mul(PERIOD) / 1000).max(MIN_QUOTA))
}

/// The period of quotas, in microseconds.
pub(crate) fn period() -> u64 {
    PERIOD
}

/// The weight of version 2 for one of version 1: the formula of the OCI runtimes before 2025, which the kubelet has.
fn weight(shares: u64) -> u64 {
    1 + (shares.saturating_sub(2) * 9999) / 262_142
}

/// What of a container's share its pod's leaves it.
pub(crate) fn within(own: &Cpu, pod: &Cpu) -> Cpu {
    let limit_millis = own.limit_millis.map(|own| pod.limit_millis.map_or(own, |pod| own.min(pod)));
    Cpu { limit_millis, ..*own }
}

/// A share of the CPUs.
pub(crate) fn cpu(version: Version, cpu: &Cpu) -> Vec<Write> {
    match version {
        Version::V1 => vec![
            write("cpu", "cpu.shares", shares(cpu)),
            write("cpu", "cpu.cfs_period_us", PERIOD),
            write("cpu", "cpu.cfs_quota_us", quota(cpu).map_or("-1".to_owned(), |quota| quota.to_string())),
        ],
        Version::V2 => {
            let quota = quota(cpu).map_or("max".to_owned(), |quota| quota.to_string());
            vec![write("cpu", "cpu.weight", weight(shares(cpu))), write("cpu", "cpu.max", format!("{quota} {PERIOD}"))]
        }
    }
}

/// A limit of memory in bytes.
pub(crate) fn memory(version: Version, limit: Option<u64>) -> Vec<Write> {
    match (version, limit) {
        (Version::V1, Some(limit)) => {
            vec![
                // Memory and swap together are never below memory alone: whichever way a limit moves, one of the two
                // writes in each direction is in order.
                optional("memory", "memory.memsw.limit_in_bytes", -1),
                write("memory", "memory.limit_in_bytes", limit),
                optional("memory", "memory.memsw.limit_in_bytes", limit),
            ]
        }
        (Version::V1, None) => {
            vec![optional("memory", "memory.memsw.limit_in_bytes", -1), write("memory", "memory.limit_in_bytes", -1)]
        }
        (Version::V2, limit) => {
            let value = limit.map_or("max".to_owned(), |limit| limit.to_string());
            vec![write("memory", "memory.max", value), optional("memory", "memory.swap.max", 0)]
        }
    }
}

/// The limits of a pod: what its containers may use together.
pub(crate) fn pod(version: Version, pod_cpu: &Cpu, memory_limit: Option<u64>, pids: Option<u64>) -> Vec<Write> {
    let mut writes = cpu(version, pod_cpu);
    writes.extend(memory(version, memory_limit));
    if version == Version::V1 {
        writes.push(optional("memory", "memory.use_hierarchy", 1));
    }
    writes.push(write("pids", "pids.max", pids.map_or("max".to_owned(), |pids| pids.to_string())));
    writes
}

/// Other limits for a container that runs.
pub(crate) fn container(version: Version, resources: &Resources) -> Vec<Write> {
    let mut writes = cpu(version, &resources.cpu);
    writes.extend(memory(version, resources.memory));
    writes
}
