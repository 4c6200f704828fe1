//! What one container sees: its root, mounts, managed files; what it may use; and attempts to get out.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use nacelle_infra::budget::Budget;
use nacelle_infra::fs::{Errno, FileKind, MountNamespace, OpenHow};
use nacelle_infra::network::{NamesConfig, NodeNetwork, NodeNetworkConfig, PodNetworkConfig};
use nacelle_infra::{
    FsConfig, FsError, HostPathKind, Incarnation, Infra, InfraConfig, Medium, MountConfig, MountError, NodeDirs,
    OnExceeded, Propagation, StorageExceeded, VolumeConfig, VolumeFile, VolumeSource,
};

/// A pod with one volume of each kind, and a host around it.
struct Pod {
    temp: tempfile::TempDir,
    infra: Infra,
    /// Limits that were passed.
    told: Arc<Mutex<Vec<StorageExceeded>>>,
}

impl Pod {
    async fn new() -> Self {
        Self::with(InfraConfig::default()).await
    }

    async fn with(config: InfraConfig) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let host = temp.path().join("host");
        let image = temp.path().join("image");
        fs::create_dir_all(host.join("dir")).unwrap();
        fs::write(host.join("file"), "host").unwrap();
        fs::create_dir_all(image.join("app")).unwrap();
        fs::write(image.join("app/main.wasm"), "\0asm").unwrap();
        // What a hostile image has: mount points that are links out of it.
        symlink("/host-etc", image.join("etc")).unwrap();
        symlink(&host, image.join("out")).unwrap();
        symlink("../../..", image.join("app/up")).unwrap();
        let file = |path: &str| VolumeFile { path: path.into(), mode: 0o640, bytes: path.into() };
        let volume = |name: &str, source| VolumeConfig { name: name.into(), source };
        let empty = |medium, size_limit| VolumeSource::EmptyDir { medium, size_limit };
        let volumes = vec![
            volume("data", empty(Medium::Disk, Some(1 << 20))),
            volume("mem", empty(Medium::Memory, Some(64 << 10))),
            volume("large", empty(Medium::Memory, None)),
            volume("config", VolumeSource::Files { files: vec![file("a"), file("sub/b")] }),
            volume("host", VolumeSource::HostPath { path: host.clone(), kind: HostPathKind::Directory }),
            volume("file", VolumeSource::HostPath { path: host.join("file"), kind: HostPathKind::File }),
            volume("null", VolumeSource::HostPath { path: "/dev/null".into(), kind: HostPathKind::CharDevice }),
            volume("image", VolumeSource::Image { root: image.clone() }),
        ];
        let names = NamesConfig { hostname: "web".into(), ..NamesConfig::default() };
        let network = PodNetworkConfig { names, ..PodNetworkConfig::default() };
        let config = InfraConfig { uid: "uid".into(), network, volumes, ..config };
        let dirs = NodeDirs::new(temp.path().join("state"));
        let node = NodeNetwork::new(NodeNetworkConfig::default()).unwrap();
        let told: Arc<Mutex<Vec<StorageExceeded>>> = Arc::default();
        let note = Arc::clone(&told);
        let exceeded = OnExceeded::new(move |exceeded| note.lock().unwrap().push(exceeded));
        let infra = Infra::create(config, &dirs, &node, &Budget::unlimited(), exceeded).await.unwrap();
        Self { temp, infra, told }
    }

    fn data(&self) -> PathBuf {
        self.temp.path().join("state/pods/uid/volumes/data")
    }

    fn image(&self) -> PathBuf {
        self.temp.path().join("image")
    }

    /// Mounts alone, over an empty root.
    fn mount(&self, mounts: &[MountConfig]) -> Result<Incarnation, MountError> {
        let config = FsConfig { mounts: mounts.to_vec(), ..bare() };
        self.infra.container(&config).map_err(|error| match error {
            FsError::Mount { source, .. } => source,
            other => panic!("{other}"),
        })
    }

    fn containers(&self) -> usize {
        fs::read_dir(self.temp.path().join("state/pods/uid/containers")).map_or(0, Iterator::count)
    }
}

