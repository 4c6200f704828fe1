//! configMap, secret, downwardAPI and projected volumes.

use std::sync::atomic::{AtomicBool, Ordering};

use nacelle_infra::VolumeFile;
use nacelle_infra::fs::{ContentError, Errno, FileKind};

use super::*;

fn file(path: &str, content: &str) -> VolumeFile {
    VolumeFile { path: path.into(), mode: 0o640, bytes: content.into() }
}

fn content(files: &[VolumeFile]) -> Tree {
    Tree::content(files, Ownership::default(), Budget::unlimited()).unwrap()
}

fn mounted(tree: &Tree) -> Descriptor {
    let builder = NamespaceBuilder::new(memory(), false).mount("/c", tree.clone(), None, true);
    builder.build().unwrap().open_dir("/c").unwrap()
}

fn visible(dir: &Descriptor) -> Vec<String> {
    names(dir).into_iter().filter(|name| !name.starts_with("..")).collect()
}

#[test]
fn has_the_layout_that_containers_know() {
    let tree = content(&[file("a.txt", "A"), file("sub/deep/b.txt", "B")]);
    let dir = mounted(&tree);
    assert_eq!(visible(&dir), ["a.txt", "sub"]);
    assert_eq!(dir.readlink_at("a.txt").unwrap(), "..data/a.txt");
    assert_eq!(dir.readlink_at("sub").unwrap(), "..data/sub");
    let version = dir.readlink_at("..data").unwrap();
    assert!(version.starts_with("..20"), "{version}");
    assert_eq!(names(&dir).len(), 4);
    assert_eq!(read(&dir, "sub/deep/b.txt").unwrap(), "B");
    assert_eq!(read(&dir, &format!("{version}/a.txt")).unwrap(), "A");
    assert_eq!(dir.stat_at("..data", false).unwrap().kind, FileKind::Symlink);
    assert_eq!(dir.stat_at("a.txt", true).unwrap().mode, 0o640);
    assert_eq!(dir.stat_at("sub", true).unwrap().mode, 0o755);
    assert_eq!(dir.stat().unwrap().mode, 0o777);
    assert_eq!(error(dir.open_at("a.txt", WRITE)), Errno::ROFS);
    assert_eq!(dir.unlink_file_at("a.txt"), Err(Errno::ROFS));
}

#[test]
fn an_update_replaces_everything_and_what_is_open_stays() {
    let budget = Budget::unlimited();
    let tree = Tree::content(&[file("a", "1"), file("gone", "x")], Ownership::default(), budget.clone()).unwrap();
    let used = budget.used();
    let dir = mounted(&tree);
    let (old_file, old_dir) = (dir.open_at("a", READ).unwrap(), dir.open_at("..data", DIRECTORY).unwrap());
    let version = dir.readlink_at("..data").unwrap();
    assert!(!tree.update(&[file("a", "1"), file("gone", "x")]).unwrap());
    assert_eq!(dir.readlink_at("..data").unwrap(), version);
    assert!(tree.update(&[file("a", "2"), file("b/c", "3")]).unwrap());
    assert_ne!(dir.readlink_at("..data").unwrap(), version);
    assert_eq!(visible(&dir), ["a", "b"]);
    assert_eq!(read(&dir, "a").unwrap(), "2");
    assert_eq!(old_file.read_bytes_at(0, 9).unwrap(), "1");
    assert_eq!(read(&old_dir, "gone").unwrap(), "x");
    assert_eq!(read(&dir, "gone"), Err(Errno::NOENT));
    assert_eq!(error(dir.stat_at(&version, false)), Errno::NOENT);
    drop((old_file, old_dir));
    assert!(tree.update(&[file("a", "1"), file("gone", "x")]).unwrap());
    assert_eq!(budget.used(), used);
    // A mode alone is a change, too.
    assert!(tree.update(&[VolumeFile { mode: 0o600, ..file("a", "1") }, file("gone", "x")]).unwrap());
    assert!(tree.update(&[]).unwrap());
    assert!(visible(&dir).is_empty());
    drop((dir, tree));
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_part_is_not_updated() {
    let tree = content(&[file("a", "1")]);
    let builder = NamespaceBuilder::new(memory(), false).mount("/file", tree.clone(), Some("a"), true);
    let top = builder.build().unwrap().root();
    tree.update(&[file("a", "2")]).unwrap();
    assert_eq!(read(&top, "file").unwrap(), "1");
    assert_eq!(error(top.open_at("file", WRITE)), Errno::ROFS);
    let missing = NamespaceBuilder::new(memory(), false).mount("/file", tree, Some("b"), true).build();
    assert!(missing.is_err());
}

#[test]
fn a_reader_sees_all_old_or_all_new() {
    let version = |n: usize| [file("x", &n.to_string()), file("d/y", &n.to_string())];
    let tree = content(&version(0));
    let dir = mounted(&tree);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut last = 0;
                while !done.load(Ordering::Relaxed) {
                    // Never missing, whatever happens meanwhile.
                    let data = dir.open_at("..data", DIRECTORY).unwrap();
                    let (x, y) = (read(&data, "x").unwrap(), read(&data, "d/y").unwrap());
                    assert_eq!(x, y);
                    let (first, second): (usize, usize) =
                        (read(&dir, "d/y").unwrap().parse().unwrap(), read(&dir, "x").unwrap().parse().unwrap());
                    assert!(last <= first && first <= second);
                    last = second;
                }
            });
        }
        for n in 1..2000 {
            assert!(tree.update(&version(n)).unwrap());
        }
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(names(&dir).len(), 4);
}

