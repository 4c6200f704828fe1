use std::fs;
use std::path::Path;
use std::sync::Mutex;

use super::*;
use crate::fs::host::{HostDir, HostFile};
use crate::fs::node::{File, OpenNode, Opened};

const PAGE: u64 = 4096;
const CREATE: OpenNode =
    OpenNode { read: true, write: true, create: true, exclusive: false, truncate: false, directory: false };

/// A volume whose clock stands still until it is told to go on.
struct Volume {
    temp: tempfile::TempDir,
    quota: Arc<DiskQuota>,
    root: HostDir,
    now: Arc<Mutex<Instant>>,
    told: Arc<Mutex<Vec<u64>>>,
}

impl Volume {
    fn new(limit: u64) -> Self {
        // Blocks are allocated at once there, one per page.
        let temp = tempfile::tempdir_in("/dev/shm").unwrap();
        let (now, told) = (Arc::new(Mutex::new(Instant::now())), Arc::new(Mutex::new(Vec::new())));
        let notice = Arc::clone(&told);
        let account =
            DiskUsage::with_notice(Some(limit), None, Box::new(move |used| notice.lock().unwrap().push(used)));
        let clock = Arc::clone(&now);
        let quota = DiskQuota::with(open(temp.path()), account, 50, Box::new(move || *clock.lock().unwrap())).unwrap();
        let root = HostDir::new(open(temp.path()), Some(Arc::clone(&quota))).unwrap();
        Self { temp, quota, root, now, told }
    }

    fn wait(&self, time: Duration) {
        *self.now.lock().unwrap() += time;
    }

    /// As if counting had taken long.
    fn pay_later(&self, time: Duration) {
        self.quota.counted().paid_at = *self.now.lock().unwrap() + ADVANCE + time;
    }

    fn file(&self, name: &str) -> HostFile {
        match self.root.open(name, CREATE).unwrap() {
            Opened::File(File::Host(file)) => file,
            other => panic!("{other:?}"),
        }
    }

    fn told(&self) -> usize {
        self.told.lock().unwrap().len()
    }
}

fn open(path: &Path) -> OwnedFd {
    fs::File::open(path).unwrap().into()
}

#[test]
fn a_volume_that_is_full_refuses_and_tells_once() {
    let volume = Volume::new(10 * PAGE);
    let file = volume.file("f");
    assert_eq!(file.write_at(0, &[1; 10 * 4096]).unwrap(), 10 * 4096);
    volume.wait(INTERVAL);
    for _ in 0..3 {
        assert_eq!(file.append(b"x").unwrap_err(), Errno::NOSPC);
        volume.wait(INTERVAL);
    }
    assert_eq!((volume.told(), volume.quota.account().is_exceeded()), (1, true));
    // What it has can be changed.
    assert_eq!(file.write_at(5, b"hello").unwrap(), 5);
    assert_eq!(file.stat().unwrap().size, 10 * PAGE);
    assert_eq!(volume.quota.account().used(), 10 * PAGE);
}

#[test]
fn writing_the_same_place_again_takes_no_room() {
    let volume = Volume::new(10 * PAGE);
    let file = volume.file("f");
    for _ in 0..100 {
        file.write_at(0, &[1; 4096]).unwrap();
    }
    // Another file gets what is really free, at once: much was written since the last count.
    assert_eq!(volume.file("g").write_at(0, &[1; 9 * 4096]).unwrap(), 9 * 4096);
    assert_eq!(volume.told(), 0);
}

#[test]
fn what_was_freed_can_be_used_at_once() {
    let volume = Volume::new(10 * PAGE);
    for n in 0..20 {
        let file = volume.file("f");
        assert_eq!(file.write_at(0, &[1; 10 * 4096]).unwrap(), 10 * 4096, "{n}");
        match n % 3 {
            0 => volume.root.unlink("f").unwrap(),
            1 => file.set_size(0).unwrap(),
            _ => {
                volume.file("empty");
                volume.root.rename("empty", &volume.root, "f").unwrap();
            }
        }
    }
    assert_eq!(volume.told(), 0);
}

