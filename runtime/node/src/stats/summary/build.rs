//! From samples to the Summary API's values.

use jiff::Timestamp;
use nacelle_infra::network;
use nacelle_infra::stats::{FileSpace, FileUsage};

use super::types::{
    ContainerStats, CpuStats, FsStats, InterfaceStats, MemoryStats, NetworkStats, NodeStats, PodReference, PodStats,
    ProcessStats, RlimitStats, RuntimeStats, Summary, Time, VolumeStats,
};
use crate::stats::rates::{CpuRate, Rates};
use crate::stats::sample::{MachineMemory, MachineSample, PodSample, Sample};
use crate::stats::{ContainerStats as Measured, POD_INTERFACE};

/// The machine and its pods.
pub fn summary(sample: &Sample, rates: &Rates) -> Summary {
    Summary { node: node(sample, rates), pods: sample.pods.iter().map(|sample| pod(sample, rates)).collect() }
}

/// One pod.
pub fn pod(sample: &PodSample, rates: &Rates) -> PodStats {
    let (info, stats) = (&sample.info, &sample.stats);
    let infra = &stats.infra;
    let time = Time(sample.time);
    let containers: Vec<_> = sample.running().collect();
    let memory = infra.memory;
    PodStats {
        pod_ref: PodReference { name: info.name.clone(), namespace: info.namespace.clone(), uid: info.uid.clone() },
        start_time: Time(stats.created_at),
        cpu: Some(cpu(time, rates.pod(&info.uid), stats.cpu.usage_nanos)),
        memory: Some(used_memory(time, memory.usage, sample.rss(), memory.limit)),
        network: infra.network.interface.map(|stats| {
            let default = interface(POD_INTERFACE, &stats);
            NetworkStats { time, interfaces: vec![default.clone()], default }
        }),
        volume: infra
            .volumes
            .iter()
            .map(|volume| VolumeStats { fs: fs(time, volume.used, volume.space), name: volume.name.clone() })
            .collect(),
        ephemeral_storage: Some(fs(time, ephemeral(sample), infra.space)),
        process_stats: Some(ProcessStats {
            process_count: containers.iter().map(|container| u64::from(container.stats.processes)).sum(),
        }),
        containers: containers.into_iter().map(|measured| container(sample, measured, rates)).collect(),
    }
}

fn container(sample: &PodSample, measured: &Measured, rates: &Rates) -> ContainerStats {
    let time = Time(sample.time);
    let (stats, space) = (&measured.stats, sample.stats.infra.space);
    let rss = stats.memory.usage.saturating_sub(stats.memory.files);
    ContainerStats {
        name: measured.name.clone(),
        start_time: Time(measured.started_at),
        cpu: Some(cpu(time, rates.container(&sample.info.uid, &measured.name), stats.cpu.usage_nanos)),
        memory: Some(used_memory(time, stats.memory.usage, rss, measured.resources.memory)),
        rootfs: Some(fs(time, measured.root, space)),
        logs: Some(fs(time, measured.logs, space)),
    }
}

/// What the pod has on a disk, as its limit counts it.
fn ephemeral(sample: &PodSample) -> FileUsage {
    let infra = &sample.stats.infra;
    let of_containers = sample.stats.containers.iter().map(|c| c.root.inodes.saturating_add(c.logs.inodes));
    let of_volumes = infra.volumes.iter().filter(|volume| !volume.in_memory).map(|volume| volume.used.inodes);
    FileUsage { bytes: infra.storage.total, inodes: of_containers.chain(of_volumes).sum() }
}

fn node(sample: &Sample, rates: &Rates) -> NodeStats {
    let machine = &sample.machine;
    let time = Time(sample.time);
    NodeStats {
        node_name: sample.node_name.clone(),
        system_containers: daemons(sample, rates),
        start_time: Time(machine.booted_at.unwrap_or(Timestamp::UNIX_EPOCH)),
        cpu: machine.cpu_nanos.map(|nanos| cpu(time, rates.node(), nanos)),
        memory: machine.memory.map(|memory| machine_memory(time, &memory)),
        network: machine_network(time, machine),
        fs: machine.state_space.map(|space| whole(time, space)),
        runtime: machine.image_space.map(|space| RuntimeStats { image_fs: Some(whole(time, space)) }),
        rlimit: machine.processes.map(|(curproc, maxpid)| RlimitStats { time, maxpid, curproc }),
    }
}

