//! What pods use, as a table for people. Pure.
//!
//! A pod with one container is one row. One with several is a row of its own, with what they share (network, and sums),
//! and below it a row for each.

use nacelle_node::stats::{ContainerStats, CpuRate, FuelStats, PodSample, Rates};

use super::log::{ContainerName, Prefixes};
use super::size::human;
use super::table;

/// Where there is nothing to say.
const NOTHING: &str = "--";

/// Which use of CPU is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cpu<'a> {
    /// How much is used now, by running containers.
    Now(&'a Rates),
    /// How much was used in all, by all containers.
    Total,
}

/// The table's text. `machine`: bytes of memory, the limit of who has none.
pub(crate) fn render(pods: &[PodSample], cpu: Cpu<'_>, prefixes: &Prefixes, machine: Option<u64>) -> String {
    let rows: Vec<_> = pods.iter().flat_map(|pod| View { pod, cpu, prefixes, machine }.rows()).collect();
    let (cpu, memory) = match cpu {
        Cpu::Now(_) => ("CPU %", "MEM USAGE / LIMIT"),
        Cpu::Total => ("CPU TIME", "MEM PEAK / LIMIT"),
    };
    table::render(["POD/CONTAINER", cpu, "THROTTLED", memory, "MEM %", "FUEL", "NET I/O", "DISK", "PIDS"], &rows)
}

type Row = [String; 9];

struct View<'a> {
    pod: &'a PodSample,
    cpu: Cpu<'a>,
    prefixes: &'a Prefixes,
    machine: Option<u64>,
}

impl View<'_> {
    fn rows(&self) -> Vec<Row> {
        let shown = |container: &&ContainerStats| container.running || matches!(self.cpu, Cpu::Total);
        let containers: Vec<_> = self.pod.stats.containers.iter().filter(shown).collect();
        match containers.as_slice() {
            [] => Vec::new(),
            [one] => vec![self.alone(one)],
            several => {
                let rows = several.iter().map(|container| self.container(container, NOTHING.to_owned()));
                std::iter::once(self.whole(several)).chain(rows).collect()
            }
        }
    }

    /// The row of a pod's only container: what holds the pod back holds it back.
    fn alone(&self, container: &ContainerStats) -> Row {
        let pod = &self.pod.stats;
        let limited = container.resources.cpu.limit_millis.or(pod.cpu_limits.limit_millis).is_some();
        // Under equal limits both wait at the same time.
        let waited = container.stats.cpu.throttled_nanos.max(pod.cpu.throttled_nanos);
        let mut row = self.container(container, self.network());
        row[2] = throttled(limited, waited);
        row
    }

    fn container(&self, container: &ContainerStats, network: String) -> Row {
        let (info, stats) = (&self.pod.info, &container.stats);
        let name = ContainerName {
            namespace: info.namespace.clone(),
            pod: info.name.clone(),
            container: container.name.clone(),
        };
        let rate = |rates: &Rates| rates.container(&info.uid, &container.name);
        let limit = container.resources.memory.or(self.pod.stats.infra.memory.limit);
        let memory = if matches!(self.cpu, Cpu::Total) { stats.memory.peak } else { stats.memory.usage };
        let [memory, share] = self.memory(memory, limit);
        [
            self.prefixes.name(&name),
            self.cpu(rate, stats.cpu.usage_nanos),
            throttled(container.resources.cpu.limit_millis.is_some(), stats.cpu.throttled_nanos),
            memory,
            share,
            stats.fuel.map_or_else(|| NOTHING.to_owned(), fuel),
            network,
            human(container.root.bytes.saturating_add(container.logs.bytes)),
            stats.processes.to_string(),
        ]
    }

    fn whole(&self, containers: &[&ContainerStats]) -> Row {
        let (info, stats) = (&self.pod.info, &self.pod.stats);
        let name =
            ContainerName { namespace: info.namespace.clone(), pod: info.name.clone(), container: String::new() };
        let memory = stats.infra.memory;
        let [memory, share] = match self.cpu {
            Cpu::Now(_) => self.memory(memory.usage, memory.limit),
            // The peaks of containers were at different times.
            Cpu::Total => [NOTHING.to_owned(), NOTHING.to_owned()],
        };
        let processes: u64 = containers.iter().map(|container| u64::from(container.stats.processes)).sum();
        [
            self.prefixes.name(&name).trim_end_matches('/').to_owned(),
            self.cpu(|rates| rates.pod(&info.uid), stats.cpu.usage_nanos),
            throttled(stats.cpu_limits.limit_millis.is_some(), stats.cpu.throttled_nanos),
            memory,
            share,
            NOTHING.to_owned(),
            self.network(),
            human(stats.infra.storage.total),
            processes.to_string(),
        ]
    }

    fn cpu(&self, rate: impl FnOnce(&Rates) -> Option<CpuRate>, total: u64) -> String {
        match self.cpu {
            Cpu::Now(rates) => rate(rates).map_or_else(
                || NOTHING.to_owned(),
                // A core's full time is 100 %.
                |rate| tenths(rate.nano_cores / 1_000_000, "%"),
            ),
            Cpu::Total => seconds(total),
        }
    }

    /// What is used of what limit, and its share of it.
    fn memory(&self, used: u64, limit: Option<u64>) -> [String; 2] {
        match limit.or(self.machine) {
            None => [human(used), NOTHING.to_owned()],
            Some(limit) => {
                let share = u128::from(used) * 1000 / u128::from(limit.max(1));
                let share = tenths(u64::try_from(share).unwrap_or(u64::MAX), "%");
                [format!("{} / {}", human(used), human(limit)), share]
            }
        }
    }

    fn network(&self) -> String {
        self.pod.stats.infra.network.interface.map_or_else(
            || NOTHING.to_owned(),
            |stats| format!("{} / {}", human(stats.received.bytes), human(stats.transmitted.bytes)),
        )
    }
}

