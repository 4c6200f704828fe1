//! Paths, as the WASI test suites and Linux want them.

use nacelle_infra::fs::{Errno, FileKind, OpenHow, SetTime};

use super::*;

/// `dir/nested/file`, and links.
fn tree() -> Descriptor {
    let root = namespace(memory()).root();
    root.create_directory_at("base").unwrap();
    let base = root.open_at("base", DIRECTORY).unwrap();
    base.create_directory_at("dir").unwrap();
    base.create_directory_at("dir/nested").unwrap();
    write(&base, "dir/nested/file", "content");
    base
}

#[test]
fn dots_slashes_and_nul() {
    let base = tree();
    assert_eq!(read(&base, "dir/.//nested/../../dir/nested/../nested///./file").unwrap(), "content");
    assert_eq!(error(base.open_at("/dir/nested/file", READ)), Errno::PERM);
    assert_eq!(error(base.open_at("/", READ)), Errno::PERM);
    assert_eq!(error(base.open_at("", READ)), Errno::NOENT);
    assert_eq!(error(base.open_at("dir/nested/file\0", READ)), Errno::INVAL);
    assert_eq!(error(base.open_at("dir/nested/file/", READ)), Errno::NOTDIR);
    assert_eq!(error(base.open_at("dir/nested/file///", READ)), Errno::NOTDIR);
    assert_eq!(error(base.open_at("dir/nested/file/.", READ)), Errno::NOTDIR);
    for dir in ["dir/nested/", "dir/nested///", ".", "./", "dir/.."] {
        assert_eq!(base.open_at(dir, READ).unwrap().kind(), FileKind::Directory);
    }
    assert!(base.open_at("dir/..", READ).unwrap().is_same(&base));
}

#[test]
fn sizes_are_bounded() {
    let base = tree();
    let (name, long) = ("n".repeat(255), "n".repeat(256));
    base.create_directory_at(&name).unwrap();
    assert_eq!(base.create_directory_at(&long), Err(Errno::NAMETOOLONG));
    assert_eq!(base.stat_at(&format!("{long}/x"), true).unwrap_err(), Errno::NAMETOOLONG);
    assert_eq!(base.stat_at(&"./".repeat(2047), true).unwrap().kind, FileKind::Directory);
    assert_eq!(base.stat_at(&"./".repeat(2048), true).unwrap_err(), Errno::NAMETOOLONG);
    assert_eq!(base.stat_at(&"x".repeat(64 << 10), true).unwrap_err(), Errno::NAMETOOLONG);
    base.symlink_at(&"t".repeat(4095), "link").unwrap();
    assert_eq!(base.symlink_at(&"t".repeat(4096), "other"), Err(Errno::NAMETOOLONG));
    assert_eq!(base.stat_at("link", true).unwrap_err(), Errno::NAMETOOLONG);
}

#[test]
fn nothing_leads_above_a_descriptor_by_dots() {
    let base = tree();
    for path in ["..", "../", "../base/dir", "dir/nested/../../../base/dir/nested/file", "dir/../.."] {
        assert_eq!(error(base.open_at(path, READ)), Errno::PERM, "{path}");
        assert_eq!(base.create_directory_at(path), Err(Errno::PERM), "{path}");
        assert_eq!(base.remove_directory_at(path), Err(Errno::PERM), "{path}");
        assert_eq!(base.unlink_file_at(path), Err(Errno::PERM), "{path}");
        assert_eq!(base.rename_at("dir", &base, path), Err(Errno::PERM), "{path}");
        assert_eq!(base.rename_at(path, &base, "dir"), Err(Errno::PERM), "{path}");
        assert_eq!(base.link_at(false, "dir/nested/file", &base, path), Err(Errno::PERM), "{path}");
        assert_eq!(base.symlink_at("x", path), Err(Errno::PERM), "{path}");
        assert_eq!(error(base.readlink_at(path)), Errno::PERM, "{path}");
        assert_eq!(error(base.stat_at(path, false)), Errno::PERM, "{path}");
    }
    // Nor above the root.
    let root = namespace(memory()).root();
    assert_eq!(error(root.stat_at("..", true)), Errno::PERM);
}