fn bare() -> FsConfig {
    FsConfig {
        container: "app".into(),
        attempt: 0,
        image: None,
        read_only_root: false,
        working_dir: "/".into(),
        mounts: Vec::new(),
        termination_log: None,
        ephemeral_storage_limit: None,
    }
}

fn mount(volume: &str, path: &str) -> MountConfig {
    MountConfig {
        volume: volume.into(),
        path: path.into(),
        sub_path: None,
        read_only: false,
        recursive_read_only: false,
        propagation: Propagation::Private,
    }
}

fn part(volume: &str, path: &str, sub_path: &str) -> MountConfig {
    MountConfig { sub_path: Some(sub_path.into()), ..mount(volume, path) }
}

fn read(files: &Arc<MountNamespace>, path: &str) -> Result<String, Errno> {
    let file = files.open(path, OpenHow { read: true, follow: true, ..OpenHow::default() })?;
    Ok(String::from_utf8(file.read_bytes_at(0, 1 << 16)?.to_vec()).unwrap())
}

fn write(files: &Arc<MountNamespace>, path: &str, content: &[u8]) -> Result<usize, Errno> {
    let how = OpenHow { write: true, create: true, follow: true, ..OpenHow::default() };
    files.open(path, how)?.write_at(0, content)
}

/// Writes until nothing fits any more; returns how much did.
fn fill(files: &Arc<MountNamespace>, path: &str) -> usize {
    let how = OpenHow { write: true, create: true, ..OpenHow::default() };
    let file = files.open(path, how).unwrap();
    let mut total = 0;
    loop {
        match file.append(&[1; 64 << 10]) {
            Ok(written) => total += written,
            Err(Errno::NOSPC) => return total,
            Err(error) => panic!("{error}"),
        }
    }
}

fn list(files: &Arc<MountNamespace>, path: &str) -> Vec<String> {
    let entries = files.open_dir(path).unwrap().read_dir().unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().name).filter(|name| !name.starts_with("..")).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_component_alone_gets_a_root_with_what_runtimes_make() {
    let pod = Pod::new().await;
    let config = FsConfig {
        working_dir: "/srv/dir".into(),
        mounts: vec![mount("data", "/var//data/"), mount("config", "etc/config")],
        ..bare()
    };
    let app = pod.infra.container(&config).unwrap();
    assert_eq!(list(&app.files, "/"), ["dev", "etc", "srv", "tmp", "var"]);
    assert_eq!(list(&app.files, "/etc"), ["config", "hostname", "hosts", "resolv.conf"]);
    assert_eq!(list(&app.files, "/etc/config"), ["a", "sub"]);
    assert_eq!(app.files.open_dir("/tmp").unwrap().stat().unwrap().mode, 0o1777);
    assert_eq!(app.files.open_dir("/srv/dir").unwrap().kind(), FileKind::Directory);
    write(&app.files, "/var/data/x", b"x").unwrap();
    assert_eq!(fs::read(pod.data().join("x")).unwrap(), b"x");
    assert_eq!(write(&app.files, "/etc/config/a", b"x").unwrap_err(), Errno::ROFS);
    assert_eq!(read(&app.files, "/dev/null").unwrap(), "");
    app.remove().unwrap();
    assert_eq!(pod.containers(), 0);
}

#[tokio::test]
async fn managed_files_say_what_the_network_says() {
    let pod = Pod::new().await;
    let managed = pod.infra.network().managed_files();
    let app = pod.mount(&[part("config", "/etc/resolv.conf", "a")]).unwrap();
    assert_eq!(read(&app.files, "/etc/hosts").unwrap(), managed.hosts);
    assert_eq!(read(&app.files, "/etc/hostname").unwrap(), "web\n");
    // Unless the manifest says otherwise.
    assert_eq!(read(&app.files, "/etc/resolv.conf").unwrap(), "a");
    // The kubelet's can be written to; another container's stay.
    write(&app.files, "/etc/hosts", b"own").unwrap();
    app.remove().unwrap();
    assert_eq!(read(&pod.mount(&[]).unwrap().files, "/etc/hosts").unwrap(), managed.hosts);
}

