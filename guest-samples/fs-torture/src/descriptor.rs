//! The operations that are about descriptors: flags, times, identity, and what is refused for lack of a right.

use wasip2::clocks::wall_clock::Datetime;
use wasip2::filesystem::types::{
    Advice, Descriptor, DescriptorFlags, ErrorCode, NewTimestamp, OpenFlags, PathFlags, filesystem_error_code,
};
use wasip2::io::streams::StreamError;

use crate::operation::{Outcome, open, put, quiet};
use crate::paths::Path;

pub(crate) fn touch(path: &str, seconds: u64) -> Outcome {
    let path = Path::new(path)?;
    let time = NewTimestamp::Timestamp(Datetime { seconds, nanoseconds: 0 });
    path.base.set_times_at(PathFlags::SYMLINK_FOLLOW, &path.path, time, time).map(quiet)
}

pub(crate) fn times(path: &str) -> Outcome {
    let stat = open(path, OpenFlags::empty(), DescriptorFlags::READ)?.stat()?;
    let seconds = |time: Option<Datetime>| time.map_or("none".to_owned(), |time| time.seconds.to_string());
    Ok(format!("{} {}", seconds(stat.data_access_timestamp), seconds(stat.data_modification_timestamp)))
}

pub(crate) fn flags(path: &str, letters: &str) -> Outcome {
    let (mut how, mut flags) = (OpenFlags::empty(), DescriptorFlags::empty());
    for letter in letters.chars() {
        match letter {
            'r' => flags |= DescriptorFlags::READ,
            'w' => flags |= DescriptorFlags::WRITE,
            'm' => flags |= DescriptorFlags::MUTATE_DIRECTORY,
            's' => flags |= DescriptorFlags::FILE_INTEGRITY_SYNC,
            'c' => how |= OpenFlags::CREATE,
            'e' => how |= OpenFlags::EXCLUSIVE,
            't' => how |= OpenFlags::TRUNCATE,
            'd' => how |= OpenFlags::DIRECTORY,
            _ => {}
        }
    }
    let shown = open(path, how, flags)?.get_flags()?;
    let names = [
        (DescriptorFlags::READ, "read"),
        (DescriptorFlags::WRITE, "write"),
        (DescriptorFlags::MUTATE_DIRECTORY, "mutate-directory"),
    ];
    let names = names.into_iter().filter(|(flag, _)| shown.contains(*flag)).map(|(_, name)| name);
    Ok(names.collect::<Vec<_>>().join(" "))
}

pub(crate) fn same(one: &str, other: &str) -> Outcome {
    let read = |path| open(path, OpenFlags::empty(), DescriptorFlags::READ);
    let (one, other) = (read(one)?, read(other)?);
    let (hash, other_hash) = (one.metadata_hash()?, other.metadata_hash()?);
    let equal = hash.lower == other_hash.lower && hash.upper == other_hash.upper;
    Ok(format!("{} {equal}", one.is_same_object(&other)))
}

pub(crate) fn misuse(path: &str) -> Outcome {
    let readable = open(path, OpenFlags::empty(), DescriptorFlags::READ)?;
    let writable = open(path, OpenFlags::empty(), DescriptorFlags::WRITE);
    let outcomes = [
        ("write", readable.write(b"x", 0).map(quiet)),
        ("write-via-stream", write_stream(&readable)),
        ("set-size", readable.set_size(0).map(quiet)),
        ("advise", readable.advise(0, 10, Advice::WillNeed).map(quiet)),
        ("advise-overlong", readable.advise(0, u64::MAX, Advice::Normal).map(quiet)),
        ("open-at", readable.open_at(PathFlags::empty(), "x", OpenFlags::empty(), DescriptorFlags::READ).map(quiet)),
        ("read-directory", readable.read_directory().map(quiet)),
        ("read-via-stream", read_stream(&readable)),
        ("read-write-only", writable.and_then(|writable| writable.read(1, 0)).map(quiet)),
    ];
    let told = outcomes.into_iter().map(|(name, outcome)| match outcome {
        Ok(_) => format!("{name}=ok"),
        Err(error) => format!("{name}={}", error.name()),
    });
    Ok(told.collect::<Vec<_>>().join(" "))
}

fn write_stream(file: &Descriptor) -> Outcome {
    put(&file.write_via_stream(0)?, b"x").map(quiet)
}

fn read_stream(file: &Descriptor) -> Outcome {
    match file.read_via_stream(0)?.blocking_read(1) {
        Ok(_) | Err(StreamError::Closed) => Ok(String::new()),
        Err(StreamError::LastOperationFailed(error)) => Err(filesystem_error_code(&error).unwrap_or(ErrorCode::Io)),
    }
}
