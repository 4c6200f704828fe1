//! The operations.

use std::collections::BTreeSet;

use wasip2::filesystem::types::{
    Descriptor, DescriptorFlags, DescriptorType, ErrorCode, OpenFlags, PathFlags, filesystem_error_code,
};
use wasip2::io::streams::{OutputStream, StreamError};

use crate::descriptor;
use crate::paths::{Path, expand};

/// How an operation ended: what is to be told, or WASI's error.
pub(crate) type Outcome = Result<String, ErrorCode>;

/// The most bytes that a blocking write takes.
const MAX_WRITE: usize = 4096;

/// Runs an operation; none if there is no such.
pub(crate) fn run(words: &[&str]) -> Option<Outcome> {
    Some(match words {
        ["stat", path] => stat(path, PathFlags::SYMLINK_FOLLOW),
        ["lstat", path] => stat(path, PathFlags::empty()),
        ["read", path] => read(path),
        ["write", path, text] => write(path, text),
        ["append", path, text] => append(path, text),
        ["create", path] => open(path, OpenFlags::CREATE | OpenFlags::EXCLUSIVE, DescriptorFlags::WRITE).map(quiet),
        ["fill", path, bytes] => fill(path, bytes.parse().ok()?),
        ["truncate", path, size] => truncate(path, size.parse().ok()?),
        ["sync", path] => open(path, OpenFlags::empty(), DescriptorFlags::READ).and_then(|file| file.sync()).map(quiet),
        ["touch", path, seconds] => descriptor::touch(path, seconds.parse().ok()?),
        ["times", path] => descriptor::times(path),
        ["flags", path, letters] => descriptor::flags(path, letters),
        ["misuse", path] => descriptor::misuse(path),
        ["same", one, other] => descriptor::same(one, other),
        ["ls", path] => list(path),
        ["mkdir", path] => at(path, |base, path| base.create_directory_at(path)),
        ["rmdir", path] => at(path, |base, path| base.remove_directory_at(path)),
        ["unlink", path] => at(path, |base, path| base.unlink_file_at(path)),
        ["rename", from, to] => rename(from, to),
        ["link", from, to] => link(from, to),
        ["symlink", target, path] => at(path, |base, path| base.symlink_at(&expand(target), path)),
        ["readlink", path] => Path::new(path).and_then(|path| path.base.readlink_at(&path.path)),
        ["many", path, count] => many(path, count.parse().ok()?),
        ["deep", path, count] => deep(path, count.parse().ok()?),
        ["hold", path, count] => hold(path, count.parse().ok()?),
        ["swap", one, other, count] => swap(one, other, count.parse().ok()?),
        ["probe", path, count] => probe(path, count.parse().ok()?),
        _ => return None,
    })
}

pub(crate) fn quiet<T>(_: T) -> String {
    String::new()
}

fn at(path: &str, operation: impl FnOnce(&Descriptor, &str) -> Result<(), ErrorCode>) -> Outcome {
    let path = Path::new(path)?;
    operation(&path.base, &path.path).map(quiet)
}

pub(crate) fn open(path: &str, how: OpenFlags, flags: DescriptorFlags) -> Result<Descriptor, ErrorCode> {
    let path = Path::new(path)?;
    path.base.open_at(PathFlags::SYMLINK_FOLLOW, &path.path, how, flags)
}

fn stat(path: &str, flags: PathFlags) -> Outcome {
    let path = Path::new(path)?;
    let stat = path.base.stat_at(flags, &path.path)?;
    let kind = match stat.type_ {
        DescriptorType::Directory => "directory",
        DescriptorType::RegularFile => "file",
        DescriptorType::SymbolicLink => "link",
        DescriptorType::CharacterDevice => "device",
        _ => "other",
    };
    Ok(format!("{kind} {}", stat.size))
}

fn read(path: &str) -> Outcome {
    let file = open(path, OpenFlags::empty(), DescriptorFlags::READ)?;
    let (bytes, _) = file.read(200, 0)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end().replace('\n', "\\n"))
}

fn write(path: &str, text: &str) -> Outcome {
    let file = open(path, OpenFlags::CREATE | OpenFlags::TRUNCATE, DescriptorFlags::WRITE)?;
    put(&file.write_via_stream(0)?, text.as_bytes()).map(quiet)
}

