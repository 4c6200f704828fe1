//! Against real directories.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;
use rustix::fs::{CWD, FileType, Mode, RenameFlags};
use rustix::io::Errno;

use super::*;
use crate::fs::node::{Dir, File, Found, Leaf, OpenNode, Opened};
use crate::fs::{FileKind, SetTime};

const READ: OpenNode =
    OpenNode { read: true, write: false, create: false, exclusive: false, truncate: false, directory: false };
const WRITE: OpenNode = OpenNode { write: true, ..READ };
const CREATE: OpenNode = OpenNode { create: true, ..WRITE };
const CREATE_NEW: OpenNode = OpenNode { exclusive: true, ..CREATE };

fn tree(path: &Path) -> HostDir {
    HostDir::new(fs::File::open(path).unwrap().into(), None).unwrap()
}

fn file(opened: Result<Opened, Errno>) -> Result<HostFile, Errno> {
    match opened? {
        Opened::File(File::Host(file)) => Ok(file),
        other => panic!("{other:?}"),
    }
}

fn dir(dir: &HostDir, name: &str) -> HostDir {
    match dir.lookup(name).unwrap() {
        Found::Directory(Dir::Host(dir)) => dir,
        other => panic!("{other:?}"),
    }
}

fn content(file: &HostFile) -> String {
    String::from_utf8(file.read_bytes_at(0, 1 << 16).unwrap().to_vec()).unwrap()
}

#[test]
fn files_are_made_read_written_and_cut() {
    let temp = tempfile::tempdir().unwrap();
    let root = tree(temp.path());
    assert_eq!(file(root.open("f", WRITE)).unwrap_err(), Errno::NOENT);
    let made = file(root.open("f", CREATE)).unwrap();
    assert_eq!(made.write_at(3, b"lo").unwrap(), 2);
    assert_eq!(made.append(b" all").unwrap(), 4);
    assert_eq!(made.write_at(0, b"hel").unwrap(), 3);
    assert_eq!(content(&made), "hello all");
    assert_eq!(file(root.open("f", CREATE_NEW)).unwrap_err(), Errno::EXIST);
    let again = file(root.open("f", CREATE)).unwrap();
    assert!(again.is_same(&made));
    let mut buffer = [0; 4];
    assert_eq!((again.read_at(5, &mut buffer).unwrap(), &buffer), (4, b" all"));
    assert_eq!(again.read_at(9, &mut buffer).unwrap(), 0);
    assert_eq!(file(root.open("f", READ)).unwrap().write_at(0, b"x").unwrap_err(), Errno::BADF);
    again.set_size(5).unwrap();
    assert_eq!(made.stat().unwrap().size, 5);
    drop(file(root.open("f", OpenNode { truncate: true, ..WRITE })).unwrap());
    assert_eq!(made.stat().unwrap().size, 0);
    made.sync(true).unwrap();
    root.sync().unwrap();
    assert_eq!(made.write_at(u64::MAX, b"x").unwrap_err(), Errno::INVAL);
}

