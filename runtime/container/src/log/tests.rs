//! Logs on disk: writing, rotating, reading back, and the pump between a container and them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use bytes::Bytes;
use jiff::Timestamp;
use nacelle_infra::fs::DiskUsage;
use tokio::sync::mpsc;

use super::*;
use crate::PodUid;
use crate::output::{Chunk, channel};

fn time(second: i64) -> Timestamp {
    Timestamp::from_second(1_767_225_600 + second).unwrap()
}

fn line(text: &str) -> LogLine {
    LogLine { stream: Stream::Stdout, time: time(0), partial: false, bytes: Bytes::copy_from_slice(text.as_bytes()) }
}

fn texts(path: &Path) -> Vec<String> {
    read(path).unwrap().map(|line| String::from_utf8(line.unwrap().bytes.to_vec()).unwrap()).collect()
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = entries.collect();
    names.sort();
    names
}

fn id() -> ContainerId {
    ContainerId { pod: PodUid::new("uid"), name: "app".into(), attempt: 0 }
}

#[test]
fn files_are_for_the_owner_and_the_group() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("pod/app/0.log");
    LogWriter::open(&path, LogConfig::default()).unwrap().append(&[line("hello")]).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path) & 0o137, 0);
    assert_eq!(mode(path.parent().unwrap()) & 0o027, 0);
    assert_eq!(fs::read_to_string(&path).unwrap(), "2026-01-01T00:00:00.000000000Z stdout F hello\n");
}

#[test]
fn what_the_files_take_is_counted() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("0.log");
    let on_disk =
        || -> u64 { fs::read_dir(temp.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum() };
    for max_files in [3, 1] {
        // Each time after what is there.
        let usage = DiskUsage::unlimited();
        let config = LogConfig { max_size: 200, max_files };
        let mut writer = LogWriter::open(&path, config).unwrap().counted(Arc::clone(&usage));
        for n in 0..20 {
            writer.append(&[line(&format!("line {n}"))]).unwrap();
            assert_eq!(usage.used(), on_disk());
        }
    }
}

#[test]
fn rotation_keeps_the_newest_and_loses_nothing_before_that() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("0.log");
    // Two records of 46 bytes fit into a file.
    let config = LogConfig { max_size: 100, max_files: 3 };
    let all: Vec<_> = (0..10).map(|n| line(&n.to_string())).collect();
    for batch in [&all[..1], &all[1..4], &all[4..]] {
        LogWriter::open(&path, config).unwrap().append(batch).unwrap();
    }
    assert_eq!(names(temp.path()), ["0.log", "0.log.20260101-000000.0002", "0.log.20260101-000000.0003"]);
    assert_eq!(texts(&path), ["4", "5", "6", "7", "8", "9"]);
    assert!(fs::read_dir(temp.path()).unwrap().all(|entry| entry.unwrap().metadata().unwrap().len() <= 100));
    // Files of other logs and of other programs are left alone.
    fs::write(temp.path().join("0.log.gz"), "").unwrap();
    fs::write(temp.path().join("10.log.20260101-000000"), "").unwrap();
    let one = LogConfig { max_size: 100, max_files: 1 };
    LogWriter::open(&path, one).unwrap().append(&all[..3]).unwrap();
    assert_eq!(texts(&path), ["2"]);
    assert_eq!(names(temp.path()), ["0.log", "0.log.gz", "10.log.20260101-000000"]);
}

#[test]
fn a_record_larger_than_a_file_is_still_kept() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("0.log");
    let config = LogConfig { max_size: 1, max_files: 4 };
    LogWriter::open(&path, config).unwrap().append(&[line("a"), line("b"), line("c")]).unwrap();
    assert_eq!(texts(&path), ["a", "b", "c"]);
    assert_eq!(names(temp.path()).len(), 3);
}

#[test]
fn half_a_record_spoils_no_other() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("0.log");
    fs::write(&path, "2026-01-01T00:00:00Z stdout F one\n2026-01-01T00:00:00Z std").unwrap();
    LogWriter::open(&path, LogConfig::default()).unwrap().append(&[line("two")]).unwrap();
    let records: Vec<_> = read(&path).unwrap().collect();
    assert_eq!(records.len(), 3);
    assert_eq!(records[0].as_ref().unwrap().bytes, "one");
    let error = records[1].as_ref().unwrap_err().to_string();
    assert!(error.ends_with("0.log:2: not a CRI log record: expected `TIME STREAM TAG TEXT`"), "{error}");
    assert_eq!(records[2].as_ref().unwrap().bytes, "two");
}

#[test]
fn foreign_files_are_read_within_bounds() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("0.log");
    let mut bytes = vec![b'x'; 3 * format::MAX_RECORD];
    bytes.extend_from_slice(b"\n2026-01-01T00:00:00Z stderr P ok\n\n");
    fs::write(&path, bytes).unwrap();
    let records: Vec<_> = read(&path).unwrap().collect();
    assert!(matches!(&records[0], Err(ReadError::Record { line: 1, source: ParseError::TooLong, .. })));
    assert_eq!(records[1].as_ref().unwrap().bytes, "ok");
    assert!(matches!(&records[2], Err(ReadError::Record { line: 3, source: ParseError::Shape, .. })));
    assert_eq!(records.len(), 3);
    assert!(matches!(read(&temp.path().join("none")), Err(ReadError::Io { .. })));
}

