//! Against directories that look like control groups, as the kernel's documentation has them.

use std::fs;

use nacelle_container::{Cpu, Resources};

use super::*;

fn v1(dir: &Path) -> Hierarchy {
    for controller in CONTROLLERS {
        fs::create_dir_all(dir.join(controller)).unwrap();
    }
    fs::write(dir.join("cpuset/cpuset.cpus"), "0-1\n").unwrap();
    fs::write(dir.join("cpuset/cpuset.mems"), "0\n").unwrap();
    Hierarchy::detect(dir).unwrap()
}

fn v2(dir: &Path) -> Hierarchy {
    for below in ["", "nacelle", "nacelle/poduid", "nacelle/poduid/app-0"] {
        fs::create_dir_all(dir.join(below)).unwrap();
        fs::write(dir.join(below).join("cgroup.controllers"), "cpuset cpu io memory pids\n").unwrap();
    }
    Hierarchy::detect(dir).unwrap()
}

fn content(dir: &Path, file: &str) -> String {
    fs::read_to_string(dir.join(file)).unwrap()
}

const CPU: Cpu = Cpu { limit_millis: Some(250), request_millis: 100 };

#[test]
fn a_machine_says_which_version_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let error = Hierarchy::detect(dir.path()).unwrap_err().to_string();
    assert!(error.contains("has no control groups"), "{error}");
    assert_eq!(v1(dir.path()).version, Version::V1);
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(v2(dir.path()).version, Version::V2);
}

#[test]
fn limits_of_version_1_are_in_a_tree_for_each_controller() {
    let dir = tempfile::tempdir().unwrap();
    let pod = v1(dir.path()).pod("uid");
    pod.create().unwrap();
    let at = |file: &str| content(dir.path(), file);
    assert_eq!(at("cpuset/nacelle/poduid/cpuset.cpus"), "0-1");
    pod.apply(&limits::pod(Version::V1, &CPU, Some(1 << 20), Some(64))).unwrap();
    assert_eq!(at("cpu/nacelle/poduid/cpu.shares"), "102");
    assert_eq!(at("cpu/nacelle/poduid/cpu.cfs_quota_us"), "25000");
    assert_eq!(at("cpu/nacelle/poduid/cpu.cfs_period_us"), "100000");
    assert_eq!(at("memory/nacelle/poduid/memory.limit_in_bytes"), "1048576");
    assert_eq!(at("memory/nacelle/poduid/memory.memsw.limit_in_bytes"), "1048576");
    assert_eq!(at("pids/nacelle/poduid/pids.max"), "64");
    let app = pod.container("app-0");
    app.create().unwrap();
    app.apply(&limits::container(Version::V1, &Resources::default())).unwrap();
    assert_eq!(at("cpu/nacelle/poduid/app-0/cpu.cfs_quota_us"), "-1");
    assert_eq!(at("cpu/nacelle/poduid/app-0/cpu.shares"), "2");
    assert_eq!(at("memory/nacelle/poduid/app-0/memory.limit_in_bytes"), "-1");
}

#[test]
fn limits_of_version_2_are_in_one_tree_with_its_controllers_delegated() {
    let dir = tempfile::tempdir().unwrap();
    let pod = v2(dir.path()).pod("uid");
    pod.create().unwrap();
    let at = |file: &str| content(dir.path(), file);
    for below in ["", "nacelle/", "nacelle/poduid/"] {
        assert_eq!(at(&format!("{below}cgroup.subtree_control")), "+pids", "the last of them");
    }
    pod.apply(&limits::pod(Version::V2, &CPU, Some(1 << 20), None)).unwrap();
    assert_eq!(at("nacelle/poduid/cpu.max"), "25000 100000");
    assert_eq!(at("nacelle/poduid/cpu.weight"), "4");
    assert_eq!(at("nacelle/poduid/memory.max"), "1048576");
    assert_eq!(at("nacelle/poduid/memory.swap.max"), "0");
    assert_eq!(at("nacelle/poduid/pids.max"), "max");
    let app = pod.container("app-0");
    app.apply(&limits::container(Version::V2, &Resources::default())).unwrap();
    assert_eq!(at("nacelle/poduid/app-0/cpu.max"), "max 100000");
    assert_eq!(at("nacelle/poduid/app-0/memory.max"), "max");
}