fn throttled(limited: bool, nanos: u64) -> String {
    if limited { seconds(nanos) } else { NOTHING.to_owned() }
}

/// Three digits and a letter, as of sizes.
fn fuel(fuel: FuelStats) -> String {
    let short = |units| human(units).trim_end_matches('B').trim_end().replace(' ', "");
    format!("{} / {}", short(fuel.consumed), short(fuel.limit))
}

fn seconds(nanos: u64) -> String {
    if nanos < 1_000_000_000 {
        return format!("{}ms", nanos / 1_000_000);
    }
    let hundredths = nanos / 10_000_000;
    format!("{}.{:02}s", hundredths / 100, hundredths % 100)
}

fn tenths(tenths: u64, unit: &str) -> String {
    format!("{}.{}{unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
pub(crate) mod fixtures {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use jiff::Timestamp;
    use nacelle_node::stats::{
        Cpu, CpuStats, FileUsage, InfraStats, InterfaceStats, MachineSample, MemoryStats, PodInfo, PodStats, QosClass,
        Resources, Sample, Stats,
    };

    use super::*;

    fn container(name: &str, running: bool, usage_nanos: u64) -> ContainerStats {
        ContainerStats {
            name: name.into(),
            attempt: 0,
            container_id: format!("nacelle://{name}"),
            started_at: Timestamp::UNIX_EPOCH,
            running,
            resources: Resources::default(),
            stats: Stats {
                cpu: CpuStats { usage_nanos, ..CpuStats::default() },
                memory: MemoryStats { usage: 2_000_000, peak: 3_000_000, ..MemoryStats::default() },
                fuel: None,
                processes: 1,
            },
            root: FileUsage { bytes: 1000, inodes: 1 },
            logs: FileUsage { bytes: 234, inodes: 1 },
            oom_kills: 0,
        }
    }

    fn pod(name: &str, time: Timestamp, containers: Vec<ContainerStats>) -> PodSample {
        let info = PodInfo {
            namespace: "default".into(),
            name: name.into(),
            uid: name.into(),
            qos: QosClass::BestEffort,
            images: BTreeMap::new(),
        };
        let usage_nanos = containers.iter().map(|container| container.stats.cpu.usage_nanos).sum();
        let mut infra = InfraStats::default();
        infra.memory.usage = 5_000_000;
        infra.network.interface = Some(InterfaceStats::default());
        infra.storage.total = 2468;
        let stats = PodStats {
            time,
            created_at: Timestamp::UNIX_EPOCH,
            cpu_limits: Cpu::default(),
            cpu: CpuStats { usage_nanos, ..CpuStats::default() },
            containers,
            infra,
        };
        PodSample { info: Arc::new(info), time, stats }
    }

    /// A pod with two containers, one that has ended, and one with limits.
    pub(crate) fn sample(seconds: i64) -> Sample {
        let time = Timestamp::from_second(seconds).unwrap();
        let used = u64::try_from(seconds).unwrap() * 250_000_000;
        let mut limited = container("app", true, used);
        limited.resources = Resources {
            cpu: Cpu { limit_millis: Some(250), request_millis: 250 },
            memory: Some(8_000_000),
            memory_request: 8_000_000,
            fuel: Some(5_000_000),
        };
        limited.stats.cpu.throttled_nanos = 1_234_567_890;
        limited.stats.fuel = Some(FuelStats { consumed: 1_250_000, limit: 5_000_000 });
        let pods = vec![
            pod("batch", time, vec![limited]),
            pod("web", time, vec![container("app", true, used * 4), container("log-shipper", true, 0)]),
            pod("past", time, vec![container("app", false, 7_000_000_000)]),
        ];
        Sample { node_name: "here".into(), time, machine: MachineSample::default(), pods, pods_cpu_nanos: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(cpu: Cpu<'_>) -> String {
        let sample = fixtures::sample(12);
        let name = |pod: &str, container: &str| ContainerName {
            namespace: "default".into(),
            pod: pod.into(),
            container: container.into(),
        };
        let prefixes = Prefixes::new(vec![name("batch", "app"), name("web", "app")], false);
        render(&sample.pods, cpu, &prefixes, Some(1_000_000_000))
    }

    #[test]
    fn what_is_used_now() {
        let mut rates = Rates::default();
        rates.observe(&fixtures::sample(10));
        rates.observe(&fixtures::sample(12));
        insta::assert_snapshot!(show(Cpu::Now(&rates)));
    }

    #[test]
    fn the_pods_own_limit_shows_where_it_is_the_only_one() {
        let mut sample = fixtures::sample(12);
        let alone = &mut sample.pods[2].stats;
        alone.containers[0].running = true;
        let limits = nacelle_node::stats::Cpu { limit_millis: Some(100), request_millis: 0 };
        (alone.cpu_limits, alone.cpu.throttled_nanos) = (limits, 40_000_000);
        sample.pods[1].stats.cpu_limits = limits;
        sample.pods[1].stats.cpu.throttled_nanos = 50_000_000;
        let text = render(&sample.pods, Cpu::Total, &Prefixes::new(Vec::new(), false), None);
        let column: Vec<_> = text.lines().skip(1).filter_map(|line| line.split_whitespace().nth(2)).collect();
        assert_eq!(column, ["1.23s", "50ms", "--", "--", "40ms"], "{text}");
    }

    #[test]
    fn before_there_are_rates() {
        let text = show(Cpu::Now(&Rates::default()));
        assert!(text.lines().nth(1).unwrap().starts_with("batch/app         --"), "{text}");
    }

    #[test]
    fn what_was_used_in_all() {
        insta::assert_snapshot!(show(Cpu::Total));
    }
}
