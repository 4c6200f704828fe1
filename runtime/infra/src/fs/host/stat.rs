//! The kernel's words in ours.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{FileType, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use rustix::io::Errno;

use crate::fs::{FileKind, FsResult, SetTime, Stat};

pub(super) fn kind(mode: rustix::fs::RawMode) -> FileKind {
    file_type(FileType::from_raw_mode(mode))
}

pub(super) fn file_type(kind: FileType) -> FileKind {
    match kind {
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        FileType::CharacterDevice => FileKind::CharDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
        FileType::RegularFile | FileType::Unknown => FileKind::File,
    }
}

#[expect(clippy::useless_conversion, reason = "the fields' types differ between architectures")]
pub(super) fn stat(stat: &rustix::fs::Stat) -> Stat {
    Stat {
        kind: kind(stat.st_mode),
        dev: stat.st_dev.into(),
        ino: stat.st_ino.into(),
        nlink: stat.st_nlink.into(),
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        accessed: time(stat.st_atime.into(), stat.st_atime_nsec.into()),
        modified: time(stat.st_mtime.into(), stat.st_mtime_nsec.into()),
        changed: time(stat.st_ctime.into(), stat.st_ctime_nsec.into()),
    }
}

/// Times that [`SystemTime`] cannot hold are the epoch.
fn time(seconds: i64, nanos: u64) -> SystemTime {
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let whole = if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    whole.and_then(|whole| whole.checked_add(Duration::from_nanos(nanos))).unwrap_or(UNIX_EPOCH)
}

/// # Errors
/// `EINVAL` for times that the kernel cannot hold.
pub(super) fn timestamps(accessed: SetTime, modified: SetTime) -> FsResult<Timestamps> {
    Ok(Timestamps { last_access: timespec(accessed)?, last_modification: timespec(modified)? })
}

fn timespec(time: SetTime) -> FsResult<Timespec> {
    let time = match time {
        SetTime::Keep => return Ok(Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }),
        SetTime::Now => return Ok(Timespec { tv_sec: 0, tv_nsec: UTIME_NOW }),
        SetTime::To(time) => time,
    };
    let seconds = |span: Duration| i64::try_from(span.as_secs()).map_err(|_| Errno::INVAL);
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => Ok(Timespec { tv_sec: seconds(after)?, tv_nsec: after.subsec_nanos().into() }),
        // Nanoseconds count forward, before the epoch too.
        Err(error) => {
            let before = error.duration();
            match before.subsec_nanos() {
                0 => Ok(Timespec { tv_sec: -seconds(before)?, tv_nsec: 0 }),
                nanos => Ok(Timespec { tv_sec: -seconds(before)? - 1, tv_nsec: (1_000_000_000 - nanos).into() }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn times_go_there_and_back(seconds in -10_000_000_000_i64..10_000_000_000, nanos in 0..1_000_000_000_u64) {
            let spec = timespec(SetTime::To(time(seconds, nanos))).unwrap();
            prop_assert_eq!((spec.tv_sec, u64::try_from(spec.tv_nsec).unwrap()), (seconds, nanos));
        }
    }
}
