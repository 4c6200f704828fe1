//! What a pod uses, as a JSON line: the kubelet's own figures of it, and beside them what those have no place for.

use nacelle_node::stats::summary;
use nacelle_node::stats::{ContainerStats, PodSample, Rates};
use serde::Serialize;

use super::json::Record;

/// A container, where the Summary API has no word for it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Details<'a> {
    name: &'a str,
    /// Which incarnation: 0 is the first.
    attempt: u32,
    running: bool,
    /// CPU time of this incarnation.
    cpu_nano_seconds: u64,
    /// Periods of 100 ms under a limit, those in which it was held back, and for how long.
    periods: u64,
    throttled_periods: u64,
    throttled_nano_seconds: u64,
    memory: Memory,
    #[serde(skip_serializing_if = "Option::is_none")]
    fuel: Option<Fuel>,
    processes: u32,
    oom_kills: u64,
}

/// In bytes; the parts make the usage.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Memory {
    usage: u64,
    peak: u64,
    linear: u64,
    engine: u64,
    buffers: u64,
    files: u64,
    refused_growths: u64,
}

/// In units.
#[derive(Debug, Serialize)]
struct Fuel {
    consumed: u64,
    limit: u64,
}

/// The line, newline included.
pub(crate) fn line(pod: &PodSample, rates: &Rates) -> Vec<u8> {
    let stats = Box::new(summary::pod(pod, rates));
    let record = Record::Stats {
        time: pod.time,
        namespace: &pod.info.namespace,
        pod: &pod.info.name,
        stats,
        containers: pod.stats.containers.iter().map(Details::of).collect(),
    };
    record.to_line()
}

impl<'a> Details<'a> {
    fn of(container: &'a ContainerStats) -> Self {
        let (cpu, memory) = (container.stats.cpu, container.stats.memory);
        Self {
            name: &container.name,
            attempt: container.attempt,
            running: container.running,
            cpu_nano_seconds: cpu.usage_nanos,
            periods: cpu.periods,
            throttled_periods: cpu.throttled_periods,
            throttled_nano_seconds: cpu.throttled_nanos,
            memory: Memory {
                usage: memory.usage,
                peak: memory.peak,
                linear: memory.linear,
                engine: memory.engine,
                buffers: memory.buffers,
                files: memory.files,
                refused_growths: memory.refused,
            },
            fuel: container.stats.fuel.map(|fuel| Fuel { consumed: fuel.consumed, limit: fuel.limit }),
            processes: container.stats.processes,
            oom_kills: container.oom_kills,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::usage::fixtures;

    #[test]
    fn a_line_is_one_object() {
        let sample = fixtures::sample(12);
        let line = String::from_utf8(line(&sample.pods[0], &Rates::default())).unwrap();
        assert_eq!(line.lines().count(), 1);
        insta::assert_json_snapshot!(serde_json::from_str::<serde_json::Value>(&line).unwrap());
    }
}
