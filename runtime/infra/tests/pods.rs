//! Pods' directories: creation, volumes, removal, and what is left after a crash.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use nacelle_infra::{
    HostPathKind, Infra, InfraConfig, InfraError, Medium, NodeDirs, VolumeConfig, VolumeError, VolumeFile, VolumeSource,
};

struct Node {
    disk: tempfile::TempDir,
    memory: tempfile::TempDir,
    dirs: NodeDirs,
}

impl Node {
    fn new() -> Self {
        let disk = tempfile::tempdir().unwrap();
        let memory = tempfile::tempdir_in("/dev/shm").unwrap();
        let dirs = NodeDirs::with_memory(disk.path().join("state"), vec![memory.path().to_owned()]);
        fs::create_dir(disk.path().join("host")).unwrap();
        Self { disk, memory, dirs }
    }

    /// A directory that stands for the rest of the host.
    fn host(&self) -> PathBuf {
        self.disk.path().join("host")
    }

    fn create(&self, uid: &str, volumes: Vec<VolumeConfig>) -> Result<Infra, InfraError> {
        Infra::create(InfraConfig { uid: uid.into(), hostname: "web".into(), volumes }, &self.dirs)
    }

    /// Names of the pods that have a directory, per medium.
    fn pods(&self) -> (Vec<String>, Vec<String>) {
        (names(&self.disk.path().join("state/pods")), names(&self.memory.path().join("pods")))
    }
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
    volume("secret", VolumeSource::Files { files, medium: Medium::Memory })
}

fn empty_dir(name: &str, medium: Medium) -> VolumeConfig {
    volume(name, VolumeSource::EmptyDir { medium })
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

#[test]
fn volumes_are_where_their_medium_says_and_go_with_the_pod() {
    let node = Node::new();
    let volumes = vec![empty_dir("disk", Medium::Disk), empty_dir("mem", Medium::Memory), secret()];
    let infra = node.create("uid-1", volumes).unwrap();
    let disk = node.disk.path().join("state/pods/uid-1");
    let memory = node.memory.path().join("pods/uid-1");
    assert_eq!(names(&disk.join("volumes")), ["disk"]);
    assert_eq!(names(&memory.join("volumes")), ["mem", "secret"]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode(&disk), mode(&memory)), (0o700, 0o700));
    assert_eq!(mode(&disk.join("volumes/disk")), 0o777);
    assert_eq!(files_with(node.disk.path(), b"hunter2"), 0);
    assert_eq!(files_with(node.memory.path(), b"hunter2"), 1);
    assert_eq!(infra.hostname(), "web");
    infra.remove().unwrap();
    assert_eq!(node.pods(), (vec![], vec![]));
}

#[test]
fn what_the_host_owns_stays_when_the_pod_goes() {
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
    let infra = node.create("uid-1", volumes).unwrap();
    fs::write(data.join("kept"), "kept").unwrap();
    // A guest that can make links makes these.
    let scratch = node.disk.path().join("state/pods/uid-1/volumes/scratch");
    symlink(&data, scratch.join("link")).unwrap();
    symlink("../../../../../host", scratch.join("up")).unwrap();
    infra.remove().unwrap();
    assert_eq!(fs::read(data.join("kept")).unwrap(), b"kept");
    assert_eq!(fs::read(image.join("file")).unwrap(), b"image");
    assert_eq!(node.pods(), (vec![], vec![]));
}

#[test]
fn a_volume_that_fails_takes_everything_back() {
    let node = Node::new();
    let missing = VolumeSource::HostPath { path: node.host().join("none"), kind: HostPathKind::Directory };
    let error =
        node.create("uid-1", vec![empty_dir("a", Medium::Memory), secret(), volume("bad", missing)]).unwrap_err();
    let expected = format!("hostPath type check failed: {} is not a directory", node.host().join("none").display());
    assert_eq!(error.to_string(), format!("volume \"bad\": {expected}"));
    assert_eq!(node.pods(), (vec![], vec![]));

    let twice = node.create("uid-1", vec![empty_dir("a", Medium::Disk), empty_dir("a", Medium::Disk)]);
    assert!(matches!(twice, Err(InfraError::Volume { source: VolumeError::Name(_), .. })));
    let image = VolumeSource::Image { root: node.host().join("none") };
    assert!(node.create("uid-1", vec![volume("image", image)]).is_err());
    assert_eq!(node.pods(), (vec![], vec![]));
}

