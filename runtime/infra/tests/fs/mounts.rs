//! Several trees in one namespace.

use nacelle_infra::fs::{Errno, FileKind, NamespaceError, SetTime};

use super::*;

fn host(path: &Path) -> Tree {
    let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
    Tree::host(rustix::fs::open(path, flags, rustix::fs::Mode::empty()).unwrap(), None).unwrap()
}

#[test]
fn mount_points_are_seen_and_nothing_is_written() {
    let root = Root::new();
    std::fs::create_dir(root.lower().join("usr")).unwrap();
    let (volume, inner) = (memory(), memory());
    let disk = tempfile::tempdir().unwrap();
    let namespace = NamespaceBuilder::new(root.tree(), false)
        // Given in the wrong order.
        .mount("/data/deep/inner", inner, None, false)
        .mount("/data/deep", volume.clone(), None, false)
        .mount("/disk", host(disk.path()), None, false)
        .mount("/disk/x/y", memory(), None, false)
        .managed_file("/etc/hosts", "127.0.0.1 localhost\n")
        .build()
        .unwrap();
    let top = namespace.root();
    assert_eq!(names(&top), ["data", "disk", "etc", "tmp", "usr"]);
    assert_eq!(names_at(&top, "data"), ["deep"]);
    assert_eq!(names_at(&top, "data/deep"), ["inner"]);
    assert_eq!(names_at(&top, "disk"), ["x"]);
    assert_eq!(names_at(&top, "disk/x"), ["y"]);
    assert_eq!(names_at(&top, "etc"), ["hosts"]);
    assert_eq!(read(&top, "etc/hosts").unwrap(), "127.0.0.1 localhost\n");
    write(&top, "data/deep/inner/file", "1");
    write(&top, "disk/x/y/file", "2");
    // Directories on the way are the container's own where they are in its root, and nobody's in a volume.
    write(&top, "data/own", "3");
    assert_eq!(error(top.open_at("disk/x/own", CREATE)), Errno::ROFS);
    assert_eq!(host_names(&root.lower()), ["usr"]);
    assert!(host_names(disk.path()).is_empty());
    assert!(names(&super::namespace(volume).root()).iter().all(|name| name == "tmp"));
    assert_eq!(top.stat_at("tmp", true).unwrap().mode, 0o1777);
    // A directory that somebody makes on the host comes through; mount points stay.
    std::fs::create_dir(disk.path().join("x")).unwrap();
    std::fs::write(disk.path().join("x/theirs"), "4").unwrap();
    assert_eq!(names_at(&top, "disk/x"), ["theirs", "y"]);
    assert_eq!(read(&top, "disk/x/theirs").unwrap(), "4");
    assert_eq!(read(&top, "disk/x/y/../y/file").unwrap(), "2");
}

#[test]
fn mount_points_stay() {
    let namespace = NamespaceBuilder::new(memory(), false)
        .mount("/a/b", memory(), None, false)
        .managed_file("/a/file", "")
        .build()
        .unwrap();
    let top = namespace.root();
    for path in ["a", "a/b"] {
        assert_eq!(top.remove_directory_at(path), Err(Errno::BUSY), "{path}");
        assert_eq!(top.unlink_file_at(path), Err(Errno::ISDIR), "{path}");
        assert_eq!(top.create_directory_at(path), Err(Errno::EXIST), "{path}");
        assert_eq!(error(top.open_at(path, CREATE_NEW)), Errno::EXIST, "{path}");
        assert_eq!(error(top.open_at(path, CREATE)), Errno::ISDIR, "{path}");
    }
    top.create_directory_at("x").unwrap();
    assert_eq!(top.rename_at("a", &top, "c"), Err(Errno::BUSY));
    assert_eq!(top.rename_at("x", &top, "a"), Err(Errno::BUSY));
    assert_eq!(top.rename_at("a/b", &top, "a/c"), Err(Errno::BUSY));
    assert_eq!(top.unlink_file_at("a/file"), Err(Errno::BUSY));
    assert_eq!(top.remove_directory_at("a/file"), Err(Errno::NOTDIR));
    assert_eq!(top.symlink_at("x", "a/b"), Err(Errno::EXIST));
    assert_eq!(error(top.open_at("a/file/", READ)), Errno::NOTDIR);
    assert_eq!(error(top.readlink_at("a/file")), Errno::INVAL);
}