#[test]
fn a_removed_file_takes_its_room_while_it_is_open() {
    let volume = Volume::new(10 * PAGE);
    let file = volume.file("f");
    file.write_at(0, &[1; 8 * 4096]).unwrap();
    volume.root.unlink("f").unwrap();
    let other = volume.file("g");
    assert_eq!(other.write_at(0, &[1; 3 * 4096]).unwrap_err(), Errno::NOSPC);
    assert_eq!(other.write_at(0, &[1; 2 * 4096]).unwrap(), 2 * 4096);
    drop(file);
    volume.wait(INTERVAL);
    assert_eq!(other.append(&[1; 8 * 4096]).unwrap(), 8 * 4096);
}

#[test]
fn nobody_counts_all_the_time() {
    let volume = Volume::new(16 * PAGE);
    let file = volume.file("f");
    file.write_at(0, &[1; 15 * 4096]).unwrap();
    volume.wait(INTERVAL);
    assert_eq!(volume.file("g").write_at(0, &[1; 2 * 4096]).unwrap_err(), Errno::NOSPC);
    let counted = volume.quota.counted().at;
    // Somebody on the host makes room; nobody knows until the time has come.
    fs::remove_file(volume.temp.path().join("f")).unwrap();
    drop(file);
    assert_eq!(volume.file("g").write_at(0, &[1; 2 * 4096]).unwrap_err(), Errno::NOSPC);
    assert_eq!(volume.quota.counted().at, counted);
    volume.wait(INTERVAL);
    assert_eq!(volume.file("g").write_at(0, &[1; 2 * 4096]).unwrap(), 2 * 4096);
    // A count that took a second is paid back in ten.
    volume.pay_later(Duration::from_secs(10));
    volume.quota.freed();
    volume.wait(Duration::from_secs(9));
    assert!(!volume.quota.recount());
    volume.wait(Duration::from_secs(1));
    assert!(volume.quota.recount());
}

#[test]
fn a_doubtful_estimate_refuses_but_does_not_evict() {
    let volume = Volume::new(10 * PAGE);
    let file = volume.file("f");
    file.write_at(0, &[1; 9 * 4096]).unwrap();
    volume.pay_later(Duration::from_secs(10));
    assert_eq!(volume.file("g").write_at(0, &[1; 2 * 4096]).unwrap_err(), Errno::NOSPC);
    assert_eq!(volume.told(), 0);
    volume.wait(Duration::from_secs(10));
    assert_eq!(volume.file("g").write_at(0, &[1; 2 * 4096]).unwrap_err(), Errno::NOSPC);
    assert_eq!(volume.told(), 1);
}

#[test]
fn names_are_bounded_too() {
    let volume = Volume::new(1 << 30);
    for n in 0..50 {
        volume.file(&n.to_string());
    }
    assert!(matches!(volume.root.open("x", CREATE), Err(Errno::NOSPC)));
    assert_eq!(volume.root.symlink("y", "x").unwrap_err(), Errno::NOSPC);
    volume.root.unlink("7").unwrap();
    volume.root.create_directory("x").unwrap();
    assert_eq!(volume.root.create_directory("y").unwrap_err(), Errno::NOSPC);
    // Names that are there, and files that are open already, go on.
    volume.file("8").write_at(0, b"x").unwrap();
}

#[test]
fn many_writers_never_pass_the_limit_by_more_than_they_write_at_once() {
    let volume = Volume::new(100 * PAGE);
    std::thread::scope(|scope| {
        for n in 0..4_u64 {
            let volume = &volume;
            scope.spawn(move || {
                let file = volume.file(&format!("f{n}"));
                while file.append(&[1; 4096]).is_ok() {}
            });
        }
    });
    let used = count(open(volume.temp.path()).as_fd(), 1000).unwrap().bytes;
    assert!((90 * PAGE..=104 * PAGE).contains(&used), "{used}");
}