/// This process, and all pods together; the one contains the other, since pods live in it.
fn daemons(sample: &Sample, rates: &Rates) -> Vec<ContainerStats> {
    let time = Time(sample.time);
    let start_time = Time(sample.machine.booted_at.unwrap_or(Timestamp::UNIX_EPOCH));
    let daemon = |name: &str, cpu, memory| ContainerStats {
        name: name.to_owned(),
        start_time,
        cpu: Some(cpu),
        memory: Some(memory),
        rootfs: None,
        logs: None,
    };
    let usage = |of: fn(&PodSample) -> u64| sample.pods.iter().map(of).fold(0, u64::saturating_add);
    let (used, rss) = (usage(|pod| pod.stats.infra.memory.usage), usage(PodSample::rss));
    let pods =
        daemon("pods", cpu(time, rates.pods_together(), sample.pods_cpu_nanos), used_memory(time, used, rss, None));
    let runtime = sample.machine.process.map(|process| {
        let memory = used_memory(time, process.rss, process.rss, None);
        daemon("runtime", cpu(time, rates.process(), process.cpu_nanos), memory)
    });
    runtime.into_iter().chain([pods]).collect()
}

fn cpu(time: Time, rate: Option<CpuRate>, nanos: u64) -> CpuStats {
    let usage_nano_cores = rate.map(|rate| rate.nano_cores);
    CpuStats { time, usage_nano_cores, usage_core_nano_seconds: Some(nanos) }
}

/// Nothing of a pod's memory can be reclaimed: all of it is its working set.
fn used_memory(time: Time, usage: u64, rss: u64, limit: Option<u64>) -> MemoryStats {
    MemoryStats {
        time,
        available_bytes: limit.map(|limit| limit.saturating_sub(usage)),
        usage_bytes: Some(usage),
        working_set_bytes: Some(usage),
        rss_bytes: Some(rss),
        page_faults: None,
        major_page_faults: None,
    }
}

fn machine_memory(time: Time, memory: &MachineMemory) -> MemoryStats {
    MemoryStats {
        time,
        available_bytes: Some(memory.total.saturating_sub(memory.working_set)),
        usage_bytes: Some(memory.usage),
        working_set_bytes: Some(memory.working_set),
        rss_bytes: Some(memory.rss),
        page_faults: Some(memory.faults.0),
        major_page_faults: Some(memory.faults.1),
    }
}

/// The default interface is the one of a pod's name, or else the first.
fn machine_network(time: Time, machine: &MachineSample) -> Option<NetworkStats> {
    let interfaces: Vec<_> = machine.interfaces.iter().map(|found| interface(&found.name, &found.stats)).collect();
    let default = interfaces.iter().find(|found| found.name == POD_INTERFACE).or(interfaces.first())?.clone();
    Some(NetworkStats { time, default, interfaces })
}

fn interface(name: &str, stats: &network::InterfaceStats) -> InterfaceStats {
    InterfaceStats {
        name: name.to_owned(),
        rx_bytes: stats.received.bytes,
        rx_errors: stats.received.errors,
        tx_bytes: stats.transmitted.bytes,
        tx_errors: stats.transmitted.errors,
    }
}

fn fs(time: Time, used: FileUsage, space: Option<FileSpace>) -> FsStats {
    FsStats {
        time,
        available_bytes: space.map(|space| space.available),
        capacity_bytes: space.map(|space| space.capacity),
        used_bytes: Some(used.bytes),
        inodes_free: space.map(|space| space.inodes_free),
        inodes: space.map(|space| space.inodes),
        inodes_used: Some(used.inodes),
    }
}

/// A filesystem, and all that is in it.
fn whole(time: Time, space: FileSpace) -> FsStats {
    let used = FileUsage {
        bytes: space.capacity.saturating_sub(space.available),
        inodes: space.inodes.saturating_sub(space.inodes_free),
    };
    fs(time, used, Some(space))
}
