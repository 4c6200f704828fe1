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
    assert_eq!(other.append(&[1; 3 * 4096]).unwrap(), 2 * 4096);
    assert_eq!(other.append(b"x").unwrap_err(), Errno::NOSPC);
    drop(file);
    volume.wait(INTERVAL);
    assert_eq!(other.append(&[1; 8 * 4096]).unwrap(), 8 * 4096);
}

#[test]
fn what_fits_is_written() {
    let volume = Volume::new(10 * PAGE);
    let file = volume.file("f");
    assert_eq!(file.write_at(PAGE / 2, &[1; 12 * 4096]).unwrap(), 10 * 4096 - 2048);
    assert_eq!(file.append(&[1; 4096]).unwrap_err(), Errno::NOSPC);
    // Inside of the last block there is always room.
    file.set_size(9 * PAGE + 1).unwrap();
    assert_eq!(file.append(&[1; 4096]).unwrap(), 4095);
}

#[test]
fn small_files_count_as_much_as_they_take() {
    let volume = Volume::new(20 * PAGE);
    for n in 0..20 {
        volume.file(&format!("f{n}")).append(b"x").unwrap();
    }
    assert_eq!(volume.file("last").append(b"x").unwrap_err(), Errno::NOSPC);
    // Small steps within a block do not.
    let file = volume.file("f0");
    for _ in 0..1000 {
        file.append(b"x").unwrap();
    }
    assert_eq!(volume.quota.account().used(), 20 * PAGE);
}

#[test]
fn holes_take_no_room_until_they_are_filled() {
    let volume = Volume::new(10 * PAGE);
    let file = volume.file("f");
    file.set_size(1 << 40).unwrap();
    file.write_at(1 << 30, &[1; 4096]).unwrap();
    for n in 0..8 {
        assert_eq!(volume.file("f").write_at(n * 2 * PAGE, b"x").unwrap(), 1, "{n}");
    }
    // The same place again: what is charged for it is found to be too much.
    for _ in 0..100 {
        assert_eq!(file.write_at(2 * PAGE, b"y").unwrap(), 1);
    }
    assert_eq!(file.write_at(PAGE, b"x").unwrap(), 1);
    assert_eq!(file.write_at(3 * PAGE, b"x").unwrap_err(), Errno::NOSPC);
}

#[test]
fn a_file_that_another_descriptor_cut_is_paid_for_again() {
    let volume = Volume::new(10 * PAGE);
    let files: Vec<_> = (0..5).map(|n| volume.file(&n.to_string())).collect();
    for (n, file) in files.iter().enumerate() {
        assert_eq!(file.write_at(0, &[1; 8 * 4096]).unwrap(), 8 * 4096);
        volume.file(&n.to_string()).set_size(0).unwrap();
    }
    let written: usize = files.iter().map(|file| file.write_at(0, &[1; 8 * 4096]).unwrap_or(0)).sum();
    assert_eq!(written, 10 * 4096);
}

#[test]
fn nobody_counts_all_the_time() {
    let volume = Volume::new(16 * PAGE);
    let file = volume.file("f");
    file.write_at(0, &[1; 16 * 4096]).unwrap();
    volume.wait(INTERVAL);
    let other = volume.file("g");
    assert_eq!(other.append(&[1; 4096]).unwrap_err(), Errno::NOSPC);
    let counted = volume.quota.counted().at;
    // Somebody on the host makes room; nobody knows until the time has come.
    fs::remove_file(volume.temp.path().join("f")).unwrap();
    drop(file);
    assert_eq!(other.append(&[1; 4096]).unwrap_err(), Errno::NOSPC);
    assert_eq!(volume.quota.counted().at, counted);
    volume.wait(INTERVAL);
    assert_eq!(other.append(&[1; 4096]).unwrap(), 4096);
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
    let (file, other) = (volume.file("f"), volume.file("g"));
    volume.quota.recount();
    file.write_at(0, &[1; 10 * 4096]).unwrap();
    volume.pay_later(Duration::from_secs(10));
    volume.quota.freed();
    assert_eq!(other.append(b"x").unwrap_err(), Errno::NOSPC);
    assert_eq!(volume.told(), 0);
    volume.wait(Duration::from_secs(10));
    assert_eq!(other.append(b"x").unwrap_err(), Errno::NOSPC);
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
fn many_writers_fill_a_volume_and_no_more() {
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
    assert_eq!(count(open(volume.temp.path()).as_fd(), 1000).unwrap().bytes, 100 * PAGE);
}

#[test]
fn two_descriptors_of_one_file_pay_once() {
    let volume = Volume::new(10 * PAGE);
    let files: Vec<_> = (0..20).map(|_| volume.file("f")).collect();
    for file in &files {
        assert_eq!(file.write_at(0, &[1; 10 * 4096]).unwrap(), 10 * 4096);
    }
    assert_eq!((volume.told(), volume.quota.account().used() / PAGE), (0, 10));
}

proptest::proptest! {
    /// What is charged for the parts of a write covers all blocks, none of them twice.
    #[test]
    fn growth_is_whole_blocks(size in 0..80_000_u64, offset in 0..100_000_u64, len in 0..100_000_u64, part in 0..100_000_u64) {
        let filled = |size: u64| Some(size.next_multiple_of(BLOCK));
        let (part, end) = (part.min(len), offset + len);
        let whole = Growth::of(filled(size), offset, len);
        let added: u64 = (offset / BLOCK..end.div_ceil(BLOCK)).filter(|block| block * BLOCK >= size).count() as u64;
        proptest::prop_assert_eq!(whole.bytes, if len == 0 { 0 } else { added * BLOCK });
        let first = Growth::of(filled(size), offset, part);
        // If there is no hole before it, the next part begins where this one has filled the file.
        if offset <= size {
            let rest = Growth::of(filled(size.max(offset + part)), offset + part, len - part);
            proptest::prop_assert_eq!(first.bytes + rest.bytes, whole.bytes);
        }
        proptest::prop_assert!(Growth::of(None, offset, len).bytes >= whole.bytes);
    }
}
