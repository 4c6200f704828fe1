//! A container's root: copy-on-write over an image.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use nacelle_infra::fs::{Errno, FileKind};

use super::*;

/// An image with a bit of everything.
fn image() -> Root {
    let root = Root::new();
    let lower = root.lower();
    std::fs::create_dir_all(lower.join("etc/conf.d")).unwrap();
    std::fs::write(lower.join("etc/passwd"), "root:x:0:0").unwrap();
    std::fs::write(lower.join("etc/conf.d/one"), "1").unwrap();
    std::fs::set_permissions(lower.join("etc/passwd"), std::fs::Permissions::from_mode(0o640)).unwrap();
    symlink("/etc/passwd", lower.join("absolute")).unwrap();
    symlink("etc", lower.join("relative")).unwrap();
    symlink("../../../../etc/shadow", lower.join("escape")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, lower.join("pipe"), rustix::fs::Mode::RUSR).unwrap();
    std::fs::write(lower.join("big"), vec![7; 300_000]).unwrap();
    root
}

fn unchanged(root: &Root) -> bool {
    let lower = root.lower();
    host_names(&lower) == ["absolute", "big", "escape", "etc", "pipe", "relative"]
        && host_names(&lower.join("etc")) == ["conf.d", "passwd"]
        && std::fs::read(lower.join("etc/passwd")).unwrap() == b"root:x:0:0"
        && std::fs::read(lower.join("big")).unwrap() == vec![7; 300_000]
}

#[test]
fn shows_the_image() {
    let root = image();
    let top = namespace(root.tree()).root();
    assert_eq!(names(&top), ["absolute", "big", "escape", "etc", "pipe", "relative", "tmp"]);
    assert_eq!(read(&top, "etc/passwd").unwrap(), "root:x:0:0");
    assert_eq!(top.stat_at("etc/passwd", true).unwrap().mode, 0o640);
    assert_eq!(read(&top, "relative/conf.d/one").unwrap(), "1");
    // An image's absolute links work, and lead to the container's root.
    assert_eq!(read(&top, "absolute").unwrap(), "root:x:0:0");
    assert_eq!(read(&top, "escape"), Err(Errno::PERM));
    assert_eq!(top.stat_at("pipe", true).unwrap().kind, FileKind::Fifo);
    assert_eq!(error(top.open_at("pipe", READ)), Errno::NXIO);
    let shown = top.open_at("etc/passwd", READ).unwrap();
    assert_eq!(shown.store_path().unwrap(), root.lower().join("etc/passwd"));
    for entry in top.read_dir().unwrap() {
        let entry = entry.unwrap();
        assert_eq!(top.stat_at(&entry.name, false).unwrap().ino, entry.ino);
    }
    // Reading takes nothing on the disk.
    assert!(host_names(&root.spool()).is_empty());
    assert_eq!(root.usage.used(), 0);
}

#[test]
fn changes_are_the_container_s_alone() {
    let root = image();
    let namespace = namespace(root.tree());
    let top = namespace.root();
    let reader = top.open_at("etc/passwd", READ).unwrap();
    let again = super::namespace(root.tree());
    let file = top.open_at("etc/passwd", WRITE).unwrap();
    assert_eq!(file.write_at(5, b"Y"), Ok(1));
    assert_eq!(file.append(b":more"), Ok(5));
    assert_eq!(read(&top, "etc/passwd").unwrap(), "root:Y:0:0:more");
    // Also for who had it open before.
    assert_eq!(reader.read_bytes_at(0, 99).unwrap(), "root:Y:0:0:more");
    assert_eq!(reader.store_path(), None);
    top.rename_at("etc/conf.d", &top, "moved").unwrap();
    assert_eq!(read(&top, "moved/one").unwrap(), "1");
    top.unlink_file_at("moved/one").unwrap();
    assert_eq!(names_at(&top, "moved"), Vec::<String>::new());
    top.remove_directory_at("moved").unwrap();
    top.unlink_file_at("pipe").unwrap();
    top.create_directory_at("pipe").unwrap();
    write(&top, "pipe/new", "n");
    top.open_at("big", TRUNCATE).unwrap();
    assert_eq!(read(&top, "big").unwrap(), "");
    assert!(unchanged(&root));
    assert_eq!(read(&again.root(), "etc/passwd").unwrap(), "root:x:0:0");
    // passwd and new: one page each.
    assert_eq!(namespace.usage().bytes, 2 * 4096);
    assert_eq!(root.usage.used(), 2 * 4096);
    assert_eq!(host_names(&root.spool()).len(), 2);
    drop((top, reader, file, namespace, again));
    assert_eq!(root.usage.used(), 0);
    assert!(host_names(&root.spool()).is_empty());
    assert_eq!(root.budget.used(), 0);
}