#[test]
fn names_stand_for_what_linux_says() {
    let temp = tempfile::tempdir().unwrap();
    let root = tree(temp.path());
    root.create_directory("d").unwrap();
    assert_eq!(root.create_directory("d").unwrap_err(), Errno::EXIST);
    root.symlink("d/../x", "l").unwrap();
    file(root.open("f", CREATE)).unwrap().write_at(0, b"f").unwrap();
    assert!(matches!(root.lookup("l").unwrap(), Found::Symlink(target) if &*target == "d/../x"));
    assert!(matches!(root.open("l", CREATE).unwrap(), Opened::Symlink(_)));
    assert_eq!(root.open("l", CREATE_NEW).unwrap_err(), Errno::EXIST);
    assert_eq!(root.open("d", WRITE).unwrap_err(), Errno::ISDIR);
    assert_eq!(root.open("f", OpenNode { directory: true, ..READ }).unwrap_err(), Errno::NOTDIR);
    assert!(matches!(root.open("d", READ).unwrap(), Opened::Directory(_)));
    assert_eq!(&*root.readlink("l").unwrap(), "d/../x");
    assert_eq!(root.readlink("f").unwrap_err(), Errno::INVAL);
    assert_eq!(root.stat_name("l").unwrap().kind, FileKind::Symlink);
    assert_eq!(root.unlink("d").unwrap_err(), Errno::ISDIR);
    assert_eq!(root.remove_directory("f").unwrap_err(), Errno::NOTDIR);

    let below = dir(&root, "d");
    root.link("f", &below, "g").unwrap();
    assert_eq!(root.stat_name("f").unwrap().nlink, 2);
    assert_eq!(root.remove_directory("d").unwrap_err(), Errno::NOTEMPTY);
    root.rename("f", &below, "g").unwrap();
    // Two names of one file: nothing happens.
    assert_eq!(root.stat_name("f").unwrap().nlink, 2);
    root.unlink("f").unwrap();
    below.unlink("g").unwrap();
    root.remove_directory("d").unwrap();
    // The directory is gone, whoever holds it.
    assert_eq!(below.open("x", CREATE).unwrap_err(), Errno::NOENT);
    assert!(below.is_same(&below.clone()) && !below.is_same(&root));
}

#[test]
fn times_are_set_on_what_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let root = tree(temp.path());
    let time = UNIX_EPOCH + Duration::new(1_000_000_000, 123);
    let made = file(root.open("f", CREATE)).unwrap();
    root.symlink("f", "l").unwrap();
    root.set_times_name("l", SetTime::Now, SetTime::To(time)).unwrap();
    assert_eq!(root.stat_name("l").unwrap().modified, time);
    assert_ne!(made.stat().unwrap().modified, time);
    let Found::Leaf(Leaf::Host(leaf)) = root.lookup("f").unwrap() else { panic!() };
    leaf.set_times(SetTime::To(time), SetTime::Keep).unwrap();
    assert_eq!(leaf.stat().unwrap().accessed, time);
    assert_ne!(leaf.stat().unwrap().modified, time);
    made.set_times(SetTime::Keep, SetTime::To(time)).unwrap();
    root.set_times(SetTime::Keep, SetTime::To(time)).unwrap();
    assert_eq!((made.stat().unwrap().modified, root.stat().unwrap().modified), (time, time));
}

#[test]
fn nothing_but_regular_files_is_opened() {
    let temp = tempfile::tempdir().unwrap();
    let path = |name: &str| temp.path().join(name);
    let root = tree(temp.path());
    rustix::fs::mknodat(CWD, path("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
    let full = rustix::fs::makedev(1, 7);
    // Only root may; the rest of the test is worth having without.
    let device = rustix::fs::mknodat(CWD, path("full"), FileType::CharacterDevice, Mode::RWXU, full).is_ok();
    for how in [READ, WRITE, CREATE, OpenNode { truncate: true, ..WRITE }] {
        assert_eq!(root.open("fifo", how).unwrap_err(), Errno::NXIO);
        assert_eq!(root.open("socket", how).unwrap_err(), Errno::NXIO);
        assert!(root.open_beneath("fifo", how).is_none());
        if device {
            assert_eq!(root.open("full", how).unwrap_err(), Errno::PERM);
        }
    }
    assert_eq!(root.stat_name("fifo").unwrap().kind, FileKind::Fifo);
    root.rename("socket", &root, "moved").unwrap();
    root.unlink("fifo").unwrap();
    let fifo_as_tree = HostLeaf::new(sys::locate(fs::File::open(temp.path()).unwrap(), "moved").unwrap()).unwrap();
    assert_eq!(fifo_as_tree.open(READ).unwrap_err(), Errno::NXIO);
}

#[test]
fn a_pipe_in_the_place_of_a_file_is_not_waited_for() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("f"), "file").unwrap();
    rustix::fs::mknodat(CWD, temp.path().join("p"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    let root = tree(temp.path());
    exchanging(temp.path(), "f", "p", 2000, || match file(root.open("f", READ)) {
        Ok(file) => assert_eq!(content(&file), "file"),
        Err(error) => assert_eq!(error, Errno::NXIO),
    });
}

/// Calls `test` while two names are exchanged again and again.
fn exchanging(dir: &Path, a: &str, b: &str, times: usize, test: impl Fn()) {
    let dir: OwnedFd = fs::File::open(dir).unwrap().into();
    std::thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            for _ in 0..times {
                rustix::fs::renameat_with(&dir, a, &dir, b, RenameFlags::EXCHANGE).unwrap();
            }
        });
        while !swapper.is_finished() {
            test();
        }
    });
}