#[test]
fn nothing_is_moved_or_linked_across_mounts() {
    let volume = memory();
    let namespace = NamespaceBuilder::new(memory(), false)
        .mount("/one", volume.clone(), None, false)
        .mount("/two", volume, None, false)
        .managed_file("/file", "managed")
        .build()
        .unwrap();
    let top = namespace.root();
    write(&top, "one/f", "x");
    assert_eq!(read(&top, "two/f").unwrap(), "x");
    // Not even where it is the same volume.
    assert_eq!(top.rename_at("one/f", &top, "two/g"), Err(Errno::XDEV));
    assert_eq!(top.link_at(false, "one/f", &top, "two/g"), Err(Errno::XDEV));
    assert_eq!(top.rename_at("one/f", &top, "g"), Err(Errno::XDEV));
    assert_eq!(top.link_at(false, "file", &top, "g"), Err(Errno::XDEV));
    assert_eq!(top.link_at(false, "one/f", &top, "two/f"), Err(Errno::EXIST));
    top.rename_at("one/f", &top, "one/g").unwrap();
    let other = super::namespace(memory()).root();
    assert_eq!(top.rename_at("one/g", &other, "g"), Err(Errno::XDEV));
    assert!(top.stat_at("one", true).unwrap().dev != top.stat().unwrap().dev);
    assert!(top.open_at("one/g", READ).unwrap().is_same(&top.open_at("two/g", READ).unwrap()));
}

#[test]
fn read_only_is_the_mount_s() {
    let volume = memory();
    let namespace = NamespaceBuilder::new(memory(), true)
        .mount("/rw", volume.clone(), None, false)
        .mount("/ro", volume, None, true)
        .devices()
        .build()
        .unwrap();
    let top = namespace.root();
    assert!(!top.mutable_directory());
    write(&top, "rw/f", "x");
    top.create_directory_at("rw/d").unwrap();
    assert_eq!(read(&top, "ro/f").unwrap(), "x");
    let times = (SetTime::Now, SetTime::Now);
    assert_eq!(error(top.open_at("ro/f", WRITE)), Errno::ROFS);
    assert_eq!(error(top.open_at("ro/f", TRUNCATE)), Errno::ROFS);
    assert_eq!(error(top.open_at("ro/new", CREATE)), Errno::ROFS);
    assert_eq!(error(top.open_at("ro/f", CREATE_NEW)), Errno::EXIST);
    assert_eq!(error(top.open_at("ro/d", WRITE)), Errno::ISDIR);
    let opened = top.open_at("ro/f", OpenHow { create: true, ..READ }).unwrap();
    assert!(!opened.writable());
    assert_eq!(opened.set_times(times.0, times.1), Err(Errno::ROFS));
    assert_eq!(top.set_times_at("ro/f", true, times.0, times.1), Err(Errno::ROFS));
    assert_eq!(top.create_directory_at("ro/new"), Err(Errno::ROFS));
    assert_eq!(top.create_directory_at("ro/d"), Err(Errno::EXIST));
    assert_eq!(top.remove_directory_at("ro/d"), Err(Errno::ROFS));
    assert_eq!(top.unlink_file_at("ro/f"), Err(Errno::ROFS));
    assert_eq!(top.rename_at("ro/f", &top, "ro/g"), Err(Errno::ROFS));
    assert_eq!(top.link_at(false, "ro/f", &top, "ro/g"), Err(Errno::ROFS));
    assert_eq!(top.symlink_at("f", "ro/g"), Err(Errno::ROFS));
    assert_eq!(top.create_directory_at("new"), Err(Errno::ROFS));
    assert_eq!(error(top.open_at("ro/none", READ)), Errno::NOENT);
    // Devices are not part of what they are mounted with.
    assert_eq!(top.open_at("dev/null", WRITE).unwrap().write_at(0, b"gone"), Ok(4));
}