#[tokio::test]
async fn an_image_is_never_changed() {
    let pod = Pod::new().await;
    let image = FsConfig { image: Some(pod.image()), working_dir: "/app/new".into(), ..bare() };
    let app = pod.infra.container(&image).unwrap();
    let stored = |app: &Incarnation| {
        let how = OpenHow { read: true, ..OpenHow::default() };
        app.files.open("/app/main.wasm", how).unwrap().store_path()
    };
    assert_eq!(stored(&app), Some(pod.image().join("app/main.wasm")));
    write(&app.files, "/app/main.wasm", b"changed").unwrap();
    write(&app.files, "/app/new/file", b"new").unwrap();
    assert_eq!((read(&app.files, "/app/main.wasm").unwrap().as_str(), stored(&app)), ("changed", None));
    assert_eq!(fs::read(pod.image().join("app/main.wasm")).unwrap(), b"\0asm");
    assert_eq!(fs::read_dir(pod.image().join("app")).unwrap().count(), 2);
    app.remove().unwrap();

    // The next incarnation begins with the image again.
    let again = pod.infra.container(&FsConfig { attempt: 1, read_only_root: true, ..image }).unwrap();
    assert_eq!(read(&again.files, "/app/main.wasm").unwrap(), "\0asm");
    assert_eq!(write(&again.files, "/app/main.wasm", b"x").unwrap_err(), Errno::ROFS);
    assert!(again.files.open_dir("/app/new").is_ok(), "the working directory is made");
    assert_eq!(write(&again.files, "/app/new/x", b"x").unwrap_err(), Errno::ROFS);
    assert!(pod.infra.container(&FsConfig { attempt: 2, image: Some("/none".into()), ..bare() }).is_err());
    assert_eq!(pod.containers(), 1);
}

#[tokio::test]
async fn links_in_an_image_lead_nowhere_on_the_host() {
    let pod = Pod::new().await;
    let mounts =
        vec![mount("mem", "/etc/mem"), part("config", "/app/up/up/a", "a"), part("config", "/plain/file", "a")];
    let app = pod.infra.container(&FsConfig { image: Some(pod.image()), mounts, ..bare() }).unwrap();
    let host = pod.temp.path().join("host");
    assert!(!Path::new("/host-etc").exists());
    assert_eq!(read(&app.files, "/out/file").unwrap_err(), Errno::NOENT);
    assert_eq!(write(&app.files, "/out/file", b"x").unwrap_err(), Errno::NOENT);
    assert_eq!(fs::read(host.join("file")).unwrap(), b"host");
    assert_eq!(read(&app.files, "/plain/file").unwrap(), "a");
    assert_eq!(read(&app.files, "/app/up/up/a").unwrap(), "a");
    write(&app.files, "/etc/mem/x", b"x").unwrap();
    assert_eq!(read(&app.files, "/host-etc/mem/x").unwrap(), "x");
    app.remove().unwrap();
}