#[test]
fn a_directory_that_becomes_a_link_leads_nowhere() {
    let temp = tempfile::tempdir_in("/dev/shm").unwrap();
    let inside = temp.path().join("inside");
    fs::create_dir_all(inside.join("d/e")).unwrap();
    fs::write(inside.join("d/e/f"), "inside").unwrap();
    fs::create_dir_all(temp.path().join("outside/e")).unwrap();
    fs::write(temp.path().join("outside/e/f"), "outside").unwrap();
    symlink("../outside", inside.join("l")).unwrap();
    symlink(temp.path().join("outside"), inside.join("m")).unwrap();
    let root = tree(&inside);
    for link in ["l", "m"] {
        exchanging(&inside, "d", link, 5000, || {
            // One component at a time, as the namespace walks.
            if let Found::Directory(Dir::Host(found)) = root.lookup("d").unwrap() {
                assert_eq!(content(&file(dir(&found, "e").open("f", READ)).unwrap()), "inside");
                assert_eq!(found.stat_name("e").unwrap().dev, root.stat().unwrap().dev);
            }
            // In one step.
            if let Some(file) = root.open_beneath("d/e/f", READ) {
                assert_eq!(content(&file), "inside");
            }
            if let Some(stat) = root.stat_beneath("d/e/f") {
                assert_eq!(stat.size, 6);
            }
            // Nothing is made outside.
            let _ = root.open("d", CREATE);
            let _ = root.symlink("x", "d");
        });
    }
    assert_eq!(fs::read_dir(temp.path().join("outside")).unwrap().count(), 1);
}

#[test]
fn links_and_renames_do_not_cross_trees() {
    let temp = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        fs::create_dir(temp.path().join(name)).unwrap();
    }
    fs::write(temp.path().join("a/f"), "f").unwrap();
    let (a, b) = (tree(&temp.path().join("a")), tree(&temp.path().join("b")));
    assert_eq!(a.link("f", &b, "f").unwrap_err(), Errno::XDEV);
    assert_eq!(a.rename("f", &b, "f").unwrap_err(), Errno::XDEV);
    a.link("f", &a.clone(), "g").unwrap();
}

