//! What a container has used. Plain data: it can cross a process boundary.
//!
//! Counters only grow during one incarnation; the others are of the moment. Network and files are the pod's: whoever
//! holds its infra knows them.

use serde::{Deserialize, Serialize};

/// What a container has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// CPU time.
    pub cpu: CpuStats,
    /// Memory.
    pub memory: MemoryStats,
    /// Fuel, where it is counted.
    pub fuel: Option<FuelStats>,
    /// Programs that run in the container now: what Kubernetes counts as processes.
    pub processes: u32,
}

/// CPU time of a container, or of all containers of a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuStats {
    /// CPU time of the guest and of host work done for it, in nanoseconds.
    pub usage_nanos: u64,
    /// Periods of 100 ms in which it ran under a quota.
    pub periods: u64,
    /// Periods in which it was held back because its quota was used up.
    pub throttled_periods: u64,
    /// How long it was held back, in nanoseconds.
    pub throttled_nanos: u64,
}

/// Memory of a container, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryStats {
    /// All of it now: what the limit is compared with.
    pub usage: u64,
    /// The highest `usage` so far.
    pub peak: u64,
    /// Of `usage`, linear memories of the guest.
    pub linear: u64,
    /// Of `usage`, its tables, stacks and other things of the engine.
    pub engine: u64,
    /// Of `usage`, buffers that the host holds for it: sockets, streams, HTTP bodies.
    pub buffers: u64,
    /// Of `usage`, files in memory that it wrote.
    pub files: u64,
    /// Growths that were refused because of a limit.
    pub refused: u64,
}

/// Fuel of a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FuelStats {
    /// Units consumed.
    pub consumed: u64,
    /// The budget.
    pub limit: u64,
}
