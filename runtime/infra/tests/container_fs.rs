//! What one container sees: roots, mounts, and attempts to get out of them.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use nacelle_infra::{
    ContainerFs, FsConfig, FsError, FsMount, HostPathKind, Infra, InfraConfig, Medium, MountConfig, MountError,
    NodeDirs, VolumeConfig, VolumeFile, VolumeSource,
};

/// A pod with one volume of each kind, and a host around it.
struct Pod {
    temp: tempfile::TempDir,
    _memory: tempfile::TempDir,
    infra: Infra,
}

impl Pod {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let memory = tempfile::tempdir_in("/dev/shm").unwrap();
        let host = temp.path().join("host");
        let image = temp.path().join("image");
        fs::create_dir_all(host.join("dir")).unwrap();
        fs::write(host.join("file"), "host").unwrap();
        fs::create_dir_all(image.join("app")).unwrap();
        fs::create_dir_all(image.join("tmp")).unwrap();
        fs::write(image.join("app/main.wasm"), "\0asm").unwrap();
        // What a hostile image has: mount points that are links out of it.
        symlink("/host-etc", image.join("etc")).unwrap();
        symlink(&host, image.join("out")).unwrap();
        symlink("../../..", image.join("app/up")).unwrap();
        let file = |path: &str| VolumeFile { path: path.into(), mode: 0o640, bytes: path.into() };
        let volume = |name: &str, source| VolumeConfig { name: name.into(), source };
        let volumes = vec![
            volume("data", VolumeSource::EmptyDir { medium: Medium::Disk }),
            volume("mem", VolumeSource::EmptyDir { medium: Medium::Memory }),
            volume("config", VolumeSource::Files { files: vec![file("a"), file("sub/b")], medium: Medium::Disk }),
            volume("secret", VolumeSource::Files { files: vec![file("key")], medium: Medium::Memory }),
            volume("host", VolumeSource::HostPath { path: host.clone(), kind: HostPathKind::Directory }),
            volume("file", VolumeSource::HostPath { path: host.join("file"), kind: HostPathKind::File }),
            volume("null", VolumeSource::HostPath { path: "/dev/null".into(), kind: HostPathKind::CharDevice }),
            volume("image", VolumeSource::Image { root: image.clone() }),
        ];
        let config = InfraConfig { uid: "uid".into(), hostname: "web".into(), volumes };
        let dirs = NodeDirs::with_memory(temp.path().join("state"), vec![memory.path().to_owned()]);
        let infra = Infra::create(config, &dirs).unwrap();
        Self { temp, _memory: memory, infra }
    }

    fn data(&self) -> PathBuf {
        self.temp.path().join("state/pods/uid/volumes/data")
    }

    fn image(&self) -> PathBuf {
        self.temp.path().join("image")
    }

    fn fs(&self, config: FsConfig) -> Result<ContainerFs, FsError> {
        self.infra.create_fs(&config)
    }

    /// Mounts alone, over an empty root.
    fn mount(&self, mounts: &[MountConfig]) -> Result<ContainerFs, MountError> {
        let config = FsConfig { mounts: mounts.to_vec(), ..bare() };
        self.fs(config).map_err(|error| match error {
            FsError::Mount { source, .. } => source,
            other => panic!("{other}"),
        })
    }

    fn containers(&self) -> usize {
        fs::read_dir(self.temp.path().join("state/pods/uid/containers")).map_or(0, Iterator::count)
    }
}

fn bare() -> FsConfig {
    FsConfig { name: "app-0".into(), image: None, read_only_root: false, working_dir: "/".into(), mounts: Vec::new() }
}

fn mount(volume: &str, path: &str) -> MountConfig {
    MountConfig { volume: volume.into(), path: path.into(), sub_path: None, read_only: false }
}

fn part(volume: &str, path: &str, sub_path: &str) -> MountConfig {
    MountConfig { sub_path: Some(sub_path.into()), ..mount(volume, path) }
}

fn at<'a>(fs: &'a ContainerFs, path: &str) -> &'a FsMount {
    fs.mounts().iter().find(|mount| mount.path == path).unwrap()
}

fn root(fs: &ContainerFs) -> &Path {
    &at(fs, "/").dir
}

#[test]
fn a_component_alone_gets_an_empty_root_with_what_runtimes_make() {
    let pod = Pod::new();
    let config = FsConfig {
        working_dir: "/work/dir".into(),
        mounts: vec![mount("data", "/var//data/"), mount("config", "etc/config")],
        ..bare()
    };
    let fs = pod.fs(config).unwrap();
    let paths: Vec<_> = fs.mounts().iter().map(|mount| (mount.path.as_str(), mount.read_only)).collect();
    assert_eq!(paths, [("/", false), ("/etc/config", true), ("/var/data", false)]);
    for dir in ["tmp", "var/data", "etc/config", "work/dir"] {
        assert!(root(&fs).join(dir).is_dir(), "{dir}");
    }
    assert_eq!(fs::metadata(root(&fs).join("tmp")).unwrap().permissions().mode() & 0o7777, 0o1777);
    assert_eq!(at(&fs, "/var/data").dir, pod.data());
    fs.remove().unwrap();
    assert_eq!(pod.containers(), 0);
}

