//! What the system gives this process: the machine's CPUs and memory, or less where a cgroup or the scheduler's affinity
//! says so.

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

/// Thousandths of a CPU per CPU.
const MILLIS: u64 = 1000;

/// What there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) cpu_millis: u64,
    /// Bytes of memory.
    pub(crate) memory_bytes: u64,
    /// Bytes that the file system of the state directory holds.
    pub(crate) storage_bytes: u64,
}

impl Machine {
    /// This one, for pods whose files are in `state_dir`. What cannot be found out is taken for one CPU, and for memory
    /// and storage without end.
    pub(crate) fn this(state_dir: &Path) -> Self {
        let root = Path::new("/");
        let quota = cpu_quota(root).unwrap_or(u64::MAX);
        let limit = memory_limit(root).unwrap_or(u64::MAX);
        Self {
            cpu_millis: usable_cpus().saturating_mul(MILLIS).min(quota),
            memory_bytes: total_memory(root).unwrap_or(u64::MAX).min(limit),
            storage_bytes: storage(state_dir).map_or(u64::MAX, |(all, _)| all),
        }
    }
}

fn usable_cpus() -> u64 {
    match rustix::thread::sched_getaffinity(None) {
        Ok(set) => u64::from(set.count()).max(1),
        // More CPUs than the set has room for.
        Err(_) => std::thread::available_parallelism().map_or(1, |cpus| u64::try_from(cpus.get()).unwrap_or(1)),
    }
}

/// Bytes that the file system of a directory holds, and those of them that are free for who is not root.
pub(crate) fn storage(dir: &Path) -> Option<(u64, u64)> {
    let found = rustix::fs::statvfs(dir).ok()?;
    Some((found.f_blocks.checked_mul(found.f_frsize)?, found.f_bavail.checked_mul(found.f_frsize)?))
}

fn total_memory(root: &Path) -> Option<u64> {
    let text = read_to_string(root.join("proc/meminfo")).ok()?;
    let kib = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    kib.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The smallest limit of the process' cgroup and those above it, in bytes.
fn memory_limit(root: &Path) -> Option<u64> {
    let read = |dir: PathBuf, file: &str| read_to_string(dir.join(file)).ok()?.trim().parse::<u64>().ok();
    // `max` is no number, and version 1 writes the largest multiple of a page that fits: neither bounds anything.
    let two = folders(root, Hierarchy::Unified).into_iter().filter_map(|dir| read(dir, "memory.max"));
    let one = folders(root, Hierarchy::Controller("memory"));
    let one = one.into_iter().filter_map(|dir| read(dir, "memory.limit_in_bytes"));
    two.chain(one).min()
}

/// The smallest quota of the process' cgroup and those above it, in thousandths of a CPU.
fn cpu_quota(root: &Path) -> Option<u64> {
    let millis = |quota: u64, period: u64| quota.saturating_mul(MILLIS).checked_div(period);
    let two = folders(root, Hierarchy::Unified).into_iter().filter_map(|dir| {
        let text = read_to_string(dir.join("cpu.max")).ok()?;
        let (quota, period) = text.trim().split_once(' ')?;
        millis(quota.parse().ok()?, period.parse().ok()?)
    });
    let one = folders(root, Hierarchy::Controller("cpu")).into_iter().filter_map(|dir| {
        // -1 is none.
        let number = |file: &str| read_to_string(dir.join(file)).ok()?.trim().parse::<u64>().ok();
        millis(number("cpu.cfs_quota_us")?, number("cpu.cfs_period_us")?)
    });
    two.chain(one).min().map(|quota| quota.max(1))
}

#[derive(Clone, Copy)]
enum Hierarchy<'a> {
    /// Version 2.
    Unified,
    /// Version 1, of one controller.
    Controller(&'a str),
}

/// The folders of the process' cgroup and of those above it, as far as they are visible here.
fn folders(root: &Path, hierarchy: Hierarchy<'_>) -> Vec<PathBuf> {
    let Ok(own) = read_to_string(root.join("proc/self/cgroup")) else { return Vec::new() };
    let found = own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let ours = match hierarchy {
            Hierarchy::Unified => controllers.is_empty(),
            Hierarchy::Controller(name) => controllers.split(',').any(|controller| controller == name),
        };
        ours.then_some((controllers, path))
    });
    let Some((controllers, path)) = found else { return Vec::new() };
    let mounts = root.join("sys/fs/cgroup");
    let tops = match hierarchy {
        Hierarchy::Unified => vec![mounts.join("unified"), mounts],
        // The folder has the name of one controller, or of all that are mounted together.
        Hierarchy::Controller(name) => vec![mounts.join(controllers), mounts.join(name)],
    };
    let relative = Path::new(path.trim_start_matches('/'));
    // A container that does not see the host's names for its cgroups has its own at the top.
    tops.iter().flat_map(|top| relative.ancestors().map(|part| top.join(part))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A system whose files are these.
    fn system(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn version_2_is_bounded_by_all_above() {
        let root = system(&[
            ("proc/self/cgroup", "0::/a/b\n"),
            ("proc/meminfo", "MemFree: 1 kB\nMemTotal:       2048 kB\n"),
            ("sys/fs/cgroup/a/memory.max", "1000\n"),
            ("sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("sys/fs/cgroup/a/cpu.max", "max 100000\n"),
            ("sys/fs/cgroup/a/b/cpu.max", "150000 100000\n"),
        ]);
        assert_eq!(memory_limit(root.path()), Some(1000));
        assert_eq!(cpu_quota(root.path()), Some(1500));
        assert_eq!(total_memory(root.path()), Some(2 << 20));
    }

    #[test]
    fn version_1_has_a_tree_for_each_controller() {
        let root = system(&[
            ("proc/self/cgroup", "5:memory:/a\n4:cpu,cpuacct:/\n0::/a\n"),
            ("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "4096\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
        ]);
        assert_eq!((memory_limit(root.path()), cpu_quota(root.path())), (Some(4096), Some(500)));
    }

    #[test]
    fn no_limit_is_none() {
        let root = system(&[
            ("proc/self/cgroup", "4:cpu:/gone\n0::/\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
            ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
        ]);
        assert_eq!((memory_limit(root.path()), cpu_quota(root.path())), (None, None));
        assert_eq!((memory_limit(Path::new("/none")), cpu_quota(Path::new("/none"))), (None, None));
    }

    #[test]
    fn a_period_of_zero_is_no_quota() {
        let root = system(&[("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/cpu.max", "100 0\n")]);
        assert_eq!(cpu_quota(root.path()), None);
    }

    #[test]
    fn this_machine_has_something() {
        let machine = Machine::this(Path::new("/"));
        assert!(machine.cpu_millis > 0 && machine.memory_bytes > 0 && machine.storage_bytes > 0, "{machine:?}");
    }
}