#[test]
fn links_lead_anywhere_within_the_namespace_and_nowhere_else() {
    let root = namespace(memory()).root();
    write(&root, "top", "top");
    root.create_directory_at("base").unwrap();
    let base = root.open_at("base", DIRECTORY).unwrap();
    base.symlink_at("../top", "up").unwrap();
    base.symlink_at("..", "parent").unwrap();
    assert_eq!(read(&base, "up").unwrap(), "top");
    assert_eq!(read(&base, "parent/top").unwrap(), "top");
    assert_eq!(read(&base, "parent/base/up").unwrap(), "top");
    // The guest's own dots count from where the link leads to.
    assert_eq!(error(base.stat_at("parent/../top", true)), Errno::PERM);
    // Above the root: EPERM.
    for (target, link) in [("..", "parent.cleanup"), ("../../..", "far"), ("base/../../top", "over")] {
        root.symlink_at(target, link).unwrap();
        assert_eq!(error(root.open_at(link, READ)), Errno::PERM);
        assert_eq!(root.create_directory_at(&format!("{link}/foo")), Err(Errno::PERM));
        assert_eq!(root.remove_directory_at(&format!("{link}/")), Err(Errno::PERM));
        assert_eq!(root.stat_at(link, false).unwrap().kind, FileKind::Symlink);
    }
    // Guests make no absolute links.
    assert_eq!(root.symlink_at("/", "absolute"), Err(Errno::PERM));
    assert_eq!(root.symlink_at("", "empty"), Err(Errno::NOENT));
    assert_eq!(root.symlink_at("a\0b", "nul"), Err(Errno::INVAL));
}

#[test]
fn the_runtime_stays_at_the_root() {
    let namespace = namespace(memory());
    write(&namespace.root(), "top", "top");
    namespace.root().symlink_at("../../top", "link").unwrap();
    for path in ["/top", "/../../top", "//./top", "/link"] {
        assert_eq!(namespace.open(path, READ).unwrap().read_bytes_at(0, 10).unwrap(), "top", "{path}");
    }
    assert_eq!(error(namespace.open("top", READ)), Errno::INVAL);
    assert_eq!(error(namespace.open_dir("/top")), Errno::NOTDIR);
    assert!(namespace.open_dir("/..").unwrap().is_same(&namespace.root()));
}

#[test]
fn loops_and_dangling_links() {
    let base = tree();
    base.symlink_at("loop", "loop").unwrap();
    base.symlink_at("nowhere", "dangling").unwrap();
    for path in ["loop", "loop/x"] {
        assert_eq!(error(base.open_at(path, READ)), Errno::LOOP);
        assert_eq!(error(base.stat_at(path, true)), Errno::LOOP);
    }
    assert_eq!(error(base.open_at("loop", NO_FOLLOW)), Errno::LOOP);
    assert_eq!(error(base.open_at("dangling", NO_FOLLOW)), Errno::LOOP);
    assert_eq!(error(base.open_at("dangling", OpenHow { directory: true, ..NO_FOLLOW })), Errno::NOTDIR);
    assert_eq!(error(base.open_at("dangling", READ)), Errno::NOENT);
    assert_eq!(error(base.open_at("dangling", CREATE_NEW)), Errno::EXIST);
    base.open_at("dangling", CREATE).unwrap();
    assert_eq!(base.stat_at("nowhere", false).unwrap().kind, FileKind::File);
    // 40 are fine, 41 are not.
    write(&base, "l0", "end");
    for n in 1..=41 {
        base.symlink_at(&format!("l{}", n - 1), &format!("l{n}")).unwrap();
    }
    assert_eq!(read(&base, "l40").unwrap(), "end");
    assert_eq!(read(&base, "l41"), Err(Errno::LOOP));
}

#[test]
fn slashes_after_names() {
    let base = tree();
    write(&base, "file", "");
    assert_eq!(base.symlink_at("source", "new/"), Err(Errno::NOENT));
    assert_eq!(base.symlink_at("source", "dir/"), Err(Errno::EXIST));
    assert_eq!(base.symlink_at("source", "file/"), Err(Errno::NOTDIR));
    assert_eq!(base.link_at(false, "file", &base, "new/"), Err(Errno::NOENT));
    base.symlink_at("nowhere", "dangling").unwrap();
    assert_eq!(base.symlink_at("source", "dangling/"), Err(Errno::EXIST));
    assert_eq!(base.link_at(false, "file", &base, "dangling/"), Err(Errno::EXIST));
    assert_eq!(base.unlink_file_at("file/"), Err(Errno::NOTDIR));
    assert_eq!(base.unlink_file_at("dir/"), Err(Errno::ISDIR));
    assert_eq!(base.remove_directory_at("file/"), Err(Errno::NOTDIR));
    assert_eq!(base.rename_at("file/", &base, "x"), Err(Errno::NOTDIR));
    assert_eq!(base.rename_at("file", &base, "x/"), Err(Errno::NOTDIR));
    assert_eq!(error(base.open_at("new/", CREATE)), Errno::ISDIR);
    base.create_directory_at("made/").unwrap();
    base.rename_at("made/", &base, "renamed/").unwrap();
    base.symlink_at("renamed", "link").unwrap();
    assert_eq!(base.remove_directory_at("link/"), Err(Errno::NOTDIR));
    assert_eq!(base.stat_at("link/", false).unwrap().kind, FileKind::Directory);
    base.remove_directory_at("renamed/").unwrap();
}