fn append(path: &str, text: &str) -> Outcome {
    let file = open(path, OpenFlags::empty(), DescriptorFlags::WRITE)?;
    put(&file.append_via_stream()?, text.as_bytes()).map(quiet)
}

/// Writes all of it, or tells why not.
pub(crate) fn put(stream: &OutputStream, bytes: &[u8]) -> Result<(), ErrorCode> {
    bytes.chunks(MAX_WRITE).try_for_each(|part| {
        stream.blocking_write_and_flush(part).map_err(|error| match error {
            StreamError::LastOperationFailed(error) => filesystem_error_code(&error).unwrap_or(ErrorCode::Io),
            StreamError::Closed => ErrorCode::Pipe,
        })
    })
}

fn fill(path: &str, bytes: usize) -> Outcome {
    let file = open(path, OpenFlags::CREATE | OpenFlags::TRUNCATE, DescriptorFlags::WRITE)?;
    let stream = file.write_via_stream(0)?;
    let part = [b'x'; MAX_WRITE];
    let mut written = 0;
    while written < bytes {
        let now = MAX_WRITE.min(bytes - written);
        if let Err(error) = put(&stream, &part[..now]) {
            return Ok(format!("{written} then {}", error.name()));
        }
        written += now;
    }
    Ok(written.to_string())
}

fn truncate(path: &str, size: u64) -> Outcome {
    open(path, OpenFlags::empty(), DescriptorFlags::WRITE)?.set_size(size).map(quiet)
}

fn list(path: &str) -> Outcome {
    let entries = open(path, OpenFlags::DIRECTORY, DescriptorFlags::READ)?.read_directory()?;
    let mut names = BTreeSet::new();
    while let Some(entry) = entries.read_directory_entry()? {
        names.insert(entry.name);
    }
    Ok(names.into_iter().collect::<Vec<_>>().join(" "))
}

fn rename(from: &str, to: &str) -> Outcome {
    let (from, to) = (Path::new(from)?, Path::new(to)?);
    from.base.rename_at(&from.path, &to.base, &to.path).map(quiet)
}

fn link(from: &str, to: &str) -> Outcome {
    let (from, to) = (Path::new(from)?, Path::new(to)?);
    from.base.link_at(PathFlags::empty(), &from.path, &to.base, &to.path).map(quiet)
}

/// Does something `count` times, or until it fails; tells how often it could.
fn repeat(count: usize, mut operation: impl FnMut(usize) -> Result<(), ErrorCode>) -> Outcome {
    for done in 0..count {
        if let Err(error) = operation(done) {
            return Ok(format!("{done} then {}", error.name()));
        }
    }
    Ok(count.to_string())
}

fn many(path: &str, count: usize) -> Outcome {
    let directory = open(path, OpenFlags::DIRECTORY, DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY)?;
    let how = OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
    repeat(count, |number| {
        directory.open_at(PathFlags::empty(), &number.to_string(), how, DescriptorFlags::WRITE).map(drop)
    })
}

fn deep(path: &str, count: usize) -> Outcome {
    let flags = DescriptorFlags::READ | DescriptorFlags::MUTATE_DIRECTORY;
    let mut directory = open(path, OpenFlags::DIRECTORY, flags)?;
    repeat(count, |_| {
        directory.create_directory_at("d")?;
        directory = directory.open_at(PathFlags::empty(), "d", OpenFlags::DIRECTORY, flags)?;
        Ok(())
    })
}

fn hold(path: &str, count: usize) -> Outcome {
    let mut held = Vec::new();
    repeat(count, |_| {
        held.push(open(path, OpenFlags::empty(), DescriptorFlags::READ)?);
        Ok(())
    })
}

fn swap(one: &str, other: &str, count: usize) -> Outcome {
    repeat(count, |_| {
        rename(one, other)?;
        rename(other, one).map(drop)
    })
}

fn probe(path: &str, count: usize) -> Outcome {
    let outcomes: BTreeSet<String> =
        (0..count).map(|_| read(path).unwrap_or_else(|error| error.name().to_owned())).collect();
    Ok(outcomes.into_iter().collect::<Vec<_>>().join(" | "))
}
