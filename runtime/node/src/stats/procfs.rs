//! What /proc says of the machine, as figures. Pure: text in, figures out; what is missing is `None`.

use jiff::Timestamp;
use nacelle_infra::network::{DirectionStats, InterfaceStats};

use super::sample::{HostInterface, MachineMemory};

/// `USER_HZ`: whatever the kernel counts in, it shows hundredths of a second (proc(5)).
const NANOS_PER_TICK: u64 = 10_000_000;

/// `/proc/stat`: CPU time that was not idle, in nanoseconds.
pub(super) fn busy_nanos(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let fields: Vec<u64> = line.split_whitespace().map_while(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal; what follows is contained in user and nice.
    let busy: u64 = [0, 1, 2, 5, 6, 7].iter().filter_map(|index| fields.get(*index)).sum();
    (fields.len() >= 4).then(|| busy.saturating_mul(NANOS_PER_TICK))
}

/// `/proc/stat`: when the machine was booted.
pub(super) fn booted_at(stat: &str) -> Option<Timestamp> {
    let seconds = stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Timestamp::from_second(seconds).ok()
}

/// `/proc/meminfo` and `/proc/vmstat`.
pub(super) fn memory(meminfo: &str, vmstat: &str) -> Option<MachineMemory> {
    let bytes = |name| kib(meminfo, name)?.checked_mul(1024);
    let count = |name: &str| {
        let value = vmstat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
    };
    let total = bytes("MemTotal")?;
    let usage = total.saturating_sub(bytes("MemFree")?);
    Some(MachineMemory {
        total,
        usage,
        working_set: usage.saturating_sub(bytes("Inactive(file)").unwrap_or(0)),
        rss: bytes("AnonPages").unwrap_or(0),
        faults: (count("pgfault"), count("pgmajfault")),
    })
}

/// `/proc/net/dev`, without the loopback.
pub(super) fn interfaces(dev: &str) -> Vec<HostInterface> {
    let interface = |line: &str| {
        let (name, rest) = line.split_once(':')?;
        let fields: Vec<u64> = rest.split_whitespace().map_while(|field| field.parse().ok()).collect();
        let direction = |at: usize| {
            let [bytes, packets, errors, dropped] = *fields.get(at..at + 4)? else { return None };
            Some(DirectionStats { bytes, packets, errors, dropped })
        };
        let stats = InterfaceStats { received: direction(0)?, transmitted: direction(8)? };
        Some(HostInterface { name: name.trim().to_owned(), stats })
    };
    dev.lines().filter_map(interface).filter(|interface| interface.name != "lo").collect()
}

/// `/proc/loadavg`: processes and threads that there are.
pub(super) fn processes(loadavg: &str) -> Option<u64> {
    loadavg.split_whitespace().nth(3)?.split_once('/')?.1.parse().ok()
}

/// `/proc/self/status`: resident memory, in bytes.
pub(super) fn resident(status: &str) -> Option<u64> {
    kib(status, "VmRSS")?.checked_mul(1024)
}

/// A line such as `MemTotal:   16384 kB`.
fn kib(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_is_not_idle() {
        let stat = "cpu  100 10 50 9000 800 1 2 3 40 5\ncpu0 1 1 1 1\nbtime 1700000000\n";
        assert_eq!(busy_nanos(stat), Some(1_660_000_000));
        assert_eq!(booted_at(stat), Timestamp::from_second(1_700_000_000).ok());
        assert_eq!((busy_nanos("cpu  1 2"), booted_at("btime soon")), (None, None));
    }

    #[test]
    fn memory_as_the_root_cgroup_counts_it() {
        let meminfo =
            "MemTotal:  1000 kB\nMemFree:   400 kB\nInactive:  300 kB\nInactive(file): 100 kB\nAnonPages: 50 kB\n";
        let found = memory(meminfo, "pgfault 7\npgmajfault 2\n").unwrap();
        let kib = |kib: u64| kib * 1024;
        let expected =
            MachineMemory { total: kib(1000), usage: kib(600), working_set: kib(500), rss: kib(50), faults: (7, 2) };
        assert_eq!(found, expected);
        assert_eq!(memory("MemTotal: lots\n", ""), None);
    }

    #[test]
    fn interfaces_without_the_loopback() {
        let dev = "Inter-|   Receive  |  Transmit\n face |bytes packets\n    lo: 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1\n  \
                   eth0: 10 2 3 4 0 0 0 0 50 6 7 8 0 0 0 0\n";
        let direction = |bytes, packets, errors, dropped| DirectionStats { bytes, packets, errors, dropped };
        let stats = InterfaceStats { received: direction(10, 2, 3, 4), transmitted: direction(50, 6, 7, 8) };
        assert_eq!(interfaces(dev), [HostInterface { name: "eth0".into(), stats }]);
    }

    #[test]
    fn processes_and_what_this_one_takes() {
        assert_eq!(resident("Name:\tVmRSS: 1 kB\nVmRSS:\t  30 kB\n"), Some(30 * 1024));
        assert_eq!(processes("0.1 0.2 0.3 2/345 6789"), Some(345));
    }
}
