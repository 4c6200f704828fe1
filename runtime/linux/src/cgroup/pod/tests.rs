//! Against directories that look like control groups.

use std::fs;
use std::path::Path;

use nacelle_container::Cpu;

use super::super::Hierarchy;
use super::*;

/// A pod with two containers of this version, whose groups are in `dir`.
fn pod(dir: &Path, version: Version, limits: PodLimits) -> PodGroup {
    let trees: &[&str] = match version {
        Version::V1 => &["memory/", "cpu/", "pids/"],
        Version::V2 => &[""],
    };
    for tree in trees {
        for group in ["", "/app-0", "/sidecar-0"] {
            fs::create_dir_all(dir.join(format!("{tree}nacelle/poduid{group}"))).unwrap();
        }
    }
    if version == Version::V2 {
        fs::write(dir.join("cgroup.controllers"), "cpu memory pids\n").unwrap();
    }
    let pod = PodGroup::new(Hierarchy::detect(dir).unwrap().pod("uid"));
    assert_eq!(pod.group.version(), version);
    pod.limits_or(limits);
    pod.is_made(limits).unwrap();
    pod.add("app-0", Resources { cpu: cpu(400), memory: Some(1 << 20), ..Resources::default() });
    pod.add("sidecar-0", Resources::default());
    pod
}

fn cpu(limit: u64) -> Cpu {
    Cpu { limit_millis: Some(limit), request_millis: 100 }
}

fn limits(cpu_limit: u64, memory: u64) -> PodLimits {
    PodLimits { cpu: cpu(cpu_limit), memory: Some(memory), memory_elsewhere: 0 }
}

/// What a file of a group has; `None` where nothing was written.
fn at(dir: &Path, file: &str) -> Option<String> {
    fs::read_to_string(dir.join(file)).ok()
}

#[test]
fn a_pod_of_version_1_gets_other_limits_and_its_containers_stay_within() {
    let dir = tempfile::tempdir().unwrap();
    let pod = pod(dir.path(), Version::V1, limits(500, 4 << 20));
    let at = |file: &str| at(dir.path(), file);
    pod.update(&limits(200, 2 << 20)).unwrap();
    assert_eq!(at("memory/nacelle/poduid/memory.limit_in_bytes").unwrap(), "2097152");
    assert_eq!(at("memory/nacelle/poduid/memory.memsw.limit_in_bytes").unwrap(), "2097152");
    assert_eq!(at("cpu/nacelle/poduid/cpu.cfs_quota_us").unwrap(), "20000");
    assert_eq!(at("cpu/nacelle/poduid/app-0/cpu.cfs_quota_us").unwrap(), "20000", "its own is 40000");
    assert_eq!(at("cpu/nacelle/poduid/sidecar-0/cpu.cfs_quota_us"), None, "it has none");
    // A container's own limit counts again once the pod's is above it, and is never above the pod's.
    pod.update(&limits(300, 2 << 20)).unwrap();
    assert_eq!(at("cpu/nacelle/poduid/app-0/cpu.cfs_quota_us").unwrap(), "30000");
    let more = Resources { cpu: cpu(600), memory: Some(2 << 20), ..Resources::default() };
    pod.update_container("app-0", &more).unwrap();
    assert_eq!(at("cpu/nacelle/poduid/app-0/cpu.cfs_quota_us").unwrap(), "30000");
    assert_eq!(at("memory/nacelle/poduid/app-0/memory.limit_in_bytes").unwrap(), "2097152");
    pod.update(&PodLimits::default()).unwrap();
    assert_eq!(at("cpu/nacelle/poduid/cpu.cfs_quota_us").unwrap(), "-1");
    assert_eq!(at("cpu/nacelle/poduid/app-0/cpu.cfs_quota_us").unwrap(), "60000");
    assert_eq!(at("memory/nacelle/poduid/memory.limit_in_bytes").unwrap(), "-1");
}

#[test]
fn a_pod_of_version_2_gets_other_limits() {
    let dir = tempfile::tempdir().unwrap();
    let pod = pod(dir.path(), Version::V2, limits(500, 4 << 20));
    let at = |file: &str| at(dir.path(), file);
    pod.update(&limits(200, 2 << 20)).unwrap();
    assert_eq!(at("nacelle/poduid/memory.max").unwrap(), "2097152");
    assert_eq!(at("nacelle/poduid/memory.swap.max").unwrap(), "0");
    assert_eq!(at("nacelle/poduid/cpu.max").unwrap(), "20000 100000");
    assert_eq!(at("nacelle/poduid/app-0/cpu.max").unwrap(), "20000 100000");
    pod.update(&PodLimits { memory: None, ..limits(200, 0) }).unwrap();
    assert_eq!(at("nacelle/poduid/memory.max").unwrap(), "max");
}

