//! Pods' directories: creation, volumes, removal, and what is left after a crash.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic and print")]

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use nacelle_infra::budget::Budget;
use nacelle_infra::network::{NamesConfig, NodeNetwork, NodeNetworkConfig, PodNetworkConfig};
use nacelle_infra::{
    HostPathKind, Infra, InfraConfig, InfraError, Medium, NodeDirs, OnExceeded, VolumeConfig, VolumeError, VolumeFile,
    VolumeSource,
};

struct Node {
    disk: tempfile::TempDir,
    dirs: NodeDirs,
    network: Arc<NodeNetwork>,
}

impl Node {
    fn new() -> Self {
        let disk = tempfile::tempdir().unwrap();
        let dirs = NodeDirs::new(disk.path().join("state"));
        fs::create_dir(disk.path().join("host")).unwrap();
        Self { disk, dirs, network: NodeNetwork::new(NodeNetworkConfig::default()).unwrap() }
    }

    /// A directory that stands for the rest of the host.
    fn host(&self) -> PathBuf {
        self.disk.path().join("host")
    }

    async fn create(&self, uid: &str, volumes: Vec<VolumeConfig>) -> Result<Infra, InfraError> {
        Infra::create(config(uid, volumes), &self.dirs, &self.network, &Budget::unlimited(), OnExceeded::new(drop))
            .await
    }

    /// Names of the pods that have a directory.
    fn pods(&self) -> Vec<String> {
        names(&self.disk.path().join("state/pods"))
    }
}

fn config(uid: &str, volumes: Vec<VolumeConfig>) -> InfraConfig {
    let names = NamesConfig { hostname: "web".into(), ..NamesConfig::default() };
    let network = PodNetworkConfig { names, ..PodNetworkConfig::default() };
    InfraConfig { uid: uid.into(), network, volumes, ..InfraConfig::default() }
}

fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn volume(name: &str, source: VolumeSource) -> VolumeConfig {
    VolumeConfig { name: name.into(), source }
}

fn secret() -> VolumeConfig {
    let files = vec![VolumeFile { path: "token".into(), mode: 0o400, bytes: b"hunter2".to_vec() }];
    volume("secret", VolumeSource::Files { files })
}

fn empty_dir(name: &str, medium: Medium) -> VolumeConfig {
    volume(name, VolumeSource::EmptyDir { medium, size_limit: None })
}

/// All files below `dir` that contain `needle`.
fn files_with(dir: &Path, needle: &[u8]) -> usize {
    let mut count = 0;
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            count += files_with(&entry.path(), needle);
        } else if kind.is_file() && fs::read(entry.path()).unwrap().windows(needle.len()).any(|part| part == needle) {
            count += 1;
        }
    }
    count
}

#[tokio::test]
async fn volumes_are_where_their_medium_says_and_go_with_the_pod() {
    let node = Node::new();
    let volumes = vec![empty_dir("disk", Medium::Disk), empty_dir("mem", Medium::Memory), secret()];
    let infra = node.create("uid-1", volumes).await.unwrap();
    let disk = node.disk.path().join("state/pods/uid-1");
    assert_eq!(names(&disk.join("volumes")), ["disk"]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&disk), mode(&disk.join("volumes/disk"))), (0o700, 0o777));
    assert_eq!(files_with(node.disk.path(), b"hunter2"), 0);
    assert!(infra.memory().used() >= 7, "what is in memory is the pod's");
    assert_eq!(infra.hostname(), "web");
    infra.remove().unwrap();
    assert_eq!(node.pods(), [""; 0]);
}

#[tokio::test]
async fn what_the_host_owns_stays_when_the_pod_goes() {
    let node = Node::new();
    let data = node.host().join("data");
    let image = node.host().join("image");
    fs::create_dir_all(&image).unwrap();
    fs::write(image.join("file"), "image").unwrap();
    let source = VolumeSource::HostPath { path: data.clone(), kind: HostPathKind::DirectoryOrCreate };
    let volumes = vec![
        volume("data", source),
        volume("image", VolumeSource::Image { root: image.clone() }),
        empty_dir("scratch", Medium::Disk),
    ];
    let infra = node.create("uid-1", volumes).await.unwrap();
    fs::write(data.join("kept"), "kept").unwrap();
    // A guest that can make links makes these.
    let scratch = node.disk.path().join("state/pods/uid-1/volumes/scratch");
    symlink(&data, scratch.join("link")).unwrap();
    symlink("../../../../../host", scratch.join("up")).unwrap();
    infra.remove().unwrap();
    assert_eq!(fs::read(data.join("kept")).unwrap(), b"kept");
    assert_eq!(fs::read(image.join("file")).unwrap(), b"image");
    assert_eq!(node.pods(), [""; 0]);
}

#[tokio::test]
async fn a_volume_that_fails_takes_everything_back() {
    let node = Node::new();
    let missing = VolumeSource::HostPath { path: node.host().join("none"), kind: HostPathKind::Directory };
    let error =
        node.create("uid-1", vec![empty_dir("a", Medium::Memory), secret(), volume("bad", missing)]).await.unwrap_err();
    let expected = format!("hostPath type check failed: {} is not a directory", node.host().join("none").display());
    assert_eq!(error.to_string(), format!("volume \"bad\": {expected}"));
    assert_eq!(node.pods(), [""; 0]);

    let twice = node.create("uid-1", vec![empty_dir("a", Medium::Disk), empty_dir("a", Medium::Disk)]).await;
    assert!(matches!(twice, Err(InfraError::Volume { source: VolumeError::Name(_), .. })));
    let image = VolumeSource::Image { root: node.host().join("none") };
    assert!(node.create("uid-1", vec![volume("image", image)]).await.is_err());
    assert_eq!(node.pods(), [""; 0]);
}