#[tokio::test]
async fn sub_paths_are_found_or_made_inside_the_volume() {
    let pod = Pod::new().await;
    let mounts = [
        part("data", "/new", "a/b"),
        part("mem", "/mem", "made/too"),
        part("host", "/dir", "dir"),
        part("config", "/sub", "sub"),
        part("config", "/file", "a"),
    ];
    let app = pod.mount(&mounts).unwrap();
    assert!(pod.data().join("a/b").is_dir());
    write(&app.files, "/new/file", b"x").unwrap();
    write(&app.files, "/mem/file", b"x").unwrap();
    assert_eq!(fs::read(pod.data().join("a/b/file")).unwrap(), b"x");
    assert_eq!(
        (read(&app.files, "/sub/b").unwrap().as_str(), read(&app.files, "/file").unwrap().as_str()),
        ("sub/b", "a")
    );
    assert_eq!(write(&app.files, "/sub/b", b"x").unwrap_err(), Errno::ROFS);
    // A container that moves the directory and puts a link in its place changes nothing about the mount.
    fs::rename(pod.data().join("a"), pod.data().join("moved")).unwrap();
    symlink(pod.temp.path(), pod.data().join("a")).unwrap();
    assert_eq!(read(&app.files, "/new/file").unwrap(), "x");
    assert_eq!(read(&app.files, "/new/../../host/file").unwrap_err(), Errno::NOENT);
    app.remove().unwrap();
}

#[tokio::test]
async fn a_directory_that_becomes_a_link_under_a_walk_leads_nowhere() {
    let pod = Pod::new().await;
    let host = pod.temp.path().join("host");
    fs::create_dir_all(pod.temp.path().join("secret")).unwrap();
    fs::write(pod.temp.path().join("secret/f"), "secret").unwrap();
    fs::write(host.join("dir/f"), "inside").unwrap();
    symlink("../secret", host.join("link")).unwrap();
    let app = pod.mount(&[mount("host", "/host"), part("host", "/part", "dir")]).unwrap();
    let dir = fs::File::open(&host).unwrap();
    let swap = || rustix::fs::renameat_with(&dir, "dir", &dir, "link", rustix::fs::RenameFlags::EXCHANGE).unwrap();
    let base = app.files.open_dir("/host").unwrap();
    std::thread::scope(|scope| {
        let swapper = scope.spawn(|| (0..4000).for_each(|_| swap()));
        while !swapper.is_finished() {
            let how = OpenHow { read: true, follow: true, ..OpenHow::default() };
            let at_once = base.open_at("dir/f", how);
            let walked = app.files.open_dir("/host/dir").and_then(|dir| dir.open_at("f", how));
            for file in [at_once, walked].into_iter().flatten() {
                assert_eq!(&*file.read_bytes_at(0, 10).unwrap(), b"inside");
            }
            let _ = write(&app.files, "/host/dir/new", b"x");
            assert_eq!(read(&app.files, "/part/f").unwrap(), "inside");
        }
    });
    assert_eq!(fs::read_dir(pod.temp.path().join("secret")).unwrap().count(), 1);
    app.remove().unwrap();
}

#[tokio::test]
async fn sub_paths_cannot_leave_the_volume() {
    let pod = Pod::new().await;
    fs::create_dir(pod.data().join("dir")).unwrap();
    symlink("/", pod.data().join("root")).unwrap();
    symlink("../../..", pod.data().join("up")).unwrap();
    symlink(pod.temp.path().join("host/file"), pod.data().join("file")).unwrap();
    symlink("/etc/new", pod.data().join("dangling")).unwrap();
    symlink("dir", pod.data().join("fine")).unwrap();
    for escape in ["up", "up/volumes"] {
        let error = pod.mount(&[part("data", "/x", escape)]).map(drop).unwrap_err();
        assert!(matches!(error, MountError::Escape { .. }), "{escape}: {error}");
    }
    // To an absolute link the volume is all there is.
    assert!(pod.mount(&[part("data", "/x", "file")]).is_err());
    assert!(pod.mount(&[part("data", "/x", "dangling/deeper")]).is_err());
    for bad in ["..", "../x", "a/../../b", "/etc", "a/../b", "a\0b"] {
        let error = pod.mount(&[part("data", "/x", bad)]).unwrap_err();
        assert!(matches!(error, MountError::BadSubPath(_)), "{bad}: {error}");
    }
    assert!(matches!(pod.mount(&[part("config", "/x", "none")]), Err(MountError::NoSubPath { .. })));
    assert_eq!(pod.containers(), 0);
    let parts = [part("data", "/x", "fine"), part("data", "/root", "root"), part("data", "/new", "root/new")];
    let app = pod.mount(&parts).unwrap();
    write(&app.files, "/root/in-volume", b"x").unwrap();
    assert!(pod.data().join("in-volume").exists() && pod.data().join("new").is_dir());
    app.remove().unwrap();
}