#[test]
fn a_log_that_can_never_be_written_says_so() {
    let temp = tempfile::tempdir().unwrap();
    let error = LogWriter::open(temp.path(), LogConfig::default()).unwrap_err().to_string();
    assert!(error.starts_with("cannot open the log"), "{error}");
}

#[test]
fn a_full_disk_loses_whole_records_and_no_more() {
    // Writing to /dev/full always fails so.
    let mut writer = LogWriter::open(Path::new("/dev/full"), LogConfig::default()).unwrap();
    for _ in 0..2 {
        let (written, error) = writer.append(&[line("a"), line("b")]).unwrap_err();
        assert_eq!((written, error.kind()), (0, std::io::ErrorKind::StorageFull));
    }
}

#[tokio::test]
async fn the_pump_writes_everything_and_shows_it() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("0.log");
    let (sender, receiver) = channel();
    let (live, mut watched) = mpsc::channel(2);
    let writer = LogWriter::open(&path, LogConfig::default()).unwrap();
    let pump = tokio::spawn(LogPump::new(id(), receiver, writer, Some(live)).run());
    let text: String = (0..500).map(|n| format!("line {n}\n")).collect();
    let feed = tokio::spawn(async move {
        for part in text.as_bytes().chunks(7) {
            let bytes = Bytes::copy_from_slice(part);
            sender.send(Box::new(Chunk { stream: Stream::Stderr, time: time(1), bytes })).await.unwrap();
        }
    });
    let mut seen = Vec::new();
    while let Some(line) = watched.recv().await {
        assert_eq!((&*line.container, line.line.stream), (&id(), Stream::Stderr));
        seen.push(String::from_utf8(line.line.bytes.to_vec()).unwrap());
    }
    feed.await.unwrap();
    assert_eq!(pump.await.unwrap(), LogSummary { records: 500, dropped: 0 });
    assert_eq!(seen, texts(&path));
    assert_eq!(seen.len(), 500);
}

#[tokio::test]
async fn neither_a_full_disk_nor_a_watcher_that_left_holds_a_container_up() {
    let (sender, receiver) = channel();
    let (live, watched) = mpsc::channel(1);
    drop(watched);
    let writer = LogWriter::open(Path::new("/dev/full"), LogConfig::default()).unwrap();
    let pump = tokio::spawn(LogPump::new(id(), receiver, writer, Some(live)).run());
    for _ in 0..1000 {
        let bytes = Bytes::from_static(b"line\n");
        sender.send(Box::new(Chunk { stream: Stream::Stdout, time: time(0), bytes })).await.unwrap();
    }
    drop(sender);
    assert_eq!(pump.await.unwrap(), LogSummary { records: 1000, dropped: 1000 });
}

#[tokio::test]
async fn a_watcher_that_does_not_read_holds_the_container_up() {
    let temp = tempfile::tempdir().unwrap();
    let (sender, receiver) = channel();
    let (live, mut watched) = mpsc::channel(1);
    let writer = LogWriter::open(&temp.path().join("0.log"), LogConfig::default()).unwrap();
    let pump = tokio::spawn(LogPump::new(id(), receiver, writer, Some(live)).run());
    let chunk = || Box::new(Chunk { stream: Stream::Stdout, time: time(0), bytes: Bytes::from_static(b"line\n") });
    let mut sent = 0;
    // One in the watcher's channel, one batch in the pump's hands, the rest in the container's channel.
    while sent < 10_000 {
        match sender.try_send(chunk()) {
            Ok(()) => sent += 1,
            Err(_) if watched.len() == 1 && sender.capacity() == 0 => break,
            Err(_) => tokio::task::yield_now().await,
        }
    }
    assert!(sent <= 1 + 3 * crate::output::CHANNEL_CHUNKS, "{sent}");
    drop(sender);
    let mut seen = 0;
    while watched.recv().await.is_some() {
        seen += 1;
    }
    assert_eq!(seen, sent);
    assert_eq!(pump.await.unwrap().records, u64::try_from(seen).unwrap());
}

#[test]
fn the_tail_is_of_lines_and_of_bytes() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("0.log");
    let mut writer = LogWriter::open(&path, LogConfig { max_size: 200, max_files: 9 }).unwrap();
    for number in 0..20 {
        writer.append(&[line(&format!("line {number}"))]).unwrap();
    }
    let of = |lines, bytes| String::from_utf8(tail(&path, lines, bytes).unwrap()).unwrap();
    assert_eq!(of(2, 1000), "line 18\nline 19\n");
    assert_eq!(of(9, 12), " 18\nline 19\n");
    assert_eq!(of(99, 1000).lines().count(), 20, "rotated files are part of the log");
    assert!(tail(&temp.path().join("none.log"), 1, 1).is_err());
}