#[test]
fn an_image_is_copied_unless_nothing_can_change_it() {
    let pod = Pod::new();
    let image = FsConfig { image: Some(pod.image()), working_dir: "/app".into(), ..bare() };
    let fs = pod.fs(image.clone()).unwrap();
    assert_ne!(root(&fs), pod.image());
    fs::write(root(&fs).join("app/main.wasm"), "changed").unwrap();
    assert_eq!(fs::read(pod.image().join("app/main.wasm")).unwrap(), b"\0asm");
    fs.remove().unwrap();

    let read_only = FsConfig { read_only_root: true, ..image };
    let fs = pod.fs(read_only.clone()).unwrap();
    assert_eq!(*at(&fs, "/"), FsMount { path: "/".into(), dir: pod.image(), read_only: true });
    assert_eq!(fs.open("/app/main.wasm").unwrap().in_store, Some(pod.image().join("app/main.wasm")));
    fs.remove().unwrap();

    for mounts in [vec![mount("data", "/new")], vec![part("config", "/app/a", "a")]] {
        let fs = pod.fs(FsConfig { mounts, ..read_only.clone() }).unwrap();
        assert_ne!(root(&fs), pod.image());
        assert!(at(&fs, "/").read_only);
        fs.remove().unwrap();
    }
    assert!(!pod.image().join("new").exists() && !pod.image().join("app/a").exists());
}

#[test]
fn links_in_an_image_make_nothing_on_the_host() {
    let pod = Pod::new();
    let mounts = vec![
        mount("data", "/out/data"),
        mount("mem", "/etc/mem"),
        part("config", "/out/file", "a"),
        part("config", "/app/up/up/a", "a"),
    ];
    let fs = pod.fs(FsConfig { image: Some(pod.image()), mounts, ..bare() }).unwrap();
    let host = pod.temp.path().join("host");
    assert!(!host.join("data").exists() && !Path::new("/host-etc").exists());
    assert_eq!(fs::read(host.join("file")).unwrap(), b"host");
    assert!(root(&fs).join("host-etc/mem").is_dir());
    assert_eq!(fs::read(root(&fs).join("up/a")).unwrap(), b"a");
    let inside = root(&fs).join(host.strip_prefix("/").unwrap());
    assert_eq!(fs::read(inside.join("file")).unwrap(), b"a");
    fs.remove().unwrap();
}

#[test]
fn sub_paths_are_found_or_made_inside_the_volume() {
    let pod = Pod::new();
    let fs = pod.mount(&[part("data", "/new", "a/b"), part("host", "/dir", "dir"), part("config", "/sub", "sub")]);
    let fs = fs.unwrap();
    assert!(pod.data().join("a/b").is_dir());
    fs::write(at(&fs, "/new").dir.join("file"), "x").unwrap();
    assert_eq!(fs::read(pod.data().join("a/b/file")).unwrap(), b"x");
    assert_eq!(fs::read(at(&fs, "/sub").dir.join("b")).unwrap(), b"sub/b");
    assert!(at(&fs, "/sub").read_only);
    // A container that moves the directory and puts a link in its place changes nothing about the mount.
    fs::rename(pod.data().join("a"), pod.data().join("moved")).unwrap();
    symlink(pod.temp.path(), pod.data().join("a")).unwrap();
    assert_eq!(fs::read(at(&fs, "/new").dir.join("file")).unwrap(), b"x");
    fs.remove().unwrap();
}

#[test]
fn sub_paths_cannot_leave_the_volume() {
    let pod = Pod::new();
    symlink("/", pod.data().join("root")).unwrap();
    symlink("../../..", pod.data().join("up")).unwrap();
    symlink(pod.temp.path().join("host/file"), pod.data().join("file")).unwrap();
    symlink("/etc/new", pod.data().join("dangling")).unwrap();
    for escape in ["root", "root/etc", "up", "up/volumes", "file"] {
        let error = pod.mount(&[part("data", "/x", escape)]).unwrap_err();
        assert!(matches!(error, MountError::Escape { .. }), "{escape}: {error}");
    }
    assert!(pod.mount(&[part("data", "/x", "dangling/deeper")]).is_err());
    for bad in ["..", "../x", "a/../../b", "/etc", "a/../b", "a\0b"] {
        let error = pod.mount(&[part("data", "/x", bad)]).unwrap_err();
        assert!(matches!(error, MountError::BadSubPath(_)), "{bad}: {error}");
    }
    assert_eq!(pod.containers(), 0);
}