#[tokio::test]
async fn names_cannot_leave_their_directory() {
    let node = Node::new();
    for bad in ["", ".", "..", "../x", "a/b", "a\0b", ".removing-x"] {
        assert!(node.create(bad, vec![]).await.is_err(), "{bad:?}");
        assert!(node.create("uid-1", vec![empty_dir(bad, Medium::Disk)]).await.is_err(), "{bad:?}");
    }
    assert_eq!(node.pods(), [""; 0]);
}

#[tokio::test]
async fn a_uid_is_one_pods_alone() {
    let node = Node::new();
    let infra = node.create("uid-1", vec![]).await.unwrap();
    assert_eq!(node.create("uid-1", vec![]).await.unwrap_err().to_string(), "pod uid-1 is being run already");
    infra.remove().unwrap();
    node.create("uid-1", vec![]).await.unwrap().remove().unwrap();
}

#[tokio::test]
async fn a_sweep_removes_what_nobody_holds() {
    let node = Node::new();
    let alive = node.create("alive", vec![secret()]).await.unwrap();
    for uid in ["dead", "kept"] {
        let infra = node.create(uid, vec![empty_dir("a", Medium::Disk), secret()]).await.unwrap();
        // Without removal, as the kernel does for a process that was killed: its locks end, its files stay.
        drop(infra);
    }
    // A removal that was interrupted.
    fs::create_dir_all(node.disk.path().join("state/pods/.removing-old/pod/volumes")).unwrap();
    let swept = node.dirs.sweep(&BTreeSet::from(["kept".to_owned()]), &|_, _| {}).unwrap();
    assert_eq!(swept, BTreeSet::from(["dead".to_owned()]));
    assert_eq!(node.pods(), ["alive", "kept"]);
    alive.remove().unwrap();
    assert_eq!(node.dirs.sweep(&BTreeSet::new(), &|_, _| {}).unwrap(), BTreeSet::from(["kept".to_owned()]));
    assert_eq!(node.pods(), [""; 0]);
    assert!(node.dirs.sweep(&BTreeSet::new(), &|_, _| {}).unwrap().is_empty());
}

/// What the next test starts and kills; does nothing by itself.
#[test]
fn holder() {
    let Ok(dir) = std::env::var("NACELLE_TEST_HOLDER") else { return };
    let base = Path::new(&dir);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dirs = NodeDirs::new(base.join("state"));
    let network = NodeNetwork::new(NodeNetworkConfig::default()).unwrap();
    let config = config("held", vec![empty_dir("a", Medium::Disk)]);
    let infra =
        runtime.block_on(Infra::create(config, &dirs, &network, &Budget::unlimited(), OnExceeded::new(drop))).unwrap();
    fs::write(base.join("state/pods/held/volumes/a/file"), "content").unwrap();
    println!("holding");
    // Until it is killed; or until the test that started it is gone.
    let _ = std::io::read_to_string(std::io::stdin());
    infra.remove().unwrap();
}

#[tokio::test]
async fn a_process_that_is_killed_leaves_only_what_a_sweep_removes() {
    let node = Node::new();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holder", "--nocapture"])
        .env("NACELLE_TEST_HOLDER", node.disk.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("holding")));
    assert!(node.dirs.sweep(&BTreeSet::new(), &|_, _| {}).unwrap().is_empty(), "its process is alive");
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(node.dirs.sweep(&BTreeSet::new(), &|_, _| {}).unwrap(), BTreeSet::from(["held".to_owned()]));
    assert_eq!(node.pods(), [""; 0]);
}

#[tokio::test]
async fn a_pod_that_is_created_again_starts_empty() {
    let node = Node::new();
    drop(node.create("uid-1", vec![empty_dir("a", Medium::Disk)]).await.unwrap());
    let file = node.disk.path().join("state/pods/uid-1/volumes/a/file");
    fs::write(&file, "old").unwrap();
    let infra = node.create("uid-1", vec![empty_dir("a", Medium::Disk)]).await.unwrap();
    assert!(!file.exists());
    infra.remove().unwrap();
}

#[tokio::test]
async fn only_content_volumes_can_be_updated() {
    let node = Node::new();
    let infra = node.create("uid-1", vec![empty_dir("a", Medium::Disk), secret()]).await.unwrap();
    assert!(matches!(infra.update_volume("a", &[]), Err(VolumeError::NotFiles)));
    assert!(matches!(infra.update_volume("none", &[]), Err(VolumeError::Name(_))));
    let files = [VolumeFile { path: "token".into(), mode: 0o400, bytes: b"new".to_vec() }];
    assert!(infra.update_volume("secret", &files).unwrap());
    assert!(!infra.update_volume("secret", &files).unwrap());
    assert!(!format!("{files:?}").contains("110"), "content must not be shown");
    infra.remove().unwrap();
}
