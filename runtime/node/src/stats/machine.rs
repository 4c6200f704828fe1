//! Looks at the machine. Blocks on file I/O; what cannot be read is left out.

use std::path::Path;

use nacelle_infra::stats::FileSpace;

use super::procfs;
use super::sample::{MachineSample, ProcessSample};

/// The machine now. `state`: the node's directory; `images`: where its images lie.
pub(super) fn look(state: &Path, images: &Path) -> MachineSample {
    let read = |path: &str| {
        std::fs::read_to_string(path)
            .inspect_err(|error| tracing::debug!(path, %error, "cannot be read"))
            .unwrap_or_default()
    };
    let stat = read("/proc/stat");
    let most = read("/proc/sys/kernel/pid_max").trim().parse().ok();
    MachineSample {
        cores: std::thread::available_parallelism().map_or(1, |cores| u64::try_from(cores.get()).unwrap_or(1)),
        booted_at: procfs::booted_at(&stat),
        cpu_nanos: procfs::busy_nanos(&stat),
        memory: procfs::memory(&read("/proc/meminfo"), &read("/proc/vmstat")),
        interfaces: procfs::interfaces(&read("/proc/net/dev")),
        processes: procfs::processes(&read("/proc/loadavg")).zip(most),
        state_space: FileSpace::of(state).ok(),
        image_space: FileSpace::of(images).ok(),
        process: procfs::resident(&read("/proc/self/status"))
            .map(|rss| ProcessSample { cpu_nanos: process_nanos(), rss }),
    }
}

/// CPU time of this process.
fn process_nanos() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(time.tv_sec).saturating_mul(1_000_000_000).saturating_add(part(time.tv_nsec))
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_machine_tells_all_of_it() {
        let temp = tempfile::tempdir().unwrap();
        let machine = super::look(temp.path(), temp.path());
        assert!(machine.cores >= 1 && machine.booted_at.is_some() && machine.cpu_nanos.is_some());
        assert!(machine.memory.unwrap().total > machine.memory.unwrap().working_set);
        assert!(machine.process.unwrap().rss > 0 && machine.state_space.is_some());
    }
}
