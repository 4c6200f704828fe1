use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};

use rustix::fs::{FileType, XattrFlags};

use super::*;

fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        assert!(std::env::var_os("NACELLE_TEST_REQUIRE_ALL").is_none(), "this test needs root");
        eprintln!("SKIPPED: mounting takes root");
    }
    root
}

fn write(root: &Path, path: &str, content: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

fn whiteout(root: &Path, path: &str) {
    rustix::fs::mknodat(CWD, root.join(path), FileType::CharacterDevice, Mode::empty(), 0).unwrap();
}

/// Three layers with all that layers hold.
fn layers(dir: &Path) -> Vec<PathBuf> {
    let layers: Vec<_> = ["lowest", "middle", "top:most,"].iter().map(|name| dir.join(name)).collect();
    let [lowest, middle, top] = layers.as_slice() else { unreachable!() };
    write(lowest, "etc/passwd", "old");
    write(lowest, "gone/x", "1");
    write(lowest, "opaque/old", "1");
    write(lowest, "file-then-dir", "1");
    write(lowest, "dir-then-file/x", "1");
    write(middle, "etc/passwd", "new");
    whiteout(middle, "gone");
    write(middle, "opaque/new", "2");
    rustix::fs::lsetxattr(middle.join("opaque"), "trusted.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
    write(middle, "file-then-dir/inside", "2");
    write(middle, "dir-then-file", "2");
    write(middle, "usr/bin/tool", "tool");
    fs::hard_link(middle.join("usr/bin/tool"), middle.join("usr/bin/other")).unwrap();
    std::os::unix::fs::symlink("/etc", middle.join("conf")).unwrap();
    write(top, "conf-is-a-link", "3");
    fs::set_permissions(middle.join("usr/bin/tool"), fs::Permissions::from_mode(0o4755)).unwrap();
    rustix::fs::chown(middle.join("usr"), Some(Uid::from_raw(5)), Some(Gid::from_raw(6))).unwrap();
    rustix::fs::mknodat(CWD, top.join("pipe"), FileType::Fifo, Mode::from_bits_truncate(0o600), 0).unwrap();
    fs::set_permissions(top, fs::Permissions::from_mode(0o751)).unwrap();
    layers
}

fn listing(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let kind = metadata.file_type();
            let what = match () {
                () if kind.is_dir() => "dir".to_owned(),
                () if kind.is_symlink() => fs::read_link(&path).unwrap().display().to_string(),
                () if kind.is_fifo() => "pipe".to_owned(),
                () => fs::read_to_string(&path).unwrap(),
            };
            if kind.is_dir() {
                pending.push(path.clone());
            }
            let described = format!("{what} {:o} {}:{}", metadata.mode(), metadata.uid(), metadata.gid());
            found.insert(path.strip_prefix(root).unwrap().to_owned(), described);
        }
    }
    found
}

/// Runs in a mount namespace of its own, as containers' roots are mounted in.
fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            crate::namespaces::own_mounts().unwrap();
            work()
        });
        thread.join().unwrap()
    })
}

#[test]
fn an_overlay_and_a_copy_show_the_same() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let layers = layers(dir.path());
    let copied = dir.path().join("copied");
    fs::create_dir(&copied).unwrap();
    copy::merge(&layers, &copied).unwrap();
    let scratch = dir.path().join("scratch");
    fs::create_dir(&scratch).unwrap();
    apart(|| {
        let root = mount(&layers, &scratch, None).unwrap();
        assert!(!mounts::below(&scratch).unwrap().is_empty(), "an overlay, not a copy");
        assert_eq!(listing(&root), listing(&copied));
        assert_eq!(fs::metadata(&root).unwrap().permissions().mode() & 0o7777, 0o751);
        // What is written stays apart from the image.
        write(&root, "etc/passwd", "mine");
        fs::remove_file(root.join("usr/bin/tool")).unwrap();
        unmount(&scratch).unwrap();
        unmount(&scratch).unwrap();
        assert_eq!(mounts::below(&scratch).unwrap(), Vec::<PathBuf>::new());
    });
    assert_eq!(fs::read_to_string(layers[1].join("etc/passwd")).unwrap(), "new");
    assert!(layers[1].join("usr/bin/tool").exists());
    let paths: Vec<_> = listing(&copied).into_keys().map(|path| path.to_str().unwrap().to_owned()).collect();
    assert!(!paths.contains(&"gone".to_owned()) && !paths.contains(&"opaque/old".to_owned()), "{paths:?}");
    let inode = |name: &str| fs::metadata(copied.join(name)).unwrap().ino();
    assert_eq!(inode("usr/bin/tool"), inode("usr/bin/other"));
    fs::remove_dir_all(dir.path()).unwrap();
}

#[test]
fn more_layers_than_a_page_of_options_holds() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let layers: Vec<_> = (0..200).map(|index| dir.path().join(format!("a-layer-with-a-name-{index}"))).collect();
    for (index, layer) in layers.iter().enumerate() {
        write(layer, &index.to_string(), "");
    }
    let scratch = dir.path().join("scratch");
    fs::create_dir(&scratch).unwrap();
    apart(|| {
        let root = mount(&layers, &scratch, None).unwrap();
        assert_eq!(listing(&root).len(), 200);
        assert!(!mounts::below(&scratch).unwrap().is_empty(), "an overlay, not a copy");
    });
}

#[test]
fn mounts_end_with_their_namespace_and_others_are_found_by_path() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let layers = layers(dir.path());
    let scratch = |name: &str| {
        let scratch = dir.path().join(name);
        fs::create_dir(&scratch).unwrap();
        scratch
    };
    let first = scratch("first");
    apart(|| mount(&layers, &first, None).map(drop)).unwrap();
    let second = scratch("second");
    apart(|| {
        let here = || mounts::below(&dir.path().canonicalize().unwrap()).unwrap();
        assert_eq!(here(), Vec::<PathBuf>::new());
        mount(&layers, &second, None).unwrap();
        assert_eq!(here().len(), 1);
        mounts::detach_below(dir.path()).unwrap();
        assert_eq!(here(), Vec::<PathBuf>::new());
    });
}