#[test]
fn files_of_content_volumes_are_copied_and_secrets_stay_in_memory() {
    let pod = Pod::new();
    let fs = pod.mount(&[part("config", "/etc/app/a.conf", "a")]).unwrap();
    let copy = root(&fs).join("etc/app/a.conf");
    assert_eq!(fs::read(&copy).unwrap(), b"a");
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o640);
    fs.remove().unwrap();
    let fs = pod.mount(&[part("secret", "/etc/key", "key")]).unwrap();
    assert_eq!(fs::read(root(&fs).join("etc/key")).unwrap(), b"key");
    assert!(root(&fs).starts_with("/dev/shm"));
    let own = root(&fs).to_owned();
    fs.remove().unwrap();
    assert!(!own.exists());
    assert_eq!(pod.containers(), 0);
}

#[test]
fn single_files_are_linked_or_copied_or_refused() {
    let pod = Pod::new();
    let host_file = pod.temp.path().join("host/file");
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    let fs = pod.mount(&[mount("file", "/conf/file")]).unwrap();
    assert_eq!(inode(&root(&fs).join("conf/file")), inode(&host_file));
    fs.remove().unwrap();
    assert_eq!(fs::read(&host_file).unwrap(), b"host");

    let read_only = MountConfig { read_only: true, ..mount("file", "/conf/file") };
    let fs = pod.mount(std::slice::from_ref(&read_only)).unwrap();
    assert_ne!(inode(&root(&fs).join("conf/file")), inode(&host_file));
    assert_eq!(fs::read(root(&fs).join("conf/file")).unwrap(), b"host");
    fs.remove().unwrap();

    // The root is in memory here, on another filesystem than the file.
    let secret = part("secret", "/etc/key", "key");
    let error = pod.mount(&[secret.clone(), mount("file", "/conf/file")]).unwrap_err();
    assert!(error.to_string().contains("mount the directory that holds"), "{error}");
    pod.mount(&[secret, read_only]).unwrap().remove().unwrap();

    assert!(matches!(pod.mount(&[mount("null", "/null")]), Err(MountError::Special(_))));
    let below = pod.mount(&[mount("data", "/data"), part("config", "/data/x/a", "a")]).unwrap_err();
    assert!(matches!(below, MountError::FileBelowMount(path) if path == "/data"));
    assert_eq!(pod.containers(), 0);
}

#[test]
fn mounts_that_do_not_fit_are_refused() {
    let pod = Pod::new();
    assert!(matches!(pod.mount(&[mount("none", "/x")]), Err(MountError::NoVolume(_))));
    assert!(matches!(pod.mount(&[mount("data", "/x/..")]), Err(MountError::OverRoot)));
    assert!(matches!(pod.mount(&[mount("data", "/x"), mount("mem", "/x/")]), Err(MountError::Duplicate)));
    assert!(matches!(pod.mount(&[part("config", "/x", "none")]), Err(MountError::NoSubPath { .. })));
    assert!(pod.fs(FsConfig { name: "../x".into(), ..bare() }).is_err());
    assert!(pod.fs(FsConfig { image: Some("/none".into()), ..bare() }).is_err());
    assert_eq!(pod.containers(), 0);
    // A second filesystem of the same name neither replaces nor removes the first.
    let first = pod.fs(bare()).unwrap();
    assert!(pod.fs(bare()).is_err());
    assert!(root(&first).is_dir());
}

#[test]
fn files_are_opened_as_the_container_sees_them() {
    let pod = Pod::new();
    fs::write(pod.data().join("prog"), "volume").unwrap();
    symlink("/etc/passwd", pod.data().join("link")).unwrap();
    let mounts = vec![mount("data", "/data"), part("config", "/app/main.wasm", "a")];
    let fs = pod.fs(FsConfig { image: Some(pod.image()), mounts, ..bare() }).unwrap();
    let read = |path: &str| {
        let file = fs.open(path)?;
        std::io::read_to_string(file.file).map(|text| (text, file.in_store.is_some()))
    };
    assert_eq!(read("/data/prog").unwrap(), ("volume".into(), false));
    assert_eq!(read("/app/../data/./prog").unwrap(), ("volume".into(), false));
    // A mounted file hides the image's.
    assert_eq!(read("/app/main.wasm").unwrap(), ("a".into(), false));
    assert_eq!(read("/out/../app/main.wasm").unwrap(), ("a".into(), false));
    for bad in ["/data/link", "/etc/passwd", "/app", "/none", "/data/prog/x", "/app/up/../../etc/hostname"] {
        assert!(read(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_working_directory_inside_a_volume_is_made_there() {
    let pod = Pod::new();
    let fs = pod.fs(FsConfig { working_dir: "/data/a/b".into(), mounts: vec![mount("data", "/data")], ..bare() });
    assert!(pod.data().join("a/b").is_dir());
    fs.unwrap().remove().unwrap();
    assert!(pod.data().join("a/b").is_dir());
}
