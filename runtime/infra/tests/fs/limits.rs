//! What guests are held to, and that everything is given back.

use nacelle_infra::fs::Errno;

use super::*;

#[test]
fn a_volume_is_full_at_its_size_limit() {
    let budget = Budget::unlimited();
    let limits = MemLimits { bytes: Some(5 * 4096), inodes: 100 };
    let dir = namespace(Tree::memory(limits, Ownership::default(), budget.clone())).root();
    let file = dir.open_at("f", CREATE).unwrap();
    // Page by page, as a tmpfs: what fits is written.
    assert_eq!(file.write_at(100, &[1; 3 * 4096]), Ok(3 * 4096));
    let long = vec![2; 10 * 4096];
    assert_eq!(file.write_at(4 * 4096, &long), Ok(4096));
    assert_eq!(file.append(b"x"), Err(Errno::NOSPC));
    assert_eq!(file.write_at(0, b"over"), Ok(4));
    let other = dir.open_at("g", CREATE).unwrap();
    assert_eq!(other.append(b"x"), Err(Errno::NOSPC));
    file.set_size(4096).unwrap();
    assert_eq!(other.append(b"x"), Ok(1));
    // Open, but nowhere to be seen: still there.
    dir.unlink_file_at("f").unwrap();
    assert_eq!(file.append(&[1; 5 * 4096]), Ok(3 * 4096));
    drop(file);
    assert_eq!(other.append(&[1; 4 * 4096]), Ok(4 * 4096));
}