#[tokio::test]
async fn single_files_are_the_files_themselves() {
    let pod = Pod::new().await;
    let host_file = pod.temp.path().join("host/file");
    let read_only = MountConfig { read_only: true, ..mount("file", "/conf/same") };
    let app = pod.mount(&[mount("file", "/conf/file"), read_only, mount("null", "/null")]).unwrap();
    write(&app.files, "/conf/file", b"HOST").unwrap();
    assert_eq!(fs::read(&host_file).unwrap(), b"HOST");
    assert_eq!(read(&app.files, "/conf/same").unwrap(), "HOST");
    assert_eq!(write(&app.files, "/conf/same", b"x").unwrap_err(), Errno::ROFS);
    // A device of the host is there to be seen, not to be used.
    assert_eq!(read(&app.files, "/null").unwrap_err(), Errno::PERM);
    app.remove().unwrap();
    // A file below another volume.
    let app = pod.mount(&[mount("data", "/data"), part("config", "/data/x/a", "a")]).unwrap();
    assert_eq!(read(&app.files, "/data/x/a").unwrap(), "a");
    app.remove().unwrap();
}

#[tokio::test]
async fn mounts_that_do_not_fit_are_refused() {
    let pod = Pod::new().await;
    assert!(matches!(pod.mount(&[mount("none", "/x")]), Err(MountError::NoVolume(_))));
    assert!(matches!(pod.mount(&[mount("data", "/x/..")]), Err(MountError::OverRoot)));
    assert!(matches!(pod.mount(&[mount("data", "/x"), mount("mem", "/x/")]), Err(MountError::Duplicate)));
    assert!(pod.infra.container(&FsConfig { container: "../x".into(), ..bare() }).is_err());
    assert_eq!(pod.containers(), 0);
    // A second incarnation of the same name neither replaces nor removes the first.
    let first = pod.infra.container(&bare()).unwrap();
    assert!(pod.infra.container(&bare()).is_err());
    assert!(first.home().is_dir());
}

#[tokio::test]
async fn a_working_directory_inside_a_volume_is_made_there() {
    let pod = Pod::new().await;
    let config = FsConfig { working_dir: "/data/a/b".into(), mounts: vec![mount("data", "/data")], ..bare() };
    pod.infra.container(&config).unwrap().remove().unwrap();
    assert!(pod.data().join("a/b").is_dir());
}

#[tokio::test]
async fn volumes_are_shared_and_hold_no_more_than_they_may() {
    let pod = Pod::with(InfraConfig { memory_limit: Some(1 << 20), ..InfraConfig::default() }).await;
    let config =
        FsConfig { mounts: vec![mount("data", "/data"), mount("mem", "/mem"), mount("large", "/large")], ..bare() };
    let a = pod.infra.container(&config).unwrap();
    let b = pod.infra.container(&FsConfig { container: "b".into(), ..config }).unwrap();
    let kib = |n: usize| vec![1_u8; n << 10];

    write(&a.files, "/data/a", &kib(600)).unwrap();
    assert!(fill(&b.files, "/data/b") <= 424 << 10);
    a.files.root().unlink_file_at("data/a").unwrap();
    // What one container frees, another can use at once.
    assert!(fill(&b.files, "/data/c") >= 590 << 10);

    let before = pod.infra.memory().used();
    write(&a.files, "/mem/a", &kib(40)).unwrap();
    assert!(pod.infra.memory().used() >= before + (40 << 10), "memory volumes count as the pod's memory");
    // What fits is written, as on Linux; of both containers together.
    assert!(fill(&b.files, "/mem/b") <= 24 << 10);
    a.files.root().unlink_file_at("mem/a").unwrap();
    assert!(pod.infra.memory().used() <= before + (32 << 10));
    // Without a size of its own, a memory volume is held to the pod's memory.
    assert!(fill(&b.files, "/large/f") >= 900 << 10);
    assert!(pod.infra.memory().used() <= 1 << 20);

    let usage = pod.infra.storage_usage();
    assert!((1000 << 10..=1 << 20).contains(&usage.empty_dirs["data"]), "{usage:?}");
    assert_eq!(*pod.told.lock().unwrap(), [StorageExceeded::EmptyDir { volume: "data".into(), limit: 1 << 20 }]);
}