#[test]
fn a_listing_has_everything_once_and_says_what_it_cannot() {
    let temp = tempfile::tempdir().unwrap();
    for n in 0..3000 {
        fs::write(temp.path().join(format!("file-{n}-{}", "x".repeat(200))), "").unwrap();
    }
    fs::create_dir(temp.path().join("dir")).unwrap();
    symlink("x", temp.path().join("link")).unwrap();
    let root = tree(temp.path());
    let entries: Vec<_> = root.list().unwrap().map(Result::unwrap).collect();
    let names: std::collections::BTreeSet<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!((entries.len(), names.len()), (3002, 3002));
    let kind = |name: &str| entries.iter().find(|entry| entry.name == name).unwrap().kind;
    assert_eq!((kind("dir"), kind("link")), (FileKind::Directory, FileKind::Symlink));
    assert!(entries.iter().all(|entry| root.stat_name(&entry.name).unwrap().ino == entry.ino));

    fs::write(temp.path().join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
    let wrong = root.list().unwrap().filter_map(Result::err).collect::<Vec<_>>();
    assert_eq!(wrong, [Errno::ILSEQ]);
}

#[test]
fn the_runtimes_own_process_is_not_to_be_seen() {
    let proc = || fs::File::open("/proc").unwrap().into();
    assert_eq!(HostDir::new(proc(), None).unwrap_err(), Errno::ACCESS);
    let mem = sys::locate(fs::File::open("/proc/self").unwrap(), "mem").unwrap();
    assert_eq!(HostLeaf::new(mem).unwrap_err(), Errno::ACCESS);
    let root = tree(Path::new("/"));
    assert_eq!(root.lookup("proc").unwrap_err(), Errno::ACCESS);
    assert!(root.open_beneath("proc/self/environ", READ).is_none());
    assert!(root.stat_beneath("proc/self/environ").is_none());
}

#[test]
fn a_file_may_be_a_tree() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("f"), "hello").unwrap();
    assert_eq!(HostLeaf::new(fs::File::open(temp.path()).unwrap().into()).unwrap_err(), Errno::ISDIR);
    let leaf = HostLeaf::new(fs::File::open(temp.path().join("f")).unwrap().into()).unwrap();
    assert_eq!(content(&leaf.open(READ).unwrap()), "hello");
    assert_eq!(leaf.stat().unwrap().ino, fs::metadata(temp.path().join("f")).unwrap().ino());
}

#[test]
fn one_tree_does_not_take_all_descriptors() {
    let temp = tempfile::tempdir().unwrap();
    let root = tree(temp.path());
    let mut held = Vec::new();
    let error = loop {
        match file(root.open("f", CREATE)) {
            Ok(file) => held.push(file),
            Err(error) => break error,
        }
        assert!(held.len() < root.most());
    };
    // One for the tree, and one to look before opening.
    assert_eq!((error, held.len()), (Errno::MFILE, root.most() - 2));
    let last = root.list().unwrap();
    assert_eq!(root.list().unwrap_err(), Errno::MFILE);
    drop(last);
    held.truncate(1);
    assert_eq!(root.list().unwrap().count(), 1);
    // Another one has its own.
    file(tree(temp.path()).open("f", READ)).unwrap();
}

proptest! {
    /// Whatever one system call finds, walking finds as well; it never finds more.
    #[test]
    fn one_step_finds_what_walking_finds(
        entries in prop::collection::vec(("[ab](/[ab]){0,2}", prop::option::of("(\\.\\./|/)?[ab](/[ab])?")), 0..12),
        path in "[ab](/[ab]){0,3}",
    ) {
        let temp = tempfile::tempdir_in("/dev/shm").unwrap();
        for (path, link) in entries {
            let path = temp.path().join(path);
            let _ = fs::create_dir_all(path.parent().unwrap());
            let _ = match link {
                Some(target) => symlink(target, &path),
                None => fs::File::create_new(&path).map(drop),
            };
        }
        let root = tree(temp.path());
        let walked = path.split('/').try_fold(Some(Found::Directory(Dir::Host(root.clone()))), |found, name| match found {
            Some(Found::Directory(Dir::Host(dir))) => dir.lookup(name).map(Some).or(Ok::<_, Errno>(None)),
            _ => Ok(None),
        }).unwrap();
        match walked {
            Some(Found::Leaf(Leaf::Host(leaf))) => {
                let at_once = root.open_beneath(&path, READ);
                // Where openat2 is missing, there is no such step.
                if let Some(file) = at_once {
                    prop_assert!(file.is_same(&leaf.open(READ).unwrap()));
                    prop_assert_eq!(root.stat_beneath(&path), Some(leaf.stat().unwrap()));
                }
            }
            Some(Found::Directory(_)) => prop_assert!(root.open_beneath(&path, READ).is_none()),
            _ => prop_assert!(root.open_beneath(&path, READ).is_none() && root.stat_beneath(&path).is_none()),
        }
    }
}