#[test]
fn a_limit_that_cannot_be_written_says_which() {
    let dir = tempfile::tempdir().unwrap();
    let pod = v1(dir.path()).pod("none");
    let error = pod.apply(&limits::cpu(Version::V1, &CPU)).unwrap_err().to_string();
    assert!(error.contains("cannot write 102 to") && error.contains("cpu.shares"), "{error}");
}

#[test]
fn figures_of_version_1() {
    let dir = tempfile::tempdir().unwrap();
    let pod = v1(dir.path()).pod("uid");
    pod.create().unwrap();
    for (file, content) in [
        ("cpuacct/nacelle/poduid/cpuacct.usage", "123456789\n"),
        ("cpu/nacelle/poduid/cpu.stat", "nr_periods 10\nnr_throttled 4\nthrottled_time 5000\n"),
        ("memory/nacelle/poduid/memory.usage_in_bytes", "1000\n"),
        ("memory/nacelle/poduid/memory.max_usage_in_bytes", "2000\n"),
        ("memory/nacelle/poduid/memory.stat", "cache 5\ninactive_file 1\ntotal_inactive_file 300\n"),
        ("memory/nacelle/poduid/memory.failcnt", "7\n"),
        ("memory/nacelle/poduid/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"),
        ("pids/nacelle/poduid/pids.current", "2\n"),
        ("pids/nacelle/poduid/cgroup.procs", "41\n42\n"),
    ] {
        fs::write(dir.path().join(file), content).unwrap();
    }
    let stats = pod.stats();
    assert_eq!((stats.cpu.usage_nanos, stats.cpu.periods), (123_456_789, 10));
    assert_eq!((stats.cpu.throttled_periods, stats.cpu.throttled_nanos), (4, 5000));
    assert_eq!((stats.memory.usage, stats.memory.peak, stats.memory.refused), (700, 2000, 7));
    assert_eq!((stats.processes, pod.oom_kills()), (2, 3));
    assert_eq!(pod.processes().len(), 2);
}

#[test]
fn figures_of_version_2() {
    let dir = tempfile::tempdir().unwrap();
    let pod = v2(dir.path()).pod("uid");
    for (file, content) in [
        ("cpu.stat", "usage_usec 1234\nuser_usec 1\nnr_periods 10\nnr_throttled 4\nthrottled_usec 5\n"),
        ("memory.current", "1000\n"),
        ("memory.stat", "anon 5\ninactive_file 300\n"),
        ("memory.events", "low 0\nhigh 0\nmax 7\noom 1\noom_kill 3\noom_group_kill 0\n"),
        ("pids.current", "2\n"),
        ("app-0/cgroup.procs", "41\n"),
    ] {
        fs::write(dir.path().join("nacelle/poduid").join(file), content).unwrap();
    }
    let stats = pod.stats();
    assert_eq!((stats.cpu.usage_nanos, stats.cpu.periods, stats.cpu.throttled_nanos), (1_234_000, 10, 5000));
    assert_eq!((stats.memory.usage, stats.memory.peak, stats.memory.refused), (700, 1000, 7));
    assert_eq!((stats.processes, pod.oom_kills()), (2, 3));
    assert_eq!(pod.processes().len(), 1, "what is below counts");
}

#[test]
fn a_group_that_is_not_there_has_used_nothing_and_is_removed_without_harm() {
    let dir = tempfile::tempdir().unwrap();
    for hierarchy in [v1(dir.path()), v2(tempfile::tempdir().unwrap().path())] {
        let none = hierarchy.pod("none");
        assert_eq!((none.stats(), none.oom_kills(), none.processes().len()), (Stats::default(), 0, 0));
        none.remove().unwrap();
    }
}
