//! cAdvisor's metrics, with the labels that they have in a kubelet, and nacelle's own beside them.
//!
//! As there, a pod is a container without a name. Network is the pod's, disks are the containers'; what only a limit
//! gives a meaning is there only with one.

use jiff::Timestamp;

use super::containers::Row;
use super::exposition::Exposition;
use super::exposition::Kind::{self, Counter, Gauge};
use super::exposition::Value::{self, Count, Nanos};
use crate::stats::sample::Sample;
use crate::stats::{ContainerStats, FuelStats, InterfaceStats, POD_INTERFACE};

/// The kernel's period, in microseconds.
const PERIOD_MICROS: u64 = 100_000;
/// The kernel's fewest shares: what a container without a request has.
const MIN_SHARES: u64 = 2;

/// A metric: what it is called, and its value of a row. `None` where it has none.
struct Metric {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    /// A label besides those of the row, and the value.
    samples: &'static [Sampled],
}

type Label = Option<(&'static str, &'static str)>;
type Sampled = (Label, fn(&Row<'_>) -> Option<Value>);

const fn metric(name: &'static str, kind: Kind, help: &'static str, samples: &'static [Sampled]) -> Metric {
    Metric { name, kind, help, samples }
}

const INTERFACE: Label = Some(("interface", POD_INTERFACE));

/// Measured values: they carry their time.
const MEASURED: &[Metric] = &[
    metric(
        "container_cpu_usage_seconds_total",
        Counter,
        "CPU time used, in seconds.",
        &[(Some(("cpu", "total")), |row| Some(Nanos(row.cpu().usage_nanos)))],
    ),
    metric(
        "container_cpu_cfs_periods_total",
        Counter,
        "Periods in which it ran under a limit.",
        &[(None, |row| limited(row, row.cpu().periods))],
    ),
    metric(
        "container_cpu_cfs_throttled_periods_total",
        Counter,
        "Periods in which it was held back.",
        &[(None, |row| limited(row, row.cpu().throttled_periods))],
    ),
    metric(
        "container_cpu_cfs_throttled_seconds_total",
        Counter,
        "Time in which it was held back, in seconds.",
        &[(None, |row| row.cpu_limits().limit_millis.map(|_| Nanos(row.cpu().throttled_nanos)))],
    ),
    metric(
        "container_memory_usage_bytes",
        Gauge,
        "Memory in use, in bytes.",
        &[(None, |row| Some(Count(row.memory_usage())))],
    ),
    metric(
        "container_memory_working_set_bytes",
        Gauge,
        "Memory that cannot be reclaimed: all in use, in bytes.",
        &[(None, |row| Some(Count(row.memory_usage())))],
    ),
    metric("container_memory_rss", Gauge, "Memory that is no file, in bytes.", &[(None, |row| Some(Count(row.rss())))]),
    metric(
        "container_memory_cache",
        Gauge,
        "Files in memory, in bytes.",
        &[(None, |row| Some(Count(row.memory_usage().saturating_sub(row.rss()))))],
    ),
    metric(
        "container_memory_max_usage_bytes",
        Gauge,
        "The most memory that was in use, in bytes.",
        &[(None, |row| of(row, |container| container.stats.memory.peak))],
    ),
    metric(
        "container_memory_failcnt",
        Counter,
        "Growths of memory that a limit refused.",
        &[(None, |row| of(row, |container| container.stats.memory.refused))],
    ),
    metric(
        "container_oom_events_total",
        Counter,
        "Kills because of memory, all incarnations.",
        &[(None, |row| of(row, |container| container.oom_kills))],
    ),
    metric("container_processes", Gauge, "Programs that run.", &[(None, |row| Some(Count(row.processes())))]),
    metric(
        "container_sockets",
        Gauge,
        "Open sockets.",
        &[(None, |row| of_pod(row, u64::from(row.pod.stats.infra.network.sockets)))],
    ),
    metric(
        "container_fs_usage_bytes",
        Gauge,
        "What it has on a disk: its root and its logs, in bytes.",
        &[(None, |row| of(row, |container| container.root.bytes.saturating_add(container.logs.bytes)))],
    ),
    metric(
        "container_fs_limit_bytes",
        Gauge,
        "The size of that filesystem, in bytes.",
        &[(None, |row| space(row, |space| space.capacity))],
    ),
    metric(
        "container_fs_inodes_total",
        Gauge,
        "Inodes of that filesystem.",
        &[(None, |row| space(row, |space| space.inodes))],
    ),
    metric(
        "container_fs_inodes_free",
        Gauge,
        "Inodes that are left in that filesystem.",
        &[(None, |row| space(row, |space| space.inodes_free))],
    ),
    metric(
        "container_network_receive_bytes_total",
        Counter,
        "Bytes received.",
        &[(INTERFACE, |row| network(row, |stats| stats.received.bytes))],
    ),
    metric(
        "container_network_receive_packets_total",
        Counter,
        "Packets received.",
        &[(INTERFACE, |row| network(row, |stats| stats.received.packets))],
    ),
    metric(
        "container_network_receive_packets_dropped_total",
        Counter,
        "Packets dropped on arrival.",
        &[(INTERFACE, |row| network(row, |stats| stats.received.dropped))],
    ),
    metric(
        "container_network_receive_errors_total",
        Counter,
        "Errors in receiving.",
        &[(INTERFACE, |row| network(row, |stats| stats.received.errors))],
    ),
    metric(
        "container_network_transmit_bytes_total",
        Counter,
        "Bytes sent.",
        &[(INTERFACE, |row| network(row, |stats| stats.transmitted.bytes))],
    ),
    metric(
        "container_network_transmit_packets_total",
        Counter,
        "Packets sent.",
        &[(INTERFACE, |row| network(row, |stats| stats.transmitted.packets))],
    ),
    metric(
        "container_network_transmit_packets_dropped_total",
        Counter,
        "Packets dropped in sending.",
        &[(INTERFACE, |row| network(row, |stats| stats.transmitted.dropped))],
    ),
    metric(
        "container_network_transmit_errors_total",
        Counter,
        "Errors in sending.",
        &[(INTERFACE, |row| network(row, |stats| stats.transmitted.errors))],
    ),
    metric(
        "nacelle_container_fuel_consumed_total",
        Counter,
        "Fuel used, in units.",
        &[(None, |row| fuel(row, |fuel| fuel.consumed))],
    ),
    metric(
        "nacelle_container_memory_bytes",
        Gauge,
        "Memory in use by what it is used for, in bytes.",
        &[
            (Some(("part", "linear")), |row| of(row, |container| container.stats.memory.linear)),
            (Some(("part", "engine")), |row| of(row, |container| container.stats.memory.engine)),
            (Some(("part", "buffers")), |row| of(row, |container| container.stats.memory.buffers)),
            (Some(("part", "files")), |row| of(row, |container| container.stats.memory.files)),
        ],
    ),
    metric(
        "nacelle_pod_connections",
        Gauge,
        "Open ends of connections.",
        &[(None, |row| of_pod(row, u64::from(row.pod.stats.infra.network.connections)))],
    ),
];

/// What was asked for or just is: without a time.
const GIVEN: &[Metric] = &[
    metric(
        "container_start_time_seconds",
        Gauge,
        "When it started, in seconds since 1970.",
        &[(None, |row| Some(Value::time(row.started_at())))],
    ),
    metric(
        "container_last_seen",
        Gauge,
        "When it was last measured, in seconds since 1970.",
        &[(None, |row| Some(Value::time(row.time())))],
    ),
    metric(
        "container_spec_cpu_period",
        Gauge,
        "The period of its limit of CPU, in microseconds.",
        &[(None, |_| Some(Count(PERIOD_MICROS)))],
    ),
    metric(
        "container_spec_cpu_quota",
        Gauge,
        "CPU time that it may use in a period, in microseconds.",
        &[(None, |row| {
            let quota = |millis: u64| Count(millis.saturating_mul(PERIOD_MICROS / 1000));
            row.cpu_limits().limit_millis.map(quota)
        })],
    ),
    metric(
        "container_spec_cpu_shares",
        Gauge,
        "Its weight against others.",
        &[(None, |row| Some(Count((row.cpu_limits().request_millis.saturating_mul(1024) / 1000).max(MIN_SHARES))))],
    ),
    metric(
        "container_spec_memory_limit_bytes",
        Gauge,
        "Its limit of memory, in bytes; 0 is none.",
        &[(None, |row| Some(Count(row.memory_limit().unwrap_or(0))))],
    ),
    metric(
        "nacelle_container_fuel_limit",
        Gauge,
        "Fuel that it may use, in units.",
        &[(None, |row| fuel(row, |fuel| fuel.limit))],
    ),
];

/// The text of `/metrics/cadvisor`.
pub fn cadvisor(sample: &Sample) -> String {
    let rows = Row::all(sample);
    let mut exposition = Exposition::default();
    write(&mut exposition, MEASURED, &rows, |row| Some(row.time()));
    write(&mut exposition, GIVEN, &rows, |_| None);
    let machine = &sample.machine;
    let mut one = |name, help, value: u64| exposition.family(name, Gauge, help).sample([], Count(value), None);
    one("machine_cpu_cores", "CPUs of the machine.", machine.cores);
    if let Some(memory) = machine.memory {
        one("machine_memory_bytes", "Memory of the machine, in bytes.", memory.total);
    }
    exposition.into_text()
}

fn write(exposition: &mut Exposition, metrics: &[Metric], rows: &[Row<'_>], time: fn(&Row<'_>) -> Option<Timestamp>) {
    for metric in metrics {
        let mut family = exposition.family(metric.name, metric.kind, metric.help);
        for row in rows {
            for (label, value) in metric.samples {
                if let Some(value) = value(row) {
                    family.sample(row.labels().into_iter().chain(*label), value, time(row));
                }
            }
        }
    }
}

/// Of a row that has a limit of CPU.
fn limited(row: &Row<'_>, count: u64) -> Option<Value> {
    row.cpu_limits().limit_millis.map(|_| Count(count))
}

/// Of a container.
fn of(row: &Row<'_>, count: fn(&ContainerStats) -> u64) -> Option<Value> {
    row.container.map(|container| Count(count(container)))
}

/// Of a pod.
fn of_pod(row: &Row<'_>, count: u64) -> Option<Value> {
    row.container.is_none().then_some(Count(count))
}

fn fuel(row: &Row<'_>, count: fn(&FuelStats) -> u64) -> Option<Value> {
    Some(Count(count(&row.container?.stats.fuel?)))
}

fn space(row: &Row<'_>, count: fn(&crate::stats::FileSpace) -> u64) -> Option<Value> {
    row.container?;
    Some(Count(count(&row.pod.stats.infra.space?)))
}

fn network(row: &Row<'_>, count: fn(&InterfaceStats) -> u64) -> Option<Value> {
    let interface = row.pod.stats.infra.network.interface.filter(|_| row.container.is_none())?;
    Some(Count(count(&interface)))
}
