//! What the node has, and what of it is for pods.
//!
//! ```text
//!   capacity ─ system reserved ───────────────► the pods' memory budget: what they may really use
//!            ─ system reserved ─ hard eviction threshold ──► allocatable: what pods may ask for
//! ```
//!
//! As the kubelet has it. Pure; [`machine`] finds out what there is.

mod machine;

pub(crate) use machine::{Machine, storage};

use nacelle_spec::{ByteSize, Requests};

use crate::eviction::{EvictionConfig, Signal, Threshold, ThresholdValue};

/// How many pods a node takes that was not told a number. The engine's address space ends sooner.
pub const DEFAULT_MAX_PODS: u64 = 16_384;

/// The memory that a node keeps free when it was not told how much, in bytes: the kubelet's.
const DEFAULT_FREE_MEMORY: u64 = 100 << 20;
/// It is no more than such a part of what there is: a tenth of a small device should not lie idle.
const SMALLEST_PART: u64 = 20;

/// What a node has, or has for pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeResources {
    /// CPU, memory, local storage.
    pub amounts: Requests,
    /// How many pods.
    pub pods: u64,
}

/// What a node is told about its resources.
#[derive(Clone, Debug, Default)]
pub struct ResourceConfig {
    /// Thousandths of a CPU; what the system gives this process when `None`.
    pub cpu_millis: Option<u64>,
    /// Bytes of memory; what the system gives this process when `None`.
    pub memory_bytes: Option<u64>,
    /// Bytes of local storage; the size of the state directory's file system when `None`.
    pub ephemeral_storage_bytes: Option<u64>,
    /// [`DEFAULT_MAX_PODS`] when `None`.
    pub max_pods: Option<u64>,
    /// What is not for pods.
    pub system_reserved: Requests,
    /// What pods' requests are held against.
    pub requests: HeldAgainst,
    /// When pods are put out.
    pub eviction: EvictionConfig,
}

/// What the requests of pods are held against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeldAgainst {
    /// All that the node has.
    #[default]
    Capacity,
    /// Only what the configuration names. What was found out about the machine bounds no request: who runs a pod in
    /// the foreground, with requests that were made for a larger machine, wants to see it run.
    Settings,
}

/// The resources of a node, worked out.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// What pods may ask for, as `status.allocatable` of a Node shows it.
    pub(crate) allocatable: NodeResources,
    /// What pods' requests are held against.
    pub(crate) room: NodeResources,
    /// What pods may really use of the memory, in bytes.
    pub(crate) memory: u64,
    /// The thresholds at which pods are put out at once.
    pub(crate) hard: Vec<Threshold>,
}

impl Plan {
    /// Works out what `config` says about `machine`.
    pub(crate) fn new(config: &ResourceConfig, machine: &Machine) -> Self {
        let amounts = Requests {
            cpu_millis: config.cpu_millis.unwrap_or(machine.cpu_millis),
            memory_bytes: config.memory_bytes.unwrap_or(machine.memory_bytes),
            ephemeral_storage_bytes: config.ephemeral_storage_bytes.unwrap_or(machine.storage_bytes),
        };
        let hard = config.eviction.hard.clone().unwrap_or_else(|| vec![default_threshold(amounts.memory_bytes)]);
        let kept_free = |signal: Signal, of: u64| {
            let values = hard.iter().filter(|threshold| threshold.signal == signal);
            values.map(|threshold| threshold.value.bytes(of)).max().unwrap_or(0)
        };
        let for_pods = amounts.minus(config.system_reserved);
        let allocatable = for_pods.minus(Requests {
            cpu_millis: 0,
            memory_bytes: kept_free(Signal::MemoryAvailable, for_pods.memory_bytes),
            ephemeral_storage_bytes: kept_free(Signal::NodeFsAvailable, amounts.ephemeral_storage_bytes),
        });
        let pods = config.max_pods.unwrap_or(DEFAULT_MAX_PODS);
        let held = |named: Option<u64>, amount: u64| match config.requests {
            HeldAgainst::Capacity => amount,
            HeldAgainst::Settings if named.is_some() => amount,
            HeldAgainst::Settings => u64::MAX,
        };
        let room = Requests {
            cpu_millis: held(config.cpu_millis, allocatable.cpu_millis),
            memory_bytes: held(config.memory_bytes, allocatable.memory_bytes),
            ephemeral_storage_bytes: held(config.ephemeral_storage_bytes, allocatable.ephemeral_storage_bytes),
        };
        Self {
            allocatable: NodeResources { amounts: allocatable, pods },
            room: NodeResources { amounts: room, pods },
            memory: for_pods.memory_bytes,
            hard,
        }
    }
}

fn default_threshold(memory: u64) -> Threshold {
    let free = DEFAULT_FREE_MEMORY.min(memory / SMALLEST_PART);
    Threshold { signal: Signal::MemoryAvailable, value: ThresholdValue::Bytes(ByteSize::binary(free)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;
    const MACHINE: Machine = Machine { cpu_millis: 4000, memory_bytes: 8 * GIB, storage_bytes: 100 * GIB };

    #[test]
    fn what_is_reserved_and_kept_free_is_not_for_pods() {
        let config = ResourceConfig {
            system_reserved: Requests { cpu_millis: 500, memory_bytes: GIB, ephemeral_storage_bytes: 0 },
            eviction: EvictionConfig {
                hard: Some(vec!["memory.available<1Gi".parse().unwrap(), "nodefs.available<10%".parse().unwrap()]),
                ..EvictionConfig::default()
            },
            ..ResourceConfig::default()
        };
        let plan = Plan::new(&config, &MACHINE);
        let expected = Requests { cpu_millis: 3500, memory_bytes: 6 * GIB, ephemeral_storage_bytes: 90 * GIB };
        assert_eq!((plan.allocatable.amounts, plan.room), (expected, plan.allocatable));
        assert_eq!((plan.memory, plan.allocatable.pods), (7 * GIB, DEFAULT_MAX_PODS));
    }

    #[test]
    fn a_small_node_keeps_little_free() {
        let free = |memory: u64| {
            let config = ResourceConfig { memory_bytes: Some(memory), ..ResourceConfig::default() };
            memory - Plan::new(&config, &MACHINE).allocatable.amounts.memory_bytes
        };
        assert_eq!((free(8 * GIB), free(200 << 20)), (100 << 20, 10 << 20));
    }

    #[test]
    fn only_what_was_set_may_bound_requests() {
        let config =
            ResourceConfig { cpu_millis: Some(1000), requests: HeldAgainst::Settings, ..ResourceConfig::default() };
        let room = Plan::new(&config, &MACHINE).room.amounts;
        assert_eq!((room.cpu_millis, room.memory_bytes), (1000, u64::MAX));
    }

    #[test]
    fn more_reserved_than_there_is_leaves_nothing() {
        let system_reserved = Requests { memory_bytes: u64::MAX, ..Requests::default() };
        let plan = Plan::new(&ResourceConfig { system_reserved, ..ResourceConfig::default() }, &MACHINE);
        assert_eq!((plan.memory, plan.allocatable.amounts.memory_bytes), (0, 0));
    }
}
