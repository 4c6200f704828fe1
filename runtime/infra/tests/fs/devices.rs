//! `/dev`.

use nacelle_infra::fs::{Device, Errno, FileKind, SetTime};

use super::*;

fn dev() -> Descriptor {
    let builder = NamespaceBuilder::new(memory(), false).devices().shared_memory(Budget::unlimited());
    builder.build().unwrap().open_dir("/dev").unwrap()
}

#[test]
fn what_is_there() {
    let dev = dev();
    assert_eq!(names(&dev), ["null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero"]);
    assert!(dev.read_dir().unwrap().all(|entry| {
        let entry = entry.unwrap();
        entry.kind == if entry.name == "shm" { FileKind::Directory } else { FileKind::CharDevice }
    }));
    assert_eq!(dev.create_directory_at("x"), Err(Errno::ROFS));
    assert_eq!(dev.unlink_file_at("null"), Err(Errno::ROFS));
}

#[test]
fn they_do_what_they_are_for() {
    let dev = dev();
    let open = |name| dev.open_at(name, OpenHow { truncate: true, ..WRITE }).unwrap();
    let mut buffer = [7; 64];
    assert_eq!(open("null").read_at(0, &mut buffer), Ok(0));
    assert_eq!(open("null").append(b"gone"), Ok(4));
    assert_eq!(open("zero").read_at(123, &mut buffer), Ok(64));
    assert_eq!(buffer, [0; 64]);
    for name in ["random", "urandom"] {
        assert_eq!(open(name).read_at(0, &mut buffer), Ok(64));
        assert!(buffer.iter().any(|byte| *byte != 0));
    }
    // A guest asks for as much as it likes.
    assert!(open("zero").read_bytes_at(0, usize::MAX).unwrap().len() <= 1 << 20);
    assert_eq!(open("null").set_size(1), Err(Errno::INVAL));
    assert_eq!(open("random").stat().unwrap().mode, 0o666);
}

#[test]
fn streams_are_told_by_their_device() {
    let dev = dev();
    for (name, device) in [("stdin", Device::Stdin), ("stdout", Device::Stdout), ("stderr", Device::Stderr)] {
        let stream = dev.open_at(name, WRITE).unwrap();
        assert_eq!(stream.device(), Some(device));
        assert_eq!(stream.read_at(0, &mut [0]), Err(Errno::SPIPE));
        assert_eq!(stream.write_at(0, b"x"), Err(Errno::SPIPE));
    }
    assert_eq!(dev.device(), None);
}

#[test]
fn shared_memory_is_bounded() {
    let file = dev().open_at("shm/file", CREATE).unwrap();
    // A hole costs nothing.
    file.set_size(1 << 40).unwrap();
    file.set_size(0).unwrap();
    let chunk = vec![1; 1 << 20];
    let written: usize = std::iter::from_fn(|| file.append(&chunk).ok()).take(100).sum();
    assert_eq!(written, 64 << 20);
    assert_eq!(file.append(b"x"), Err(Errno::NOSPC));
}

/// All containers share one tree of devices.
#[test]
fn nothing_that_one_container_does_there_shows_in_another() {
    let (mine, theirs) = (dev(), dev());
    let before = theirs.stat_at("null", true).unwrap();
    let null = mine.open_at("null", WRITE).unwrap();
    null.append(b"gone").unwrap();
    let now = SetTime::Now;
    assert_eq!(null.set_times(now, now), Err(Errno::ROFS));
    assert_eq!(mine.set_times_at("null", true, now, now), Err(Errno::ROFS));
    assert_eq!(mine.set_times(now, now), Err(Errno::ROFS));
    assert_eq!(mine.link_at(true, "null", &mine, "other"), Err(Errno::ROFS));
    assert_eq!(mine.rename_at("null", &mine, "other"), Err(Errno::ROFS));
    assert_eq!(theirs.stat_at("null", true).unwrap(), before);
    assert_eq!(names(&theirs), names(&mine));
}
