//! What Linux containers mount: the same volumes as wasm containers have.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nacelle_infra::budget::Budget;
use nacelle_infra::fs::OpenHow;
use nacelle_infra::network::{NodeNetwork, NodeNetworkConfig};
use nacelle_infra::{
    FsConfig, HostMount, Incarnation, Infra, InfraConfig, Medium, MountConfig, NodeDirs, OnExceeded, Propagation,
    VolumeConfig, VolumeFile, VolumeSource,
};

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        assert!(std::env::var_os("NACELLE_TEST_REQUIRE_ALL").is_none(), "this test needs root");
        eprintln!("SKIPPED: mounting takes root");
    }
    root
}

fn file(path: &str, content: &str) -> VolumeFile {
    VolumeFile { path: path.into(), mode: 0o644, bytes: content.into() }
}

fn volume(name: &str, source: VolumeSource) -> VolumeConfig {
    VolumeConfig { name: name.into(), source }
}

fn mount(volume: &str, path: &str, sub_path: Option<&str>) -> MountConfig {
    MountConfig {
        volume: volume.into(),
        path: path.into(),
        sub_path: sub_path.map(str::to_owned),
        read_only: false,
        recursive_read_only: false,
        propagation: Propagation::Private,
    }
}

fn container(name: &str, mounts: Vec<MountConfig>) -> FsConfig {
    FsConfig {
        container: name.into(),
        attempt: 0,
        image: None,
        read_only_root: false,
        working_dir: "/".into(),
        mounts,
        termination_log: Some("/dev/termination-log".into()),
        ephemeral_storage_limit: None,
    }
}

struct Pod {
    dir: tempfile::TempDir,
    infra: Infra,
}

impl Pod {
    async fn create(dir: tempfile::TempDir) -> Self {
        let network = NodeNetwork::new(NodeNetworkConfig::default()).unwrap();
        let config = InfraConfig {
            uid: "pod".into(),
            volumes: vec![
                volume("disk", VolumeSource::EmptyDir { medium: Medium::Disk, size_limit: None }),
                volume("memory", VolumeSource::EmptyDir { medium: Medium::Tmpfs, size_limit: Some(1 << 20) }),
                volume("inside", VolumeSource::EmptyDir { medium: Medium::Memory, size_limit: None }),
                volume("config", VolumeSource::Files { files: vec![file("app.yaml", "old"), file("d/x", "1")] }),
            ],
            ..InfraConfig::default()
        };
        let infra =
            Infra::create(config, &dirs(&dir), &network, &Budget::unlimited(), OnExceeded::new(drop)).await.unwrap();
        Self { dir, infra }
    }

    fn container(&self, config: &FsConfig) -> (Incarnation, Vec<HostMount>) {
        let own = self.infra.container(config).unwrap();
        let mounts = self.infra.host_mounts(config, &own).unwrap();
        (own, mounts)
    }
}

fn dirs(dir: &tempfile::TempDir) -> NodeDirs {
    NodeDirs::new(dir.path().join("state"))
}

fn source(mounts: &[HostMount], target: &str) -> PathBuf {
    mounts.iter().find(|mount| mount.target == target).unwrap().source.clone()
}

fn mounted_below(dir: &Path) -> usize {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    table.lines().filter(|line| line.split(' ').nth(4).is_some_and(|point| Path::new(point).starts_with(dir))).count()
}

#[tokio::test]
async fn volumes_are_the_same_for_both_kinds_of_containers() {
    if !is_root() {
        return;
    }
    let pod = Pod::create(tempfile::tempdir().unwrap()).await;
    let config = container(
        "linux",
        vec![mount("disk", "/disk", None), mount("memory", "/memory", Some("part")), mount("config", "/config", None)],
    );
    let (own, mounts) = pod.container(&config);
    let targets: Vec<_> = mounts.iter().map(|mount| mount.target.as_str()).collect();
    assert_eq!(
        targets,
        ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/dev/termination-log", "/config", "/disk", "/memory"]
    );
    // What a wasm container writes is there, and the other way round.
    let part = mounts.iter().find(|mount| mount.target == "/memory").unwrap();
    assert_eq!(part.sub_path.as_deref(), Some("part"));
    let how = OpenHow { create: true, write: true, read: true, ..OpenHow::default() };
    own.files.root().open_at("memory/from-wasm", how).unwrap().append(b"hello").unwrap();
    assert_eq!(std::fs::read(part.source.join("part/from-wasm")).unwrap(), b"hello");
    std::fs::write(source(&mounts, "/disk").join("from-linux"), "hello").unwrap();
    own.files.root().open_at("disk/from-linux", OpenHow { read: true, ..OpenHow::default() }).unwrap();
    // The size holds, whoever writes.
    let full = std::fs::write(part.source.join("large"), vec![1; 2 << 20]).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(std::fs::metadata(&part.source).unwrap().mode() & 0o7777, 0o777);

    // Content, and its updates.
    let content = mounts.iter().find(|mount| mount.target == "/config").unwrap();
    assert!(content.read_only);
    assert_eq!(std::fs::read_to_string(content.source.join("app.yaml")).unwrap(), "old");
    assert_eq!(std::fs::read_to_string(content.source.join("d/x")).unwrap(), "1");
    assert!(pod.infra.update_volume("config", &[file("app.yaml", "new")]).unwrap());
    assert_eq!(std::fs::read_to_string(content.source.join("app.yaml")).unwrap(), "new");
    assert!(!content.source.join("d").exists());

    // A second container has the same places.
    let (second, more) = pod.container(&container("second", vec![mount("config", "/c", None)]));
    assert_eq!(source(&more, "/c"), content.source);
    assert_ne!(source(&more, "/etc/hosts"), source(&mounts, "/etc/hosts"), "managed files are each one's own");

    let refused = pod.infra.container(&container("third", vec![mount("inside", "/m", None)])).unwrap();
    let config = container("third", vec![mount("inside", "/m", None)]);
    let error = pod.infra.host_mounts(&config, &refused).unwrap_err();
    assert!(error.to_string().contains("in the memory of this process"), "{error}");

    drop((own, second, refused));
    let path = pod.dir.path().to_owned();
    assert_eq!(mounted_below(&path), 2);
    pod.infra.remove().unwrap();
    assert_eq!(mounted_below(&path), 0);
}

#[tokio::test]
async fn mounts_that_a_killed_process_left_go_with_the_pod() {
    if !is_root() {
        return;
    }
    let pod = Pod::create(tempfile::tempdir().unwrap()).await;
    let _ = pod.container(&container("linux", vec![mount("config", "/config", None)]));
    let Pod { dir, infra } = pod;
    // A kill gives the lock back, and nothing else.
    drop(infra);
    assert_eq!(mounted_below(dir.path()), 2);
    let swept = dirs(&dir).sweep(&Default::default(), &|_, _| {}).unwrap();
    assert_eq!(swept.len(), 1);
    assert_eq!(mounted_below(dir.path()), 0);
    // The same uid again, without a sweep before.
    let pod = Pod::create(dir).await;
    let Pod { dir, infra } = pod;
    drop(infra);
    let pod = Pod::create(dir).await;
    pod.infra.remove().unwrap();
    assert_eq!(mounted_below(pod.dir.path()), 0);
}
