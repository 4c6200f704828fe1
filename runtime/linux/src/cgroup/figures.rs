//! What the files of control groups say. No I/O: they come through a function that reads one.

use nacelle_container::stats::{CpuStats, MemoryStats, Stats};

use super::Version;

/// A file of a group by controller and name; `None` when it cannot be read.
type Read<'a> = &'a dyn Fn(&str, &str) -> Option<String>;

/// What a group has used so far. What its kernel does not count is 0.
pub(crate) fn stats(version: Version, read: Read<'_>) -> Stats {
    match version {
        Version::V1 => v1(read),
        Version::V2 => v2(read),
    }
}

fn v1(read: Read<'_>) -> Stats {
    let cpu_stat = read("cpu", "cpu.stat").unwrap_or_default();
    let memory_stat = read("memory", "memory.stat").unwrap_or_default();
    let usage = number(read("memory", "memory.usage_in_bytes"));
    Stats {
        cpu: CpuStats {
            usage_nanos: number(read("cpuacct", "cpuacct.usage")),
            periods: keyed(&cpu_stat, "nr_periods").unwrap_or(0),
            throttled_periods: keyed(&cpu_stat, "nr_throttled").unwrap_or(0),
            throttled_nanos: keyed(&cpu_stat, "throttled_time").unwrap_or(0),
        },
        memory: MemoryStats {
            usage: working_set(usage, keyed(&memory_stat, "total_inactive_file")),
            peak: number(read("memory", "memory.max_usage_in_bytes")),
            refused: number(read("memory", "memory.failcnt")),
            ..MemoryStats::default()
        },
        fuel: None,
        processes: small(number(read("pids", "pids.current"))),
    }
}

fn v2(read: Read<'_>) -> Stats {
    let cpu_stat = read("cpu", "cpu.stat").unwrap_or_default();
    let memory_stat = read("memory", "memory.stat").unwrap_or_default();
    let events = read("memory", "memory.events").unwrap_or_default();
    let micros = |name| keyed(&cpu_stat, name).unwrap_or(0).saturating_mul(1000);
    let usage = number(read("memory", "memory.current"));
    Stats {
        cpu: CpuStats {
            usage_nanos: micros("usage_usec"),
            periods: keyed(&cpu_stat, "nr_periods").unwrap_or(0),
            throttled_periods: keyed(&cpu_stat, "nr_throttled").unwrap_or(0),
            throttled_nanos: micros("throttled_usec"),
        },
        memory: MemoryStats {
            usage: working_set(usage, keyed(&memory_stat, "inactive_file")),
            // Linux 5.19 and newer.
            peak: read("memory", "memory.peak").map_or(usage, |peak| number(Some(peak))),
            refused: keyed(&events, "max").unwrap_or(0),
            ..MemoryStats::default()
        },
        fuel: None,
        processes: small(number(read("pids", "pids.current"))),
    }
}

/// Kubernetes' working set: files that nobody has used for a while do not count, because they go first.
fn working_set(usage: u64, inactive_file: Option<u64>) -> u64 {
    usage.saturating_sub(inactive_file.unwrap_or(0))
}

fn number(content: Option<String>) -> u64 {
    content.and_then(|content| content.trim().parse().ok()).unwrap_or(0)
}

fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The number behind `name` in a file of lines such as `oom_kill 1`.
pub(crate) fn keyed(content: &str, name: &str) -> Option<u64> {
    content.lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        if key == name { value.trim().parse().ok() } else { None }
    })
}