#[test]
fn everything_is_charged_and_given_back() {
    let budget = Budget::unlimited();
    let tree = Tree::memory(MemLimits { bytes: None, inodes: 100 }, Ownership::default(), budget.clone());
    let dir = namespace(tree).root();
    let before = budget.used();
    let all = |make: &dyn Fn(), remove: &dyn Fn()| {
        make();
        assert!(budget.used() > before);
        remove();
        assert_eq!(budget.used(), before);
    };
    all(&|| write(&dir, "f", "x"), &|| dir.unlink_file_at("f").unwrap());
    all(&|| dir.create_directory_at("d").unwrap(), &|| dir.remove_directory_at("d").unwrap());
    all(&|| dir.symlink_at("x", "l").unwrap(), &|| dir.unlink_file_at("l").unwrap());
    let links = || {
        write(&dir, "f", "x");
        dir.link_at(false, "f", &dir, "g").unwrap();
        dir.rename_at("g", &dir, "a longer name").unwrap();
        write(&dir, "h", "y");
        dir.rename_at("h", &dir, "f").unwrap();
    };
    let unlink = || ["f", "a longer name"].iter().for_each(|name| dir.unlink_file_at(name).unwrap());
    all(&links, &unlink);
    dir.create_directory_at("d").unwrap();
    write(&dir, "d/f", "x");
    drop(dir);
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_pod_s_memory_bounds_files_names_and_content() {
    // 1 MiB: not a million empty files, whatever the inode limit says.
    let fill = |make: &dyn Fn(&Descriptor, u32) -> FsResult<()>| {
        let budget = Budget::new(Some(1 << 20), None);
        let limits = MemLimits { bytes: None, inodes: u64::MAX };
        let dir = namespace(Tree::memory(limits, Ownership::default(), budget.clone())).root();
        let failed = (0..).find_map(|n| make(&dir, n).err().map(|error| (n, error))).unwrap();
        assert_eq!(failed.1, Errno::NOSPC);
        assert!(failed.0 < 12_000, "{failed:?}");
        assert!(budget.used() <= 1 << 20);
    };
    fill(&|dir, n| dir.open_at(&n.to_string(), CREATE).map(drop));
    fill(&|dir, n| dir.open_at(&format!("{n:0>255}"), CREATE).map(drop));
    fill(&|dir, n| dir.create_directory_at(&n.to_string()));
    fill(&|dir, n| dir.symlink_at(&"t".repeat(4000), &n.to_string()));
    fill(&|dir, n| {
        let file = dir.open_at("f", CREATE)?;
        file.write_at(u64::from(n) << 40, b"x").map(drop)
    });
    fill(&|dir, n| {
        dir.open_at("f", CREATE)?;
        dir.link_at(false, "f", dir, &n.to_string())
    });
}

#[test]
fn a_managed_file_may_be_written_to_but_not_without_end() {
    let builder = NamespaceBuilder::new(memory(), true).managed_file("/hosts", "127.0.0.1 localhost");
    let top = builder.build().unwrap().root();
    write(&top, "hosts", "changed");
    assert_eq!(read(&top, "hosts").unwrap(), "changed");
    let file = top.open_at("hosts", WRITE).unwrap();
    assert_eq!(file.write_at(0, &vec![1; 10 << 20]), Ok(1 << 20));
    assert_eq!(file.append(b"x"), Err(Errno::NOSPC));
}

#[test]
fn inodes_are_bounded() {
    let limits = MemLimits { bytes: None, inodes: 3 };
    let dir = namespace(Tree::memory(limits, Ownership::default(), Budget::unlimited())).root();
    dir.create_directory_at("a").unwrap();
    // `/tmp` is one.
    dir.symlink_at("x", "b").unwrap();
    assert_eq!(error(dir.open_at("c", CREATE)), Errno::NOSPC);
    assert_eq!(dir.create_directory_at("c"), Err(Errno::NOSPC));
    dir.unlink_file_at("b").unwrap();
    write(&dir, "c", "");
    assert_eq!(names(&dir), ["a", "c", "tmp"]);
}

#[test]
fn a_tree_may_be_as_deep_as_it_likes() {
    let limits = MemLimits { bytes: None, inodes: 200_000 };
    let budget = Budget::unlimited();
    let top = namespace(Tree::memory(limits, Ownership::default(), budget.clone())).root();
    let chunk = "d/".repeat(100);
    let mut dir = top.clone();
    for _ in 0..300 {
        for depth in 1..=100 {
            dir.create_directory_at(&chunk[..2 * depth]).unwrap();
        }
        dir = dir.open_at(&chunk, DIRECTORY).unwrap();
    }
    assert_eq!(top.rename_at("d", &dir, "x"), Err(Errno::INVAL));
    drop(dir);
    drop(top);
    assert_eq!(budget.used(), 0);
}

#[test]
fn a_way_that_is_kept_open_is_paid_for_once() {
    let top = namespace(memory()).root();
    let mut held = vec![top];
    for depth in 0..9000 {
        let dir = &held[depth];
        dir.create_directory_at("d").unwrap();
        held.push(dir.open_at("d", DIRECTORY).unwrap());
    }
    // Each with its own way would be 9000² / 2 steps.
    let last = held.pop().unwrap();
    held.clear();
    last.symlink_at("../../x", "up").unwrap();
    assert_eq!(error(last.stat_at("up", true)), Errno::NOENT);
}

#[test]
fn listings_hold_little_and_survive_changes() {
    let dir = namespace(memory()).root();
    for n in 0..1000 {
        write(&dir, &format!("{n:04}"), "");
    }
    let mut listing = dir.read_dir().unwrap();
    let mut seen: Vec<String> = listing.by_ref().take(300).map(|entry| entry.unwrap().name).collect();
    for n in (0..1000).filter(|n| n % 2 == 0) {
        dir.unlink_file_at(&format!("{n:04}")).unwrap();
    }
    seen.extend(listing.map(|entry| entry.unwrap().name));
    let (all, mut once) = (seen.len(), seen.clone());
    once.sort();
    once.dedup();
    assert_eq!(once.len(), all);
    assert!((0..1000).filter(|n| n % 2 == 1).all(|n| once.contains(&format!("{n:04}"))));
}

#[test]
fn threads_that_move_directories_into_each_other_make_no_loop() {
    let dir = namespace(memory()).root();
    for name in ["a", "b", "c"] {
        dir.create_directory_at(name).unwrap();
    }
    std::thread::scope(|scope| {
        for turn in 0..3_usize {
            let dir = &dir;
            scope.spawn(move || {
                let name = ["a", "b", "c"];
                for step in 0..2000 {
                    let (from, into) = (name[(turn + step) % 3], name[(turn + step + 1) % 3]);
                    let _ = dir.rename_at(from, dir, &format!("{into}/{from}"));
                    let _ = dir.rename_at(&format!("{into}/{from}"), dir, from);
                    let _ = dir.remove_directory_at(&format!("{into}/x"));
                    let _ = dir.create_directory_at(&format!("{into}/x"));
                    let _ = dir.stat_at(&format!("{into}/{from}/x"), true);
                }
            });
        }
    });
    // All of them can still be reached.
    let mut pending = vec![dir.clone()];
    let mut found = Vec::new();
    while let Some(dir) = pending.pop() {
        for name in names(&dir) {
            pending.push(dir.open_at(&name, DIRECTORY).unwrap());
            found.push(name);
        }
    }
    assert!(["a", "b", "c"].iter().all(|name| found.iter().any(|found| found == name)), "{found:?}");
}

#[test]
fn files_that_come_and_go_while_they_are_moved() {
    let dir = namespace(memory()).root();
    std::thread::scope(|scope| {
        let dir = &dir;
        // What each of them gives depends on who was first.
        let often = |step: &dyn Fn() -> FsResult<()>| (0..3000).filter(|_| step().is_ok()).count();
        scope.spawn(move || often(&|| dir.rename_at("a", dir, "b")));
        scope.spawn(move || often(&|| dir.rename_at("b", dir, "a")));
        scope.spawn(move || often(&|| dir.unlink_file_at("b")));
        scope.spawn(move || often(&|| dir.link_at(false, "a", dir, "b")));
        scope.spawn(|| {
            for _ in 0..3000 {
                // Whatever is found is a file that lives as long as it is held.
                let file = dir.open_at("a", CREATE).unwrap();
                assert_eq!(file.write_at(0, b"x"), Ok(1));
                assert_eq!(file.read_bytes_at(0, 9).unwrap(), "x");
            }
        });
    });
    for name in names(&dir) {
        let stat = dir.stat_at(&name, false).unwrap();
        assert!(stat.kind == nacelle_infra::fs::FileKind::Directory || (1..=2).contains(&stat.nlink), "{stat:?}");
    }
}