#[test]
fn memory_in_use_is_not_cut_off() {
    for (version, usage) in
        [(Version::V1, "memory/nacelle/poduid/memory.usage_in_bytes"), (Version::V2, "nacelle/poduid/memory.current")]
    {
        let dir = tempfile::tempdir().unwrap();
        let pod = pod(dir.path(), version, limits(500, 4 << 20));
        fs::write(dir.path().join(usage), "3145728\n").unwrap();
        let refused = pod.update(&limits(200, 2 << 20));
        assert_eq!(refused, Err(UpdateError::MemoryInUse { limit: 2 << 20, used: 3 << 20 }));
        assert_eq!(pod.memory_limits("app-0"), MemoryLimits { container: Some(1 << 20), pod: Some(4 << 20) });
        pod.update(&limits(200, 3 << 20)).unwrap();
        assert_eq!(pod.memory_limits("app-0").pod, Some(3 << 20), "what an end is put down to");
    }
}

#[test]
fn what_others_of_the_pod_hold_is_taken_off_but_not_what_is_in_use() {
    for (version, usage, limit) in [
        (Version::V1, "memory/nacelle/poduid/memory.usage_in_bytes", "memory/nacelle/poduid/memory.limit_in_bytes"),
        (Version::V2, "nacelle/poduid/memory.current", "nacelle/poduid/memory.max"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let pod = pod(dir.path(), version, limits(500, 4 << 20));
        fs::write(dir.path().join(usage), "2097152\n").unwrap();
        let with = |memory_elsewhere| {
            pod.update(&PodLimits { memory_elsewhere, ..limits(500, 4 << 20) }).unwrap();
            at(dir.path(), limit).unwrap()
        };
        assert_eq!(with(1 << 20), "3145728");
        assert_eq!(with(3 << 20), "2097152");
        assert_eq!(with(9 << 20), "2097152");
        assert_eq!(with(0), "4194304");
        assert_eq!(pod.memory_limits("app-0").pod, Some(4 << 20), "it is the pod's that is used up");
        let quota = ["cpu/nacelle/poduid/cpu.cfs_quota_us", "nacelle/poduid/cpu.max"].map(|file| at(dir.path(), file));
        assert_eq!(quota, [None, None], "nothing of it has changed");
    }
}

#[test]
fn what_fails_is_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let pod = pod(dir.path(), Version::V1, limits(500, 4 << 20));
    fs::create_dir(dir.path().join("memory/nacelle/poduid/memory.limit_in_bytes")).unwrap();
    let error = pod.update(&limits(200, 2 << 20)).unwrap_err().to_string();
    assert!(error.contains("cannot write 2097152 to"), "{error}");
    let at = |file: &str| at(dir.path(), file);
    assert_eq!(at("cpu/nacelle/poduid/cpu.cfs_quota_us").unwrap(), "50000");
    assert_eq!(at("cpu/nacelle/poduid/app-0/cpu.cfs_quota_us").unwrap(), "40000");
    assert_eq!(pod.limits_or(PodLimits::default()), limits(500, 4 << 20));
}

#[test]
fn what_is_wanted_before_the_group_is_there_is_written_then() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("nacelle/poduid")).unwrap();
    fs::write(dir.path().join("cgroup.controllers"), "cpu memory pids\n").unwrap();
    let pod = PodGroup::new(Hierarchy::detect(dir.path()).unwrap().pod("uid"));
    let told = pod.limits_or(limits(500, 4 << 20));
    pod.update(&limits(200, 2 << 20)).unwrap();
    assert_eq!(at(dir.path(), "nacelle/poduid/memory.max"), None);
    pod.is_made(told).unwrap();
    assert_eq!(at(dir.path(), "nacelle/poduid/memory.max").unwrap(), "2097152");
}

#[test]
fn without_groups_a_limit_is_refused_once_there_is_somebody_to_hold_to_it() {
    let pod = PodGroup::new(Hierarchy::unusable(Path::new("/none")).pod("uid"));
    pod.update(&limits(200, 2 << 20)).unwrap();
    pod.add("app-0", Resources::default());
    assert!(matches!(pod.update(&limits(300, 2 << 20)), Err(UpdateError::Unsupported(_))));
    pod.update(&PodLimits::default()).unwrap();
}