#[test]
fn modes_and_groups_are_kubernetes_s() {
    let owner = Ownership { fs_group: Some(2000), ..Ownership::default() };
    let tree = Tree::content(&[VolumeFile { mode: 0o400, ..file("d/f", "") }], owner, Budget::unlimited()).unwrap();
    let dir = mounted(&tree);
    let shown = |path: &str| dir.stat_at(path, true).map(|stat| (stat.mode, stat.gid)).unwrap();
    assert_eq!(shown("d/f"), (0o440, 2000));
    assert_eq!(shown("d"), (0o2755, 2000));
    assert_eq!(shown("."), (0o2777, 2000));
    assert_eq!(dir.stat_at("d", false).unwrap().gid, 2000);
    // And what is made in a volume gets the group.
    let limits = MemLimits { bytes: None, inodes: 100 };
    let volume = namespace(Tree::memory(limits, owner, Budget::unlimited())).root();
    volume.create_directory_at("d").unwrap();
    write(&volume, "d/f", "");
    let shown = |path: &str| volume.stat_at(path, true).map(|stat| (stat.mode, stat.gid)).unwrap();
    assert_eq!((shown("."), shown("d"), shown("d/f")), ((0o2777, 2000), (0o2755, 2000), (0o644, 2000)));
}

#[test]
fn bad_names_and_too_much_are_refused() {
    let make = |files: &[VolumeFile]| Tree::content(files, Ownership::default(), Budget::new(Some(100_000), None));
    for bad in ["", "/a", "a/", "a//b", "../a", "a/../b", "..data", "./a", "a\0b", &"x".repeat(256)] {
        assert!(matches!(make(&[file(bad, "")]), Err(ContentError::BadFile { .. })), "{bad:?}");
    }
    assert!(make(&[file("a", ""), file("a", "")]).is_err());
    assert!(make(&[file("a", ""), file("a/b", "")]).is_err());
    let tree = make(&[file("a/..b", ""), file("a/c", "")]).unwrap();
    // What does not fit changes nothing.
    assert!(matches!(tree.update(&[file("a", &"x".repeat(200_000))]), Err(ContentError::NoMemory)));
    assert_eq!(names_at(&mounted(&tree), "a"), ["..b", "c"]);
    assert!(matches!(memory().update(&[]), Err(ContentError::NotContent)));
}
