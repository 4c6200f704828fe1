//! What a pod's files and memory take, as figures.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use nacelle_infra::budget::Budget;
use nacelle_infra::fs::OpenHow;
use nacelle_infra::network::{NamesConfig, NodeNetwork, NodeNetworkConfig, PodNetworkConfig};
use nacelle_infra::stats::{FileSpace, FileUsage, VolumeStats};
use nacelle_infra::{
    FsConfig, Incarnation, Infra, InfraConfig, Medium, MountConfig, NodeDirs, OnExceeded, Propagation, VolumeConfig,
    VolumeFile, VolumeSource,
};

const KIB: u64 = 1024;

async fn infra(state: &std::path::Path) -> Infra {
    let volume = |name: &str, source| VolumeConfig { name: name.into(), source };
    let files = vec![VolumeFile { path: "key".into(), mode: 0o400, bytes: b"12345".to_vec() }];
    let volumes = vec![
        volume("scratch", VolumeSource::EmptyDir { medium: Medium::Disk, size_limit: None }),
        volume("small", VolumeSource::EmptyDir { medium: Medium::Memory, size_limit: Some(64 * KIB) }),
        volume("secret", VolumeSource::Files { files }),
        volume("host", VolumeSource::HostPath { path: state.to_owned(), kind: Default::default() }),
    ];
    let names = NamesConfig { hostname: "web".into(), ..NamesConfig::default() };
    let network = PodNetworkConfig { names, ..PodNetworkConfig::default() };
    let config = InfraConfig { uid: "uid".into(), network, volumes, memory_limit: Some(1 << 20), ..Default::default() };
    let node = NodeNetwork::new(NodeNetworkConfig::default()).unwrap();
    Infra::create(config, &NodeDirs::new(state.join("state")), &node, &Budget::unlimited(), OnExceeded::new(drop))
        .await
        .unwrap()
}

fn container(infra: &Infra) -> Incarnation {
    let mount = |volume: &str| MountConfig {
        volume: volume.into(),
        path: format!("/{volume}"),
        sub_path: None,
        read_only: false,
        recursive_read_only: false,
        propagation: Propagation::Private,
    };
    let config = FsConfig {
        container: "app".into(),
        attempt: 0,
        image: None,
        read_only_root: false,
        working_dir: "/".into(),
        mounts: vec![mount("scratch"), mount("small")],
        termination_log: None,
        ephemeral_storage_limit: None,
    };
    infra.container(&config).unwrap()
}

fn write(container: &Incarnation, path: &str, bytes: u64) {
    let how = OpenHow { create: true, write: true, ..OpenHow::default() };
    let file = container.files.open(path, how).unwrap();
    assert_eq!(file.write_at(0, &vec![1; usize::try_from(bytes).unwrap()]).unwrap() as u64, bytes);
}

#[tokio::test]
async fn each_volume_has_its_figures() {
    // Blocks are allocated at once there, one per page.
    let temp = tempfile::tempdir_in("/dev/shm").unwrap();
    let infra = infra(temp.path()).await;
    let app = container(&infra);
    let before = app.files.usage().inodes;
    write(&app, "/scratch/file", 8 * KIB);
    write(&app, "/small/file", 8 * KIB);
    write(&app, "/root", 12 * KIB);
    let stats = infra.stats();
    let space = stats.space.unwrap();
    assert!(space.capacity >= space.available && space.available > 0 && space.inodes >= space.inodes_free);
    let [scratch, small, secret] = stats.volumes.as_slice() else { panic!("{:?}", stats.volumes) };
    assert_eq!((scratch.name.as_str(), scratch.used.inodes, scratch.in_memory), ("scratch", 1, false));
    assert_eq!(scratch.used.bytes, stats.storage.empty_dirs["scratch"]);
    assert!(scratch.used.bytes >= 8 * KIB && scratch.space.is_some());
    let in_memory = FileSpace { capacity: 64 * KIB, available: 56 * KIB, inodes: 1 << 20, inodes_free: (1 << 20) - 1 };
    let expected = VolumeStats {
        name: "small".into(),
        used: FileUsage { bytes: 8 * KIB, inodes: 1 },
        space: Some(in_memory),
        in_memory: true,
    };
    assert_eq!(small, &expected);
    // The file, the directory of its version, and the links `..data` and `key`.
    assert_eq!(secret.used, FileUsage { bytes: 5, inodes: 4 });
    assert_eq!(app.files.usage().inodes, before + 1);
    assert_eq!(stats.storage.containers["app"].root, 12 * KIB);
    assert_eq!(stats.memory.limit, Some(1 << 20));
    assert!(stats.memory.usage >= 8 * KIB);
    assert_eq!(stats.network, infra.network().stats());
}