#[test]
fn secrets_need_memory_and_the_error_says_where_it_was_looked_for() {
    let node = Node::new();
    let on_disk = tempfile::tempdir_in("/var/tmp").unwrap();
    let dirs = NodeDirs::with_memory(node.disk.path().join("state"), vec![on_disk.path().join("run")]);
    let config = InfraConfig { uid: "uid-1".into(), hostname: "web".into(), volumes: vec![secret()] };
    let error = Infra::create(config, &dirs).unwrap_err().to_string();
    assert!(error.contains(&format!("{} (not on a tmpfs)", on_disk.path().join("run").display())), "{error}");
    assert_eq!(files_with(node.disk.path(), b"hunter2") + files_with(on_disk.path(), b"hunter2"), 0);
}

#[test]
fn names_cannot_leave_their_directory() {
    let node = Node::new();
    for bad in ["", ".", "..", "../x", "a/b", "a\0b", ".removing-x"] {
        assert!(node.create(bad, vec![]).is_err(), "{bad:?}");
        assert!(node.create("uid-1", vec![empty_dir(bad, Medium::Disk)]).is_err(), "{bad:?}");
    }
    assert_eq!(node.pods(), (vec![], vec![]));
}

#[test]
fn a_uid_is_one_pods_alone() {
    let node = Node::new();
    let infra = node.create("uid-1", vec![]).unwrap();
    assert_eq!(node.create("uid-1", vec![]).unwrap_err().to_string(), "pod uid-1 is being run already");
    infra.remove().unwrap();
    node.create("uid-1", vec![]).unwrap().remove().unwrap();
}

#[test]
fn a_sweep_removes_what_nobody_holds() {
    let node = Node::new();
    let alive = node.create("alive", vec![secret()]).unwrap();
    for uid in ["dead", "kept"] {
        let infra = node.create(uid, vec![empty_dir("a", Medium::Disk), secret()]).unwrap();
        // Without removal, as the kernel does for a process that was killed: its locks end, its files stay.
        drop(infra);
    }
    // A removal that was interrupted.
    fs::create_dir_all(node.disk.path().join("state/pods/.removing-old/pod/volumes")).unwrap();
    let swept = node.dirs.sweep(&BTreeSet::from(["kept".to_owned()])).unwrap();
    assert_eq!(swept, BTreeSet::from(["dead".to_owned()]));
    let left = vec!["alive".to_owned(), "kept".to_owned()];
    assert_eq!(node.pods(), (left.clone(), left));
    alive.remove().unwrap();
    assert_eq!(node.dirs.sweep(&BTreeSet::new()).unwrap(), BTreeSet::from(["kept".to_owned()]));
    assert_eq!(node.pods(), (vec![], vec![]));
    assert!(node.dirs.sweep(&BTreeSet::new()).unwrap().is_empty());
}

#[test]
fn a_pod_that_is_created_again_starts_empty() {
    let node = Node::new();
    drop(node.create("uid-1", vec![empty_dir("a", Medium::Disk)]).unwrap());
    let file = node.disk.path().join("state/pods/uid-1/volumes/a/file");
    fs::write(&file, "old").unwrap();
    let infra = node.create("uid-1", vec![empty_dir("a", Medium::Disk)]).unwrap();
    assert!(!file.exists());
    infra.remove().unwrap();
}

#[test]
fn only_content_volumes_can_be_updated() {
    let node = Node::new();
    let infra = node.create("uid-1", vec![empty_dir("a", Medium::Disk), secret()]).unwrap();
    assert!(matches!(infra.update_volume("a", &[]), Err(VolumeError::NotFiles)));
    assert!(matches!(infra.update_volume("none", &[]), Err(VolumeError::Name(_))));
    let files = [VolumeFile { path: "token".into(), mode: 0o400, bytes: b"new".to_vec() }];
    assert!(infra.update_volume("secret", &files).unwrap());
    assert!(!infra.update_volume("secret", &files).unwrap());
    let token = node.memory.path().join("pods/uid-1/volumes/secret/token");
    assert_eq!(fs::read(token).unwrap(), b"new");
    assert!(!format!("{files:?}").contains("110"), "content must not be shown");
    infra.remove().unwrap();
}