#[test]
fn a_part_of_a_volume() {
    let volume = memory();
    let inside = namespace(volume.clone()).root();
    inside.create_directory_at("sub").unwrap();
    write(&inside, "sub/file", "s");
    inside.symlink_at("sub", "link").unwrap();
    inside.symlink_at("../../..", "out").unwrap();
    let with = |sub_path| NamespaceBuilder::new(memory(), false).mount("/m", volume.clone(), Some(sub_path), false);
    let top = |sub_path| with(sub_path).build().unwrap().root();
    assert_eq!(names_at(&top("sub"), "m"), ["file"]);
    assert_eq!(names_at(&top("link/"), "m"), ["file"]);
    assert_eq!(read(&top("link/file"), "m").unwrap(), "s");
    assert_eq!(top("sub/file").stat_at("m", true).unwrap().kind, FileKind::File);
    // What is missing is made, as the kubelet does.
    assert!(names_at(&top("new/deep"), "m").is_empty());
    assert_eq!(inside.stat_at("new/deep", false).unwrap().kind, FileKind::Directory);
    for (bad, source) in
        [("out", Errno::PERM), ("../x", Errno::PERM), ("/x", Errno::PERM), ("sub/file/x", Errno::NOTDIR)]
    {
        let error = with(bad).build().unwrap_err();
        assert!(matches!(&error, NamespaceError::SubPath { source: it, .. } if *it == source), "{bad}: {error}");
    }
    // What lies above a part cannot be reached from it.
    let part = top("sub");
    write(&part, "m/file", "changed");
    assert_eq!(read(&inside, "sub/file").unwrap(), "changed");
    inside.symlink_at("../link", "sub/up").unwrap();
    assert_eq!(error(part.open_at("m/up", READ)), Errno::NOENT);
}

#[test]
fn what_belongs_to_an_image_is_changed_by_nobody() {
    let disk = tempfile::tempdir().unwrap();
    std::fs::create_dir(disk.path().join("dir")).unwrap();
    let tree = host(disk.path()).read_only();
    let with = |sub_path| NamespaceBuilder::new(memory(), false).mount("/m", tree.clone(), sub_path, false).build();
    assert!(with(Some("none")).is_err());
    for sub_path in [None, Some("dir")] {
        let top = with(sub_path).unwrap().root();
        assert_eq!(top.create_directory_at("m/new"), Err(Errno::ROFS));
    }
    assert_eq!(host_names(disk.path()), ["dir"]);
    // A volume that others fill is another matter: who only reads it may come first.
    let volume = memory();
    let reader = NamespaceBuilder::new(memory(), false).mount("/m", volume.clone(), Some("new"), true).build().unwrap();
    write(&namespace(volume).root(), "new/file", "x");
    assert_eq!(read(&reader.root(), "m/file").unwrap(), "x");
}

#[test]
fn links_of_the_image_are_taken_as_the_container_would() {
    let root = Root::new();
    std::fs::create_dir_all(root.lower().join("run")).unwrap();
    std::fs::create_dir_all(root.lower().join("var")).unwrap();
    std::os::unix::fs::symlink("/run", root.lower().join("var/run")).unwrap();
    std::os::unix::fs::symlink("/fresh", root.lower().join("dangling")).unwrap();
    let volume = memory();
    let namespace = NamespaceBuilder::new(root.tree(), false)
        .mount("/var/run/secrets", volume.clone(), None, false)
        .mount("/dangling/deep", volume, None, false)
        .directory("/srv/dir")
        .build()
        .unwrap();
    let top = namespace.root();
    write(&top, "run/secrets/token", "t");
    assert_eq!(read(&top, "var/run/secrets/token").unwrap(), "t");
    assert_eq!(read(&top, "fresh/deep/token").unwrap(), "t");
    assert_eq!(read(&top, "dangling/deep/token").unwrap(), "t");
    assert!(names_at(&top, "srv/dir").is_empty());
    assert_eq!(host_names(&root.lower()), ["dangling", "run", "var"]);
}

#[test]
fn mount_points_that_cannot_be() {
    let build = |path: &str| NamespaceBuilder::new(memory(), false).mount(path, memory(), None, false).build();
    for path in ["/", "//", "/a/..", "relative", "", "/a\0b", &format!("/{}", "n".repeat(256))] {
        let error = build(path).unwrap_err();
        assert!(matches!(error, NamespaceError::BadPath { .. }), "{path:?}: {error}");
    }
    let over_a_file = NamespaceBuilder::new(memory(), false)
        .managed_file("/file", "")
        .mount("/file/below", memory(), None, false)
        .build();
    assert!(over_a_file.is_err());
    let twice = NamespaceBuilder::new(memory(), false).managed_file("/f", "1").managed_file("/f", "2").build().unwrap();
    assert_eq!(read(&twice.root(), "f").unwrap(), "2");
}
