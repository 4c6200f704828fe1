//! The kubelet's own metrics of resources.

use super::containers::Row;
use super::exposition::Exposition;
use super::exposition::Kind::{Counter, Gauge};
use super::exposition::Value::{self, Count, Nanos};
use crate::stats::sample::Sample;
use crate::stats::{FileSpace, VolumeStats};

/// The text of `/metrics/resource`: what metrics-server reads.
pub fn resource(sample: &Sample) -> String {
    let rows = Row::all(sample);
    let containers: Vec<_> = rows.iter().filter(|row| row.container.is_some()).collect();
    let pods: Vec<_> = rows.iter().filter(|row| row.container.is_none()).collect();
    let mut exposition = Exposition::default();
    let mut family = |name, kind, help, rows: &[&Row<'_>], timed: bool, value: fn(&Row<'_>) -> Value| {
        let mut family = exposition.family(name, kind, help);
        for row in rows {
            let labels = row.labels().into_iter().filter(|(label, value)| match *label {
                "container" => !value.is_empty(),
                label => matches!(label, "namespace" | "pod"),
            });
            family.sample(labels, value(row), timed.then(|| row.time()));
        }
    };
    let used = |row: &Row<'_>| Nanos(row.cpu().usage_nanos);
    let memory = |row: &Row<'_>| Count(row.memory_usage());
    family(
        "container_cpu_usage_seconds_total",
        Counter,
        "CPU time used by the container, in seconds.",
        &containers,
        true,
        used,
    );
    family(
        "container_memory_working_set_bytes",
        Gauge,
        "Working set of the container, in bytes.",
        &containers,
        true,
        memory,
    );
    family(
        "container_start_time_seconds",
        Gauge,
        "When the container started, in seconds since 1970.",
        &containers,
        false,
        |row| Value::time(row.started_at()),
    );
    family("pod_cpu_usage_seconds_total", Counter, "CPU time used by the pod, in seconds.", &pods, true, used);
    family("pod_memory_working_set_bytes", Gauge, "Working set of the pod, in bytes.", &pods, true, memory);
    let (machine, time) = (&sample.machine, Some(sample.time));
    if let Some(nanos) = machine.cpu_nanos {
        let help = "CPU time used on the node, in seconds.";
        exposition.family("node_cpu_usage_seconds_total", Counter, help).sample([], Nanos(nanos), time);
    }
    if let Some(memory) = machine.memory {
        let help = "Working set of the node, in bytes.";
        exposition.family("node_memory_working_set_bytes", Gauge, help).sample([], Count(memory.working_set), time);
    }
    let failed = u64::from(machine.cpu_nanos.is_none() || machine.memory.is_none());
    let help = "1 when something could not be measured.";
    exposition.family("resource_scrape_error", Gauge, help).sample([], Count(failed), None);
    exposition.into_text()
}

/// A metric of volumes.
type VolumeMetric = (&'static str, &'static str, fn(&VolumeStats) -> Option<u64>);

fn space(volume: &VolumeStats, of: fn(&FileSpace) -> u64) -> Option<u64> {
    volume.space.as_ref().map(of)
}

const VOLUMES: [VolumeMetric; 6] = [
    ("kubelet_volume_stats_used_bytes", "Bytes that the volume holds.", |volume| Some(volume.used.bytes)),
    ("kubelet_volume_stats_capacity_bytes", "Bytes of the volume's filesystem.", |volume| {
        space(volume, |space| space.capacity)
    }),
    ("kubelet_volume_stats_available_bytes", "Bytes left in the volume's filesystem.", |volume| {
        space(volume, |space| space.available)
    }),
    ("kubelet_volume_stats_inodes_used", "Inodes that the volume holds.", |volume| Some(volume.used.inodes)),
    ("kubelet_volume_stats_inodes", "Inodes of the volume's filesystem.", |volume| space(volume, |space| space.inodes)),
    ("kubelet_volume_stats_inodes_free", "Inodes left in the volume's filesystem.", |volume| {
        space(volume, |space| space.inodes_free)
    }),
];

/// The metrics of volumes. A kubelet has them of PersistentVolumeClaims; here they are of the pods' own volumes, by
/// `namespace`, `pod` and `volume`.
pub fn volumes(sample: &Sample) -> String {
    let mut exposition = Exposition::default();
    for (name, help, value) in VOLUMES {
        let mut family = exposition.family(name, Gauge, help);
        for pod in &sample.pods {
            for volume in &pod.stats.infra.volumes {
                let labels = [
                    ("namespace", pod.info.namespace.as_str()),
                    ("pod", pod.info.name.as_str()),
                    ("volume", volume.name.as_str()),
                ];
                if let Some(value) = value(volume) {
                    family.sample(labels, Count(value), None);
                }
            }
        }
    }
    exposition.into_text()
}