#[test]
fn the_ends_of_paths_that_have_no_name() {
    let base = tree();
    assert_eq!(base.create_directory_at("."), Err(Errno::EXIST));
    assert_eq!(base.remove_directory_at("."), Err(Errno::INVAL));
    assert_eq!(base.remove_directory_at("dir/nested/.."), Err(Errno::NOTEMPTY));
    assert_eq!(base.unlink_file_at("."), Err(Errno::ISDIR));
    assert_eq!(base.rename_at(".", &base, "q"), Err(Errno::BUSY));
    assert_eq!(base.rename_at("dir", &base, "."), Err(Errno::BUSY));
    assert_eq!(base.link_at(false, ".", &base, "q"), Err(Errno::PERM));
    assert_eq!(base.stat_at(".", false), base.stat());
    assert_eq!(error(base.open_at(".", WRITE)), Errno::ISDIR);
    assert_eq!(error(base.open_at("dir", CREATE)), Errno::ISDIR);
    assert_eq!(error(base.open_at("new", OpenHow { create: true, ..DIRECTORY })), Errno::INVAL);
    assert_eq!(error(base.open_at("dir", OpenHow { exclusive: true, ..DIRECTORY })), Errno::INVAL);
    let file = base.open_at("dir/nested/file", READ).unwrap();
    for path in [".", "x", "z.txt"] {
        assert_eq!(error(file.stat_at(path, true)), Errno::NOTDIR);
    }
}

#[test]
fn a_directory_that_moves_is_no_way_out() {
    let root = namespace(memory()).root();
    for dir in ["a", "a/b", "a/b/c", "other"] {
        root.create_directory_at(dir).unwrap();
    }
    let (b, c) = (root.open_at("a/b", DIRECTORY).unwrap(), root.open_at("a/b/c", DIRECTORY).unwrap());
    root.rename_at("a/b/c", &root, "other/c").unwrap();
    // By the guest's own path not even where it was.
    assert_eq!(error(c.stat_at("../..", true)), Errno::PERM);
    // Through a link, to where it was when it was opened.
    c.symlink_at("..", "up").unwrap();
    assert!(c.open_at("up", DIRECTORY).unwrap().is_same(&b));
    assert!(root.open_at("other/c/up", DIRECTORY).unwrap().is_same(&root.open_at("other", DIRECTORY).unwrap()));
}

#[test]
fn access_is_what_was_asked_for() {
    let base = tree();
    let file = |how| base.open_at("dir/nested/file", how).unwrap();
    let access = |file: &Descriptor| (file.readable(), file.writable());
    let nothing = OpenHow { read: false, ..READ };
    assert_eq!(access(&file(nothing)), (true, false));
    assert_eq!(access(&file(OpenHow { read: false, ..WRITE })), (false, true));
    assert_eq!(access(&base.open_at("new", OpenHow { create: true, ..nothing }).unwrap()), (true, true));
    let read_only = file(READ);
    assert_eq!(read_only.write_at(0, b"x"), Err(Errno::BADF));
    assert_eq!(read_only.set_size(1), Err(Errno::INVAL));
    assert_eq!(file(OpenHow { read: false, ..WRITE }).read_at(0, &mut [0]), Err(Errno::BADF));
    assert_eq!(base.read_at(0, &mut [0]), Err(Errno::ISDIR));
    assert!(base.mutable_directory() && !base.open_at(".", READ).unwrap().mutable_directory());
}

#[test]
fn offsets_are_signed() {
    let file = tree().open_at("dir/nested/file", WRITE).unwrap();
    assert_eq!(file.read_at(u64::MAX, &mut [0]), Err(Errno::INVAL));
    assert_eq!(file.write_at(u64::MAX, b"x"), Err(Errno::INVAL));
    assert_eq!(file.write_at(i64::MAX as u64, b"x"), Err(Errno::FBIG));
    assert_eq!(file.set_size(u64::MAX), Err(Errno::INVAL));
    assert_eq!(file.read_at(1 << 60, &mut [0]), Ok(0));
}

#[test]
fn times_are_set_on_what_is_named() {
    let base = tree();
    base.symlink_at("dir/nested/file", "link").unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    base.set_times_at("link", false, SetTime::Keep, SetTime::To(time)).unwrap();
    assert_eq!(base.stat_at("link", false).unwrap().modified, time);
    assert_ne!(base.stat_at("link", true).unwrap().modified, time);
    base.set_times_at("link", true, SetTime::To(time), SetTime::Keep).unwrap();
    assert_eq!(base.stat_at("dir/nested/file", false).unwrap().accessed, time);
    assert_eq!(base.set_times_at("z", true, SetTime::Now, SetTime::Now), Err(Errno::NOENT));
}

#[test]
fn they_may_be_used_by_any_thread() {
    fn everywhere<T: Send + Sync + Clone>(_: &T) {}
    fn elsewhere<T: Send>(_: &T) {}
    let base = tree();
    everywhere(&base);
    elsewhere(&base.read_dir().unwrap());
}