#[test]
fn what_is_written_is_counted_to_the_page() {
    let root = image();
    let top = namespace(root.tree()).root();
    let used = || root.usage.used() / 4096;
    let file = top.open_at("new", CREATE).unwrap();
    assert_eq!(used(), 0);
    file.write_at(1 << 40, b"x").unwrap();
    assert_eq!((used(), file.stat().unwrap().size), (1, (1 << 40) + 1));
    file.write_at((1 << 40) + 10, b"x").unwrap();
    assert_eq!(used(), 1);
    file.write_at(4090, &[1; 10]).unwrap();
    assert_eq!(used(), 3);
    let mut buffer = [9; 12];
    assert_eq!(file.read_at(4089, &mut buffer), Ok(12));
    assert_eq!(buffer, [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0]);
    file.set_size(4091).unwrap();
    assert_eq!(used(), 1);
    file.set_size(10_000).unwrap();
    assert_eq!(file.read_at(4089, &mut buffer), Ok(12));
    assert_eq!(buffer, [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    // A change of one byte copies the file.
    top.open_at("big", WRITE).unwrap().write_at(100, b"x").unwrap();
    assert_eq!(used(), 1 + 300_000_u64.div_ceil(4096));
    top.unlink_file_at("big").unwrap();
    assert_eq!(used(), 1);
    // Cut: only what stays is copied.
    let root = image();
    let top = namespace(root.tree()).root();
    top.open_at("big", WRITE).unwrap().set_size(5000).unwrap();
    assert_eq!(root.usage.used(), 2 * 4096);
    assert_eq!(top.open_at("big", READ).unwrap().read_bytes_at(4990, 99).unwrap(), [7_u8; 10].as_slice());
    assert!(unchanged(&root));
}

#[test]
fn a_full_disk_refuses_and_says_so() {
    let root = Root::limited(Some(8 * 4096));
    std::fs::write(root.lower().join("big"), vec![7; 300_000]).unwrap();
    let top = namespace(root.tree()).root();
    let big = top.open_at("big", WRITE).unwrap();
    assert_eq!(big.write_at(0, b"x"), Err(Errno::NOSPC));
    assert!(root.usage.is_exceeded());
    assert_eq!(big.read_bytes_at(0, 2).unwrap(), [7, 7].as_slice());
    let file = top.open_at("new", CREATE).unwrap();
    assert_eq!(file.append(&[1; 20 * 4096]), Ok(8 * 4096));
    assert_eq!(file.append(b"x"), Err(Errno::NOSPC));
    assert_eq!(root.usage.used(), 8 * 4096);
    assert_eq!(host_names(&root.spool()).len(), 1);
}

#[test]
fn one_hole_after_the_other_is_paid_for() {
    let mut root = Root::new();
    root.budget = Budget::new(Some(64 << 10), None);
    let top = namespace(root.tree()).root();
    let file = top.open_at("holes", CREATE).unwrap();
    let failed = (0..).find_map(|n: u64| file.write_at(n * 3 * 4096, b"x").err().map(|error| (n, error))).unwrap();
    assert_eq!(failed.1, Errno::NOSPC);
    assert!(failed.0 < 2000);
    // To fill them gives back what they cost.
    let before = root.budget.used();
    for page in 0..failed.0 * 3 {
        let _ = file.write_at(page * 4096, b"y");
    }
    assert!(root.budget.used() < before);
}

#[test]
fn a_read_only_root_changes_nothing() {
    let root = image();
    let namespace = NamespaceBuilder::new(root.tree(), true).devices().build().unwrap();
    let top = namespace.root();
    assert_eq!(error(top.open_at("etc/passwd", WRITE)), Errno::ROFS);
    assert_eq!(error(top.open_at("new", CREATE)), Errno::ROFS);
    assert_eq!(top.unlink_file_at("etc/passwd"), Err(Errno::ROFS));
    assert_eq!(read(&top, "etc/passwd").unwrap(), "root:x:0:0");
    assert!(unchanged(&root) && host_names(&root.spool()).is_empty());
}

#[test]
fn an_image_that_holds_nothing() {
    let root = Root::new();
    let limits = RootLimits { inodes: 10 };
    let tree = Tree::root(None, &root.spool(), limits, root.usage.clone(), root.budget.clone()).unwrap();
    let top = namespace(tree).root();
    assert_eq!(names(&top), ["tmp"]);
    write(&top, "tmp/f", "x");
    assert_eq!(read(&top, "tmp/f").unwrap(), "x");
    let missing = root.temp.path().join("none");
    let error = Tree::root(Some(&missing), &root.spool(), limits, root.usage.clone(), root.budget.clone()).unwrap_err();
    assert!(error.to_string().contains("none"), "{error}");
}

#[test]
fn one_container_does_not_take_all_descriptors() {
    let root = image();
    let top = namespace(root.tree()).root();
    let mut held: Vec<_> = std::iter::from_fn(|| top.open_at("etc/passwd", READ).ok()).take(2000).collect();
    assert_eq!(held.len(), 1024);
    assert_eq!(error(top.open_at("etc/passwd", READ)), Errno::MFILE);
    assert_eq!(error(top.open_at("new", CREATE)), Errno::MFILE);
    assert_eq!(error(top.stat_at("new", true)), Errno::NOENT);
    assert_eq!(top.stat_at("etc/passwd", true).unwrap().size, 10);
    held.pop();
    write(&top, "new", "x");
    // Another container has its own.
    assert_eq!(read(&namespace(root.tree()).root(), "etc/passwd").unwrap(), "root:x:0:0");
}