#[tokio::test]
async fn the_pods_disk_is_one_account() {
    let pod = Pod::with(InfraConfig { ephemeral_storage_limit: Some(1 << 20), ..InfraConfig::default() }).await;
    let config = FsConfig { mounts: vec![mount("data", "/data")], ephemeral_storage_limit: Some(600 << 10), ..bare() };
    let app = pod.infra.container(&config).unwrap();
    write(&app.files, "/root", &vec![1; 500 << 10]).unwrap();
    app.logs.count(50 << 10);
    write(&app.files, "/data/file", &vec![1; 300 << 10]).unwrap();
    let usage = pod.infra.storage_usage();
    assert_eq!(usage.containers["app"].logs, 50 << 10);
    assert!(usage.containers["app"].root >= 500 << 10 && usage.total >= 850 << 10, "{usage:?}");
    // What fits is written, as on Linux.
    assert!(write(&app.files, "/more", &vec![1; 100 << 10]).unwrap() <= 50 << 10);
    assert_eq!(write(&app.files, "/most", &[1; 100 << 10]).unwrap_err(), Errno::NOSPC);
    assert!(matches!(&pod.told.lock().unwrap()[..], [StorageExceeded::Container { name, .. }] if name == "app"));
    // What an incarnation wrote is gone with it; its logs stay.
    app.remove().unwrap();
    let usage = pod.infra.storage_usage();
    assert_eq!((usage.containers["app"].root, usage.containers["app"].logs), (0, 50 << 10));
}

#[tokio::test]
async fn one_container_does_not_take_all_descriptors() {
    let pod = Pod::new().await;
    let config = FsConfig { mounts: vec![mount("data", "/data")], ..bare() };
    let hostile = pod.infra.container(&config).unwrap();
    for path in ["/file", "/data/file"] {
        write(&hostile.files, path, b"x").unwrap();
        let mut held = Vec::new();
        let how = OpenHow { read: true, ..OpenHow::default() };
        // A file of the root is opened on the host when it is first read.
        let opened = || hostile.files.open(path, how).and_then(|file| file.read_bytes_at(0, 1).map(|_| file));
        let error = loop {
            match opened() {
                Ok(file) => held.push(file),
                Err(error) => break error,
            }
        };
        assert_eq!(error, Errno::MFILE, "{path}");
        let other = pod.infra.container(&FsConfig { container: "other".into(), ..bare() }).unwrap();
        write(&other.files, "/file", b"x").unwrap();
        other.remove().unwrap();
        drop(held);
        assert_eq!(read(&hostile.files, path).unwrap(), "x");
    }
}

#[tokio::test]
async fn the_groups_of_a_pods_own_volumes_are_its_own() {
    let pod = Pod::with(InfraConfig { fs_group: Some(2000), ..InfraConfig::default() }).await;
    let app = pod.mount(&[mount("mem", "/mem"), mount("config", "/config"), mount("data", "/data")]).unwrap();
    let stat = |path: &str| app.files.root().stat_at(path, true).unwrap();
    assert_eq!(stat("mem").gid, 2000);
    assert_eq!(stat("config/a").gid, 2000);
    // Only root can give a directory away.
    let mode = fs::metadata(pod.data()).unwrap().permissions().mode() & 0o7777;
    assert!((stat("data").gid, mode) == (2000, 0o2777) || mode == 0o777);
}
