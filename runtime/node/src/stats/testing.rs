//! Samples for tests: one pod that has something of everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use nacelle_container::stats::{CpuStats, FuelStats, MemoryStats, Stats};
use nacelle_container::{Cpu, Resources};
use nacelle_host::{ContainerStats, PodStats};
use nacelle_infra::StorageUsage;
use nacelle_infra::network::{DirectionStats, InterfaceStats, NetworkStats};
use nacelle_infra::stats::{FileSpace, FileUsage, InfraStats, PodMemoryStats, VolumeStats};
use nacelle_spec::QosClass;

use super::sample::{HostInterface, MachineMemory, MachineSample, PodInfo, PodSample, ProcessSample, Sample};

const MIB: u64 = 1 << 20;

/// So many seconds after 2026-01-02T03:04:00Z.
pub(crate) fn at(seconds: f64) -> Timestamp {
    let start: Timestamp = "2026-01-02T03:04:00Z".parse().unwrap();
    start + jiff::SignedDuration::from_secs_f64(seconds)
}

/// A container without limits, that started with its pod.
pub(crate) fn container(name: &str, attempt: u32, usage_nanos: u64) -> ContainerStats {
    ContainerStats {
        name: name.into(),
        attempt,
        container_id: format!("nacelle://{name}{attempt}"),
        started_at: at(0.25),
        running: true,
        resources: Resources::default(),
        stats: Stats { cpu: CpuStats { usage_nanos, ..CpuStats::default() }, processes: 1, ..Stats::default() },
        root: FileUsage::default(),
        logs: FileUsage::default(),
        oom_kills: 0,
    }
}

/// A pod with these containers and nothing else.
pub(crate) fn pod(name: &str, time: Timestamp, containers: Vec<ContainerStats>) -> PodSample {
    let images = containers.iter().map(|c| (c.name.clone(), format!("registry/{}:1", c.name)));
    let info = PodInfo {
        namespace: "default".into(),
        name: name.into(),
        uid: format!("uid-{name}"),
        qos: QosClass::Burstable,
        images: images.collect(),
    };
    let usage_nanos = containers.iter().map(|c| c.stats.cpu.usage_nanos).sum();
    let stats = PodStats {
        time,
        created_at: at(0.0),
        cpu_limits: Cpu::default(),
        cpu: CpuStats { usage_nanos, ..CpuStats::default() },
        containers,
        infra: InfraStats::default(),
    };
    PodSample { info: Arc::new(info), time, stats }
}

pub(crate) fn sample(time: Timestamp, pods: Vec<PodSample>) -> Sample {
    let pods_cpu_nanos = pods.iter().map(|pod| pod.stats.cpu.usage_nanos).sum();
    Sample { node_name: "here".into(), time, machine: MachineSample::default(), pods, pods_cpu_nanos }
}

/// A machine with a pod that has limits, fuel, volumes and traffic, and a container that has ended.
pub(crate) fn rich(seconds: f64, nanos: u64) -> Sample {
    let mut app = container("app", 2, nanos);
    app.resources = Resources {
        cpu: Cpu { limit_millis: Some(500), request_millis: 250 },
        memory: Some(64 * MIB),
        memory_request: 32 * MIB,
        fuel: Some(1_000_000),
    };
    app.stats = Stats {
        cpu: CpuStats { usage_nanos: nanos, periods: 20, throttled_periods: 5, throttled_nanos: 150_000_000 },
        memory: MemoryStats {
            usage: 16 * MIB,
            peak: 20 * MIB,
            linear: 10 * MIB,
            engine: 2 * MIB,
            buffers: MIB,
            files: 3 * MIB,
            refused: 4,
        },
        fuel: Some(FuelStats { consumed: 250_000, limit: 1_000_000 }),
        processes: 2,
    };
    app.root = FileUsage { bytes: 4096, inodes: 3 };
    app.logs = FileUsage { bytes: 512, inodes: 1 };
    app.oom_kills = 1;
    let mut init = container("init", 0, 7);
    init.running = false;
    let time = at(seconds);
    let mut web = pod("web", time, vec![app, init]);
    let space = FileSpace { capacity: 1000 * MIB, available: 400 * MIB, inodes: 5000, inodes_free: 4000 };
    let direction = |bytes, packets, errors, dropped| DirectionStats { bytes, packets, errors, dropped };
    web.stats.cpu_limits = Cpu { limit_millis: Some(1000), request_millis: 300 };
    web.stats.infra = InfraStats {
        memory: PodMemoryStats { usage: 17 * MIB, limit: Some(128 * MIB) },
        network: NetworkStats {
            interface: Some(InterfaceStats { received: direction(100, 4, 0, 1), transmitted: direction(200, 5, 2, 0) }),
            sockets: 3,
            connections: 2,
        },
        storage: StorageUsage { containers: BTreeMap::new(), empty_dirs: BTreeMap::new(), total: 12_800 },
        space: Some(space),
        volumes: vec![
            VolumeStats {
                name: "scratch".into(),
                used: FileUsage { bytes: 8192, inodes: 2 },
                space: Some(space),
                in_memory: false,
            },
            VolumeStats {
                name: "shm".into(),
                used: FileUsage { bytes: 3 * MIB, inodes: 1 },
                space: None,
                in_memory: true,
            },
        ],
    };
    let machine = MachineSample {
        cores: 2,
        booted_at: Some(at(-1000.0)),
        cpu_nanos: Some(nanos * 2),
        memory: Some(MachineMemory {
            total: 4096 * MIB,
            usage: 3000 * MIB,
            working_set: 2000 * MIB,
            rss: 1500 * MIB,
            faults: (9000, 3),
        }),
        interfaces: vec![HostInterface { name: "ens3".into(), stats: InterfaceStats::default() }],
        processes: Some((345, 32_768)),
        state_space: Some(space),
        image_space: Some(space),
        process: Some(ProcessSample { cpu_nanos: nanos + 1, rss: 30 * MIB }),
    };
    Sample { machine, ..sample(time, vec![web]) }
}
